"""The progress bar of `fit` and `evaluate`: a short line, whatever the model has of metrics."""

import re
import time

import keras
import numpy as np
import pytest

from tests.support import normal
from zf_keras import RNN, ZForcing
from zf_keras.callbacks import Progress, short


def z_forcing():
    """A model with as many metrics as there are."""
    model = ZForcing(3, 2, "gaussian", alpha=0.1, beta=0.1, seed=0)
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    return model


X = normal(4, 1, 2)
FIT = {"batch_size": 2, "epochs": 2, "validation_data": X, "validation_batch_size": 4}
METRICS = {f"{part}{m}" for part in ("", "val_") for m in ("loss", "elbo", "nll", "kl", "aux_nll", "backward_nll")}
METRICS |= {"kl_weight", "val_kl_weight"}


@pytest.fixture
def printed(capsys):
    """What a terminal shows of the output since the last call: each state of each line."""

    def lines():
        text = re.sub(r"\x1b\[\d+m|\x08", "", capsys.readouterr().out)
        return [line.rstrip() for line in re.split(r"[\r\n]", text) if line.strip()]

    keras.config.enable_interactive_logging()
    return lines


def names(line):
    return re.findall(r" - (\w+): -?[\d.e+-]+", line)


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_fit(printed, verbose):
    history = z_forcing().fit(X, verbose=verbose, **FIT).history
    assert set(history) == METRICS
    lines = printed()
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    ends = [line for line in lines if names(line) == ["elbo", "kl", "val_elbo"]]
    assert len(ends) == 2 and all(line.startswith("2/2 ") for line in ends)
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    for i, line in enumerate(ends):
        for name in names(line):
            assert float(re.search(rf" {name}: (\S+)", line)[1]) == pytest.approx(history[name][i], rel=1e-3)
    others = [line for line in lines if line not in ends and not line.startswith("Epoch")]
    assert {tuple(names(line)) for line in others} == ({("elbo", "kl")} if verbose != 2 else set())


def test_help():
    for method in (RNN.fit, RNN.evaluate):
        assert "batch_size: Integer" in method.__doc__ and "    shown: sequence of str." in method.__doc__


def test_silent(printed):
    assert set(z_forcing().fit(X, verbose=0, **FIT).history) == METRICS
    assert printed() == []


def test_evaluate(printed):
    model = z_forcing()
    values = model.evaluate(X, batch_size=2, return_dict=True)
    lines = printed()
    assert names(lines[-1]) == ["elbo", "kl"] and max(map(len, lines)) <= 80
    assert set(values) == {name for name in METRICS if not name.startswith("val_")}
    model.evaluate(X, batch_size=2, shown=["nll"])
    assert names(printed()[-1]) == ["nll"]
    model.evaluate(X, verbose=0)
    assert printed() == []


def test_what_is_shown(printed):
    """In the order of the argument; what a callback puts into the logs too, and what is not there not."""
    rate = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(rate=0.25))
    fit = {**FIT, "callbacks": [rate], "verbose": 2}
    z_forcing().fit(X, shown=("val_kl", "rate", "loss", "nothing"), **fit)
    assert names(printed()[-1]) == ["val_kl", "rate", "loss"]
    z_forcing().fit(X, shown=None, **fit)
    assert set(names(printed()[-1])) == METRICS | {"rate"}
    model = RNN(3, "gaussian", seed=0)
    model.compile()
    model.fit(X, **{**FIT, "validation_data": None})
    assert names(printed()[-1]) == ["elbo"]
    for shown in ("elbo", [3]):
        with pytest.raises(ValueError, match=r"`shown` must be names of metrics, such as \('elbo'"):
            model.fit(X, shown=shown)


def test_a_bar_and_a_list_of_ones_own(printed):
    """As Keras has it: a bar that is there is the only one, and a `CallbackList` is as it was made."""
    z_forcing().fit(X, callbacks=keras.callbacks.ProgbarLogger(), verbose=2, **FIT)
    assert [set(names(line)) for line in printed() if names(line)] == [METRICS, METRICS]
    for callbacks, expected in (([], []), ([Progress()], [["elbo", "kl", "val_elbo"]] * 2)):
        model = z_forcing()
        listed = keras.callbacks.CallbackList(callbacks, add_history=True, model=model, verbose=2, epochs=2, steps=2)
        assert set(model.fit(X, callbacks=listed, **FIT).history) == METRICS
        assert [names(line) for line in printed() if names(line)] == expected


def test_long_runs(printed, monkeypatch):
    """Many slow steps of large values: the bar gives way. Of an unknown number of steps there is none."""
    clock = [0.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    for target in (1, 20, 1000, 10000, None):
        progress = Progress()
        progress.set_params({"verbose": 1, "epochs": 200, "steps": target})
        progress.on_train_begin()
        progress.on_epoch_begin(0)
        clock[0] += min(9000, 0.9 * (target or 10**4))
        logs = {"elbo": -123456.7, "kl": 12345.6, "val_elbo": np.float32(-123456.7), "loss": 1.0}
        progress.on_train_batch_end((target or 12345) - 1, logs)
        progress.on_epoch_end(0, logs)
        lines = printed()
        assert "- elbo: -123457 - kl: 12346 - val_elbo: -123457" in lines[-1]
        assert max(map(len, lines)) <= 80, lines


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-17.1, "-17.10"),
        (0.5, "0.5000"),
        (-69530.4, "-69530"),
        (999.96, "1000."),
        (1e8, "1.000e+08"),
        (1e-6, "1.000e-06"),
    ],
)
def test_numbers(value, text):
    assert short(value) == text
