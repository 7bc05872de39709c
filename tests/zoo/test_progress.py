"""What `train` shows of an epoch: a short line, beside the columns of metrics.csv."""

import re

import keras

from tests.zoo.conftest import begin_tiny
from zoo import training


def test_train(tmp_path, capsys):
    run = begin_tiny(tmp_path / "run", training__epochs=2)
    keras.config.enable_interactive_logging()
    training.train(run, verbose=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "/step" in line]
    assert len(lines) == 2 and all(len(line) <= 80 for line in lines)
    rows = run.rows()
    assert set(rows[0]) > {"loss", "nll", "val_nll", "val_loss", "learning_rate"}
    for line, row in zip(lines, rows, strict=True):
        assert re.findall(r" - (\w+): (\S+)", line) == [(n, f"{row[n]:#.4g}") for n in ("elbo", "val_elbo")]
