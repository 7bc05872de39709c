"""Training: rows, events, the log, checkpoints, and what stops it."""

import csv
import errno
import json
import math

import filelock
import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.zoo.conftest import STEPS, begin_tiny, updates
from zf_keras import RNN, STORN, KLAnnealing
from zf_keras.datasets import digits
from zoo import evaluation, recipes, training
from zoo.__main__ import main
from zoo.runs import BEST, ENVIRONMENT, LAST, LOG, METRICS, RECIPE, Run, RunError


def test_metrics(tiny_original):
    with tiny_original.path(METRICS).open() as file:
        table = list(csv.reader(file))
    assert table[0][0] == "epoch" and len(table) == 4
    expected = {
        "epoch",
        "updates",
        "learning_rate",
        *(f"{v}{name}" for v in ("", "val_") for name in ("loss", "elbo", "nll")),
    }
    assert set(table[0]) == expected
    rows = tiny_original.rows()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["updates"] for row in rows] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert [dict(zip(table[0], map(float, line), strict=True)) for line in table[1:]] == rows
    for row in rows:
        assert all(map(math.isfinite, row.values()))
        assert row["learning_rate"] == pytest.approx(0.01)
        assert row["val_loss"] == pytest.approx(-row["val_elbo"], rel=1e-5) == pytest.approx(row["val_nll"], rel=1e-5)
        assert row["nll"] == pytest.approx(-row["elbo"], rel=1e-5)
    assert rows[0]["val_elbo"] > rows[2]["val_elbo"] + 1 and rows[0]["val_elbo"] > rows[1]["val_elbo"] + 1


def test_tensorboard(tiny_original):
    events = EventAccumulator(str(tiny_original.path("tensorboard"))).Reload()
    rows = tiny_original.rows()
    assert set(events.Tags()["tensors"]) == rows[0].keys() - {"epoch", "updates"} | {"seconds"}
    for name in rows[0]:
        if name not in ("epoch", "updates"):
            found = events.Tensors(name)
            assert [event.step for event in found] == [STEPS, 2 * STEPS, 3 * STEPS]
            values = [
                np.frombuffer(e.tensor_proto.tensor_content, "<f4") for e in found if e.tensor_proto.tensor_content
            ]
            values = values or [e.tensor_proto.float_val for e in found]
            np.testing.assert_allclose(np.ravel(values), [row[name] for row in rows], rtol=1e-6)


def test_log(tiny_original):
    lines = tiny_original.path(LOG).read_text().splitlines()
    found = [line.split(" ", 2)[2] for line in lines]
    assert found[0] == f"Begins after 0 epochs of 3 updates, on {keras.config.backend()}"
    for line, row in zip(found[1:4], tiny_original.rows(), strict=True):
        assert line.startswith(f"Epoch {row['epoch']}: val_elbo {row['val_elbo']:.6g}, ")
    assert found[4:] == ["Trained for 3 epochs: complete. Best was epoch 1."]


def test_best_and_last(tiny_original, tiny):
    """What the files hold is what the rows say of their epochs."""
    valid = digits.load_data("rows").valid
    for name, epoch in ((BEST, 1), (LAST, 3)):
        assert updates(tiny_original.path(name)) == epoch * STEPS
        model = keras.saving.load_model(tiny_original.path(name))
        elbo = model.log_likelihood(valid, batch_size=250).mean()
        assert elbo == pytest.approx(tiny_original.rows()[epoch - 1]["val_elbo"], rel=1e-5)
    assert evaluation.evaluate(tiny, verbose=0)["epoch"] == 1


def test_nothing_is_left_to_do(tiny):
    before = {path.name: path.read_bytes() for path in tiny.directory.iterdir() if path.suffix in (".keras", ".csv")}
    assert len(before) == 3
    training.train(tiny, verbose=0)
    assert {name: tiny.path(name).read_bytes() for name in before} == before
    assert tiny.path(LOG).read_text().endswith("Trained for 3 epochs: complete.\n")


def better_row(run):
    rows = run.rows()
    return {**rows[-1], "epoch": len(rows) + 1, "val_elbo": rows[0]["val_elbo"] + 1}


def test_epoch_of_the_results_after_a_kill(tiny):
    """Killed after the row of an epoch was written and before its model was: best.keras is of epoch 1."""
    tiny.write_rows([*tiny.rows(), better_row(tiny)])
    assert evaluation.evaluate(tiny, verbose=0)["epoch"] == 1


def test_resumed_after_a_kill_between_row_and_model(tiny):
    rows = tiny.rows()
    tiny.write_rows([*rows, better_row(tiny)])
    training.train(tiny, verbose=0)
    assert tiny.rows() == rows


def test_files_that_do_not_fit(tiny):
    rows = tiny.rows()
    tiny.write_rows(rows[:2])
    with pytest.raises(RunError, match=r"last\.keras can't be used: metrics\.csv has 2 rows, it is of 3 epochs"):
        training.train(tiny, verbose=0)
    assert "Stopped: " in tiny.path(LOG).read_text()
    tiny.write_rows(rows)
    tiny.path(BEST).unlink()
    with pytest.raises(RunError, match=r"best\.keras, of epoch 1, is gone.* copy last\.keras in its place"):
        training.train(tiny, verbose=0)
    tiny.path(LAST).write_bytes(tiny.path(LAST).read_bytes()[:-100])
    with pytest.raises(RunError, match=r"last\.keras can't be used"):
        training.train(tiny, verbose=0)
    tiny.path(ENVIRONMENT).write_text("{")
    with pytest.raises(RunError, match=r"environment\.json can't be read"):
        Run(tiny.directory)


def test_more_epochs_may_be_asked_for(tiny):
    text = tiny.path(RECIPE).read_text()
    assert "epochs = 3\n" in text
    tiny.path(RECIPE).write_text(text.replace("epochs = 3\n", "epochs = 4\n"))
    training.train(Run(tiny.directory), verbose=0)
    assert [row["epoch"] for row in tiny.rows()] == [1, 2, 3, 4]
    decay = {"training": {"epochs": 3}, "schedule": {"learning_rate": {"decay": "cosine"}}}
    assert "training.epochs" in recipes.fixed_settings(decay) and "training.epochs" not in recipes.fixed_settings(
        {"training": {"epochs": 3}}
    )


def test_epochs_of_an_optimizer_that_counts_otherwise(tmp_path):
    """With accumulated gradients `iterations` is not the number of updates."""
    run = begin_tiny(tmp_path / "run", optimizer__gradient_accumulation_steps=2)
    training.train(run, verbose=0)
    before = run.path(LAST).read_bytes()
    training.train(Run(run.directory), verbose=0)
    assert run.path(LAST).read_bytes() == before


def test_early_stopping_is_not_forgotten(tmp_path):
    """The epochs without a better one are counted from the rows, those before the stop too."""
    run = begin_tiny(tmp_path / "run", optimizer__learning_rate=3.0, training__epochs=30, training__patience=2)
    training.train(run, verbose=0)
    rows = run.rows()
    best = max(range(len(rows)), key=lambda i: rows[i]["val_elbo"])
    assert len(rows) == best + 1 + 2 < 30
    training.train(Run(run.directory), verbose=0)
    assert run.rows() == rows


def test_epochs_in_which_the_kl_weight_rises_do_not_count(tmp_path):
    latents = {"model__class": "STORN", "model__latent_dim": 2, "schedule__kl_weight": "{ initial = 0.5, epochs = 4 }"}
    run = begin_tiny(tmp_path / "run", **latents, training__epochs=30, training__patience=2)
    weights = [0.5, 0.6, 0.7, 0.9, 1.0, 1.0, 1.0]
    rows = [
        {
            "epoch": i,
            "val_elbo": -float(i),
            "kl_weight": weights[i - 1] - 0.05 * (i < 6),
            "val_kl_weight": weights[i - 1],
        }
        for i in range(1, 8)
    ]

    def waited(count, kl_weight=1.0, rows=rows):
        return training.Epochs(run, 3, rows[:count], None, kl_weight, None).waited_enough()

    assert [waited(count) for count in range(8)] == [False] * 7 + [True]  # of the sixth and the seventh
    assert not waited(7, kl_weight=0.9)  # it is not there
    without = [{"epoch": i, "val_elbo": -float(i)} for i in range(1, 8)]
    assert [waited(count, rows=without) for count in range(5)] == [False, False, False, True, True]
    model = STORN(4, 2, "bernoulli", kl_weight=KLAnnealing(0.5, 0.01))
    assert [training._last_kl_weight(model, updates) for updates in (0, 10, 100)] == pytest.approx([0.5, 0.6, 1.0])
    assert training._last_kl_weight(RNN(4, "bernoulli"), 5) == 1.0


def test_two_processes_do_not_train_one_run(tmp_path):
    run = begin_tiny(tmp_path / "run")
    with filelock.FileLock(run.path("lock")), pytest.raises(RunError, match="another process"):
        training.train(run, verbose=0)


def test_a_full_disk(tmp_path, monkeypatch, capsys):
    run = begin_tiny(tmp_path / "run")
    save, saved = keras.Model.save, []

    def full(self, path, *args, **kwargs):
        saved.append(path)
        if len(saved) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, path, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "save", full)
    assert main(["resume", str(run.directory)]) == 1
    assert "No space left to write" in capsys.readouterr().err
    assert main(["resume", str(run.directory)]) == 0
    assert len(run.rows()) == 3 and json.loads(run.path("results.json").read_text())["epoch"] >= 1


def test_a_full_disk_in_training(tiny, monkeypatch):
    """TensorFlow's error of a full disk, from TensorBoard's events."""

    def full(*args):
        raise RuntimeError("events.out; No space left on device")

    monkeypatch.setattr(training, "_train", full)
    with pytest.raises(OSError, match="No space left to write"):
        training.train(tiny, verbose=0)
