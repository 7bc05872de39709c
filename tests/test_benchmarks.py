"""The benchmarks find each model of the package by its name, count what they claim to, and run."""

import json
import math
import os
from concurrent.futures.process import BrokenProcessPool
from unittest import mock

import keras
import numpy as np
import pytest

from benchmarks import __main__, floor, measures, training_step
from benchmarks.models import IN_THE_CELL, MODELS, new_model
from tests.support import normal, set_random_weights, total_loss
from tests.support import path as path_in_model

TENSORFLOW = keras.config.backend() == "tensorflow"


@pytest.mark.parametrize("name", MODELS)
def test_new_model(name):
    model = new_model(name, 3, 2, output="gaussian", hidden_units=4)
    assert (type(model).__name__, model.units, model.hidden_units) == (name, 3, 4)
    assert getattr(model, "latent_dim", 2) == 2


def test_training_step_takes_their_names(capsys):
    with pytest.raises(SystemExit):
        training_step.main(["--models", "LSTM"])
    error = capsys.readouterr().err
    assert all(name in error for name in MODELS)


def test_floor_counts_each_product():
    model = new_model("RNN", 3, 2, output="gaussian", hidden_units=5)
    model.build((None, None, 4))
    # LSTM on 4 features and on itself, hidden layer of the head, 2 numbers for each of 4 features
    shapes = floor.kernel_shapes(model)
    assert sorted(shapes) == [(3, 5), (3, 12), (4, 12), (5, 8)]
    size = training_step.SIZES["C"]._replace(time=7, batch=2)
    assert floor.operations(shapes, size) == 3 * 2 * 14 * (3 * 5 + 3 * 12 + 4 * 12 + 5 * 8)


def test_products_of_the_floor():
    products, x, dy = floor.Products((3, 4)), normal(5, 3), normal(5, 4, seed=1)
    w = keras.ops.convert_to_numpy(products.kernel)
    for result, expected in zip(products.take(x, dy), (x @ w, dy @ w.T, x.T @ dy), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_in_the_cell_is_the_same_model(name):
    x, terms = normal(2, 4, 3), []
    for each in (name, name + IN_THE_CELL):
        model = new_model(each, 3, 2, output="gaussian")
        model.build((None, None, 3))
        set_random_weights(model)
        terms.append(model.loss_terms(x, normal(2, 4, model.noise_dim, seed=1)))
    assert terms[0].keys() == terms[1].keys() and "nll" in terms[0]
    for term, values in terms[0].items():
        np.testing.assert_allclose(terms[1][term], values, rtol=1e-5, err_msg=term)


def numbers(nest):
    return [x for x in keras.tree.flatten(nest) if not isinstance(x, str)]


def test_quick_run(tmp_path, capsys):
    path, backend = tmp_path / "results.json", keras.config.backend()
    # TensorFlow takes long to trace Z-Forcing, and to export it.
    name = "RNN" if TENSORFLOW else "ZForcing"
    __main__.main(["--quick", "--no-memory", "--models", name, "--sizes", "B", "--output", str(path)])
    results = json.loads(path.read_text())
    (row,) = results["results"]
    expected = {"step_seconds", "ratio_to", "compile_seconds", "floor_gflop", "scoring_seconds", "generation_ms"}
    expected |= {"exported_ms"} if TENSORFLOW else set()
    assert row.keys() == {"backend", "model", "size"} | expected
    assert row["step_seconds"].keys() - {"pytorch"} == {name, "plain", "floor", "in the cell"}
    assert all(math.isfinite(x) and x > 0 for x in numbers(row))
    for other, ratio in row["ratio_to"].items():
        assert ratio == pytest.approx(row["step_seconds"][name] / row["step_seconds"][other])
    assert results["machines"][backend]["backend"] == backend
    assert results["settings"]["models"] == [name] and results["sizes"]["B"] == training_step.QUICK["B"]._asdict()
    assert results["command"].startswith("python -m benchmarks --quick --no-memory")
    heads, line = capsys.readouterr().out.splitlines()
    assert "/ floor" in heads and line.split()[:3] == [backend, "B", name]


def test_in_new_process():
    before = os.environ.get("KERAS_BACKEND")
    assert measures.in_new_process(os.getenv, "KERAS_BACKEND", backend="another") == "another"
    assert measures.in_new_process(os.getenv, "KERAS_BACKEND") == os.environ.get("KERAS_BACKEND") == before
    assert 1 < measures.in_new_process(measures.peak) < measures.peak()
    with pytest.raises(BrokenProcessPool):
        measures.in_new_process(os._exit, 1)


def test_sweep(monkeypatch, capsys):
    def cost(function, name, size, repeats, backend):
        assert (function, name, repeats, backend) == (training_step.alone, "RNN", 1, "jax")
        return 1e-3 * size.time * size.batch * size.units**2, 100.0 + size.hidden + size.latent

    monkeypatch.setattr(training_step, "in_new_process", cost)
    size, factors = training_step.SIZES["C"], (1, 2, 4)
    for axis, ratios in {"time": [1, 2, 4], "batch": [1, 2, 4], "units": [1, 4, 16]}.items():
        rows = list(training_step.sweep("RNN", size, axis, factors, 1, "jax"))
        assert [row[axis] for row in rows] == [factor * getattr(size, axis) for factor in factors]
        assert [row["seconds_ratio"] for row in rows] == ratios
    assert [row["memory_ratio"] for row in rows] == [1, 420 / 260, 740 / 260]


def test_memory_is_without_that_of_tensorflow(monkeypatch):
    calls = []

    def peak():
        calls.append("peak")
        return 100.0 * len(calls)

    monkeypatch.setattr(training_step, "importlib", mock.Mock(import_module=calls.append))
    monkeypatch.setattr(training_step, "peak", peak)
    monkeypatch.setattr(training_step, "train_step", lambda model, size: lambda: calls.append("step"))
    _, grown = training_step.alone("plain", training_step.QUICK["C"])
    assert calls == ["tensorflow", "peak", *["step"] * 3, "peak"] and grown == 400


def test_in_turn(monkeypatch):
    now, calls = [0.0], []

    def taking(name, *durations):
        durations = iter(durations)

        def call():
            calls.append(name)
            now[0] += next(durations)

        return call

    monkeypatch.setattr(measures.time, "perf_counter", lambda: now[0])
    found = measures.in_turn({"a": taking("a", 9, 5, 2, 4, 3), "b": taking("b", 8, 1, 1, 1, 1)}, 3)
    assert found == {"a": (3, 6), "b": (1, 7)} and calls == ["a", "b"] * 5


def test_table():
    rows = [{"model": "RNN", "s": 0.12345, "MiB": 1234.5}, {"model": "ZForcing", "s": 2.0}]
    assert measures.table(rows, ["model", "s", "MiB"]) == [
        "   model      s   MiB",
        "     RNN  0.123  1234",
        "ZForcing      2     -",
    ]


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--factors", "x"], ["--output", "no/such/file.json"]])
def test_refused_before_anything_runs(arguments, capsys):
    with pytest.raises(SystemExit):
        __main__.main(arguments)
    assert arguments[0] in capsys.readouterr().err


#: Layers of the models, and what they are in PyTorch.
IN_PYTORCH = {
    "backward_encoder/lstm/layer_0/lstm_cell": "backward_lstm",
    "recognition/layer_0/lstm_cell": "recognition",
    "lstm/layer_0/lstm_cell": "recurrence",
    "cell": "cell",
    "cell/posterior": "posterior",
    "posterior": "posterior",
    "prior": "prior",
    "auxiliary_decoder/network": "auxiliary",
    "state_decoder/network": "state_decoder",
    "head/network": "output",
    "head/network/linear": "output",
    "backward_head/network/linear": "backward_output",
    "features_x": "features",
    "features_z": "features_z",
}


def values_of(module):
    """Weights of a PyTorch module as a Keras layer has them: a dict of arrays by the end of their path."""
    of = {name.removesuffix("_l0"): x.detach().numpy() for name, x in module.named_parameters()}
    if "weight_ih" in of:
        kernels = {"kernel": of["weight_ih"].T, "recurrent_kernel": of["weight_hh"].T}
        return kernels | {"bias": of["bias_ih"] + of["bias_hh"]}
    names = {name: name.replace(".", "/").replace("weight", "kernel") for name in of}
    return {names[name]: x.T for name, x in of.items()}


@pytest.mark.parametrize(("name", "output"), [*((name, "gaussian") for name in MODELS), ("ZForcing", "bernoulli")])
def test_pytorch_has_the_same_loss(name, output, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import pytorch

    size = training_step.Size(6, 3, 5, 2, 4, output, 3)
    theirs, ours = pytorch.MODELS[name](size), training_step.make_model(name, size)
    ours.build((None, None, 3))
    modules = {layer: getattr(theirs, attribute, None) for layer, attribute in IN_PYTORCH.items()}
    values = {f"{layer}/{end}": x for layer, of in modules.items() if of for end, x in values_of(of).items()}
    for weight in ours.trainable_weights:
        weight.assign(values[path_in_model(weight)])
    count = sum(x.numel() for key, x in theirs.named_parameters() if "bias_hh" not in key)
    assert count == sum(math.prod(weight.shape) for weight in ours.trainable_weights)
    x, noise = training_step.frames(size), normal(3, 6, ours.noise_dim)
    if name == "STORN":
        draws = [noise]
    else:  # of each step z_t's, then, where there is one, the state's
        draws = [part for step in noise.swapaxes(0, 1) for part in np.split(step, [size.latent], axis=1) if part.size]
    draws = iter([torch.from_numpy(np.ascontiguousarray(part)) for part in draws])
    monkeypatch.setattr(torch, "randn_like", lambda _: next(draws))
    assert theirs(torch.from_numpy(x)).item() == pytest.approx(float(total_loss(ours, x, noise)), rel=1e-5)
