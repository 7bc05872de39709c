"""Runs side by side: the table, the figure, and what is refused. No run is trained here."""

import json

import numpy as np
from matplotlib import image

from tests.zoo.command_line import done, refused
from tests.zoo.conftest import begin_tiny
from zf_keras.pictures import band
from zoo.comparison import compare, grouped
from zoo.runs import RESULTS

BOUND = {"nats a sequence": -20.0, "nats a frame": -2.5}


def written(directory, seed=0, kl=True, best=-18.0, **settings):
    """A run of four epochs and its results."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    run = begin_tiny(directory, training__seed=seed, **settings)
    rows = []
    for epoch, elbo in enumerate((-30.0, best - 1, best, best - 2), start=1):
        row = {"epoch": epoch, "updates": 3 * epoch, "elbo": elbo + 0.5, "val_elbo": elbo}
        rows.append(row | ({"kl": epoch / 2.0, "val_kl": epoch / 2.0} if kl else {}))
    run.write_rows(rows)
    results = {
        "split": "test",
        "sequences": 8,
        "frames": 64,
        "epoch": 3,
        "bounds": {"ELBO": {"nats a sequence": best - 3}, "IWAE-2": {"nats a sequence": best - 2 - seed}},
        "standard_error": 0.25,
        "standard_errors": {"ELBO": {"nats a sequence": None}, "IWAE-2": {"nats a sequence": 0.25}},
        "terms": {},
        "parameters": 3,
        "statistics": None,
        "seed": seed,
    }
    run.path(RESULTS).write_text(json.dumps(results))
    return run


def test_seeds_are_one_group(tmp_path):
    seeds = [written(tmp_path / f"a{seed}" / "run", seed) for seed in (0, 1, 4)]
    other = written(tmp_path / "b" / "run", kl=False, best=-21.0, model__units=5)
    first, second = grouped([*seeds, other])
    assert first.runs == seeds and second.runs == [other]
    mean, error = first.bounds()["IWAE-2", "nats a sequence"]
    np.testing.assert_allclose([mean, error], [-20 - 5 / 3, np.std([0, 1, 4], ddof=1) / 3**0.5])
    assert second.bounds() == {("ELBO", "nats a sequence"): (-24, None), ("IWAE-2", "nats a sequence"): (-23, 0.25)}
    updates, mean, low, high = band(first.histories(), "val_elbo")
    assert updates.tolist() == [3, 6, 9, 12] and mean.tolist() == low.tolist() == high.tolist() == [-30, -19, -18, -20]


def test_the_table_and_the_figure(tmp_path, capsys):
    runs = [written(tmp_path / f"a{seed}" / "run", seed) for seed in (0, 1)]
    runs.append(written(tmp_path / "b" / "run", kl=False, best=-21.0, model__units=5))
    compare(runs, tmp_path / "figure.png")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and lines[-1] == str(tmp_path / "figure.png")
    assert lines[1].split() == [
        str(runs[0].directory),
        "2",
        "-18.000",
        "ELBO",
        "-21.0000",
        "nats",
        "a",
        "sequence",
        "+-",
        "0",
    ]
    assert lines[4].endswith("IWAE-2       -23.0000 nats a sequence +- 0.25")
    figure = image.imread(tmp_path / "figure.png")
    assert figure.shape[0] > 400 and figure.std() > 0.01
    runs[0].path(RESULTS).unlink()
    runs[1].path(RESULTS).unlink()
    compare(runs[:2])
    assert "not yet: `evaluate` it" in capsys.readouterr().out


def test_what_is_refused(tmp_path):
    run, empty = written(tmp_path / "a" / "run"), begin_tiny(tmp_path / "empty")
    assert "no epoch yet" in refused("compare", str(empty.directory))
    assert "is given twice" in refused("compare", str(run.directory), f"{run.directory}/../run")
    other = written(tmp_path / "b" / "run", data__dataset="piano_rolls", data__frames="none")
    assert "several data sets" in refused("compare", str(run.directory), str(other.directory))
    done("compare", str(run.directory), "--output", str(tmp_path / "one.png"))
    assert (tmp_path / "one.png").exists()
