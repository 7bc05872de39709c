"""Training stops at what is not finite, and names it."""

import math
import types

import keras
import numpy as np
import pytest

from tests.zoo.conftest import STEPS, begin_tiny, updates, with_spike
from zf_keras.data import checks
from zoo import runs, training
from zoo.__main__ import main
from zoo.runs import BEST, LAST, LOG, NonFiniteError, RunError


def begin_gaussian(directory, **settings):
    return begin_tiny(directory, model__output="gaussian", **settings)


def arrays(run):
    """Weights of last.keras, all finite."""
    weights = keras.saving.load_model(run.path(LAST)).get_weights()
    assert weights and all(np.isfinite(weight).all() for weight in weights)
    return weights


def indices(run, update):
    data = run.load_data()
    batches = run.batches(data.train, training=True)
    return ", ".join(map(str, batches.order(update // len(batches))[update % len(batches)].tolist()))


def test_a_term_that_is_not_finite(tmp_path, monkeypatch, capsys):
    """Weights of 1e30 after update 4: update 5 has no finite loss. `resume` stops at the same update."""
    run = begin_gaussian(tmp_path / "run")
    with_spike(monkeypatch, STEPS + 1, 1e30)
    with pytest.raises(NonFiniteError) as error:
        training.train(run, verbose=0)
    message = str(error.value)
    number = STEPS + 2
    where = f"Update {number} (epoch 2, batch 2; training sequences {indices(run, number)}): "
    assert message.startswith(f"{where}nll not finite. ")
    assert "lower optimizer.learning_rate" in message and str(run.directory) in message
    assert updates(run.path(LAST)) == updates(run.path(BEST)) == STEPS
    assert len(run.rows()) == 1
    before, weights = run.path(LAST).read_bytes(), arrays(run)
    assert main(["resume", str(run.directory)]) == 1
    assert capsys.readouterr().err.strip() == f"python -m zoo resume: {message}"
    assert run.path(LAST).read_bytes() == before
    for weight, again in zip(weights, arrays(run), strict=True):
        np.testing.assert_array_equal(weight, again)
    assert run.path(LOG).read_text().count(f"Stopped: {where}nll not finite. ") == 2


@pytest.mark.parametrize("at", [STEPS + 1, 2 * STEPS - 1], ids=["within the epoch", "the last of it"])
def test_an_update_that_is_not_finite(tmp_path, monkeypatch, at):
    """All terms are finite, the weights after it are not: it is named, and not the next."""
    run = begin_gaussian(tmp_path / "run")
    with_spike(monkeypatch, at, math.nan)
    with pytest.raises(NonFiniteError) as error:
        training.train(run, verbose=0)
    where = f"Update {at} (epoch {1 + at // STEPS}, batch {at % STEPS}; training sequences {indices(run, at)}): "
    assert str(error.value).startswith(
        f"{where}the weights after it not finite, all terms of the loss finite: the gradient or its step is not. "
    )
    assert len(run.rows()) == 1 and updates(run.path(LAST)) == updates(run.path(BEST)) == STEPS
    arrays(run)


def test_a_sequence_that_is_not_finite_in_the_loss(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    parts = {split: rng.normal(size=(20, 4, 2)).astype("float32") for split in ("train", "valid", "test")}
    parts["train"][7, 2, 1] = 1e30
    for limit in ("TOO_LARGE", "LARGE"):  # as if data of such a size were accepted
        monkeypatch.setattr(checks, limit, np.inf)
    monkeypatch.setattr(runs, "load_data", lambda recipe, directory: types.SimpleNamespace(**parts))
    run = begin_gaussian(tmp_path / "run", training__batch_size=4, training__steps_per_epoch=5)
    order = run.batches(parts["train"], training=True).order(0)
    (at,) = (i for i, batch in enumerate(order) if 7 in batch)
    with pytest.raises(NonFiniteError) as error:
        training.train(run, verbose=0)
    sequences = ", ".join(map(str, order[at]))
    assert str(error.value).startswith(f"Update {at} (epoch 1, batch {at}; training sequences {sequences}): nll not")


def test_a_validation_that_is_not_finite(tmp_path, monkeypatch):
    """Weights of 1e30 after the last update of epoch 2, finite themselves."""
    run = begin_gaussian(tmp_path / "run")
    with_spike(monkeypatch, 2 * STEPS - 1, 1e30)
    with pytest.raises(RunError, match=r"^Validation after epoch 2: val_\w+ is (nan|inf|-inf)\. .*learning_rate"):
        training.train(run, verbose=0)
    assert len(run.rows()) == 1 and updates(run.path(LAST)) == updates(run.path(BEST)) == STEPS
    arrays(run)
    assert "Stopped: Validation after epoch 2" in run.path(LOG).read_text()
