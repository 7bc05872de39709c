"""The examples in the docstrings and in the README run, and print what they say."""

import doctest
import functools
import importlib
import inspect
import json
import pathlib
import pkgutil
import re
import threading
import urllib.request

import keras
import numpy as np
import pytest

import zf_keras
from tests.models.test_released_weights import REFERENCE
from zf_keras.heads.registry import OUTPUTS
from zf_keras.models.configured import ConfiguredModel
from zf_keras.models.z_forcing import from_released_weights

MODULES = [module.name for module in pkgutil.walk_packages(zf_keras.__path__, "zf_keras.")]
if keras.config.backend() != "tensorflow":  # which makes exports, on other backends in processes of its own
    MODULES = [name for name in MODULES if not name.startswith("zf_keras.export")]


class Checker(doctest.OutputChecker):
    """Shapes are printed as tuples, whatever the backend."""

    def check_output(self, want, got, optionflags):
        return super().check_output(want, re.sub(r"TensorShape\(\[(.*?)\]\)", r"(\1)", got), optionflags)


@pytest.fixture
def names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with np.load(REFERENCE / "gaussian_aux_zh.npz") as file:
        np.savez("checkpoint.npz", **{name[2:]: file[name] for name in file if name.startswith("w.")})
    own = {"np": np, "keras": keras, "from_released_weights": from_released_weights}
    return {**vars(zf_keras), **own}


def test_docstrings(names):
    runner, count = doctest.DocTestRunner(Checker(), verbose=False), 0
    for module in MODULES:
        module = importlib.import_module(module)
        for test in doctest.DocTestFinder().find(module, globs={**names, **vars(module)}):
            count += runner.run(test).attempted
    assert runner.failures == 0
    assert count > 20


@pytest.mark.parametrize("name", ["RNN", "STORN", "VRNN", "SRNN", "ZForcing", "VariationalBiLSTM"])
def test_every_argument_is_documented(name):
    cls = getattr(zf_keras, name)
    arguments = [
        parameter.name
        for base in cls.__mro__
        if issubclass(base, ConfiguredModel) and "__init__" in vars(base)
        for parameter in inspect.signature(base.__init__).parameters.values()
        if parameter.name not in ("self", "kwargs")
    ]
    assert "seed" in arguments and ("latent_dim" in arguments) == (name != "RNN")
    for argument in arguments:
        assert re.search(rf"^\s+{argument}: ", cls.__doc__, re.MULTILINE), argument
    assert "{output}" not in cls.__doc__ and "{shared}" not in cls.__doc__


def test_readme(names):
    """A minute of training is cut to four updates."""
    readme = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    assert "epochs=30" in code
    exec(code.replace("epochs=30", "epochs=1, steps_per_epoch=4, verbose=0"), names)
    assert names["endings"].shape == (10, 4, 3, 8) and names["likely"].shape == names["upper"].shape == (4, 3, 8)
    assert names["latents"].mean.shape == (250, 8, 16)
    assert names["scores"].shape == (8,) and names["continued"].shape == (3, 8, 2, 8)


def names_of_docs(page):
    """What the examples of a page define, run in the current folder."""
    text = (pathlib.Path(__file__).parents[1] / "docs" / page).read_text()
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    return names


def test_docs_of_presets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = names_of_docs("presets.md")
    assert names["samples"].shape == (16, 8, 8) and names["scores"].shape == (250,)
    assert names["fresh"].units == 64 and names["again"].units == names["same"].units == 24
    assert names["text"].startswith("ab")


def test_docs_of_forecasts():
    names = names_of_docs("forecasts.md")
    assert names["deciles"].shape == (3, 4, 12, 1) and names["totals"].shape == (100, 4, 1)
    assert len(names["figure"].axes) == 1
    assert names["ragged"].shape == (100, 4, 12, 1) and names["sequences"].shape == (4, 60, 1)
    assert names["each"].mean() == pytest.approx(names["found"]["crps"]) and names["naive"] > 0
    raw, recalibrated = names["coverages"]
    assert abs(recalibrated - 0.8) < abs(raw - 0.8)


def test_docs_of_gluonts():
    found = names_of_docs("gluonts.md")["found"]
    assert list(found) == ["MASE[0.5]", "mean_weighted_sum_quantile_loss"] and np.isfinite(found.to_numpy()).all()


def test_docs_of_series(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = names_of_docs("series.md")
    assert {key: x.shape for key, x in names["data"].test[0].items()} == {
        "targets": (72, 1),
        "covariates": (72, 3),
        "categories": (1,),
    }
    assert names["forecast"].shape == (100, 2, 24, 1) and names["cardinalities"] == (2,)
    assert names["features"].shape == (336, 3) and names["steps"][:, 0].tolist() == pytest.approx([0, 0, np.log(3)])


def test_docs_of_time_series():
    names = names_of_docs("time_series.md")
    gaps = np.isnan(names["sales"][:, :48])
    assert names["forecast"].shape == (100, 32, 24, 1) and (names["lower"] <= names["upper"]).all()
    assert (names["filled"][:, ~gaps] == names["sales"][:, :48][~gaps]).all() and np.isfinite(names["filled"]).all()
    read = ~np.isnan(names["faulty"]["targets"])
    np.testing.assert_array_equal(np.isnan(names["by_sensor"]), ~read)
    assert names["alarms"][:, 15].all() and names["alarms"][:, :15].mean() < 0.01
    assert not names["alarms"][~read.any(axis=-1)].any() and names["by_sensor"][:, 15, 1].max() < names["threshold"]


def test_docs_of_outputs():
    names = names_of_docs("outputs.md")
    assert names["scores"].shape == (8,) and names["params"].shape == (8, 20, 11)
    assert names["expected"].shape == names["drawn"].shape == (8, 20, 5) and names["log_prob"].shape == (8, 20)


def test_every_output_is_documented():
    page = (pathlib.Path(__file__).parents[1] / "docs" / "outputs.md").read_text()
    for name in OUTPUTS:
        assert f'`"{name}"`' in page and f'`"{name}"`' in zf_keras.RNN.__doc__


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="TensorFlow serves what it exported")
def test_docs_of_a_service(tmp_path, monkeypatch):
    """From a CSV to the answer of the server, in less than 40 lines."""
    pd = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    hours = pd.date_range("2024-01-01", periods=24 * 14, freq="h")
    shops = {"north": 20.0, "south": 900.0}
    y = {name: size * (2 + np.sin(2 * np.pi * hours.hour / 24)) for name, size in shops.items()}
    frames = [pd.DataFrame({"unique_id": name, "ds": hours, "y": each}) for name, each in y.items()]
    pd.concat(frames).to_csv("sales.csv", index=False)
    names = names_of_docs("forecast_service.md")
    text = (pathlib.Path(__file__).parents[1] / "docs" / "forecast_service.md").read_text()
    lines = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)).splitlines()
    assert len([line for line in lines if line]) < 40
    server, test = names["server"], names["test"]
    asked = {"y": test["targets"][1, :72].tolist(), "covariates": test["covariates"][1].tolist(), "horizon": 24}
    threading.Thread(target=server.handle_request).start()
    request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}", json.dumps(asked).encode())
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    server.server_close()
    lower, median, upper = (np.array(answer[key]) for key in ("lower", "median", "upper"))
    assert lower.shape == (24,) and (lower < median).all() and (median < upper).all()
    expected = names["forecast"].median[1, :, 0]
    assert np.abs(median - expected).mean() < 0.2 * np.abs(expected).mean()


def test_docs_of_long_sequences():
    names = names_of_docs("long_sequences.md")
    assert len(names["pieces"]) == 11 and len(names["history"].history["loss"]) == 2


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="what it runs is TensorFlow's, and is run there")
def test_docs_of_export(tmp_path, monkeypatch):
    """With one ONNX file, and the SavedModel loaded once: the rest is in test_export.py."""
    import tensorflow as tf

    from zf_keras.export.files import HELD

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(HELD, "onnx", ("generate_step",))
    monkeypatch.setattr(tf.saved_model, "load", functools.cache(tf.saved_model.load))
    names = names_of_docs("export.md")
    assert names["images"].shape == (4, 8, 8) and names["endings"].shape == (256, 3, 8)
    bound = zf_keras.ZForcing.from_preset("z_forcing_digits").log_likelihood(names["image"][None], 500, seed=0)
    totals = [names["total"](names["image"]) for _ in range(5)]
    np.testing.assert_allclose(np.mean(totals), bound, atol=0.5)
    assert names["total"](names["image"][::-1]) < np.mean(totals) - 2


def test_docs(tmp_path, monkeypatch):
    """The example of a data set of one's own, on files as it names them."""
    monkeypatch.chdir(tmp_path)
    arrays = [np.random.default_rng(i).normal(3.0, 2.0, (5 + i, 2)) for i in range(4)]
    for name, array in zip("abcd", arrays, strict=True):
        np.save(f"{name}.npy", array)
    text = (pathlib.Path(__file__).parents[1] / "docs" / "datasets.md").read_text()
    names = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[-1], names)
    train = np.concatenate(arrays[:2])
    np.testing.assert_allclose(names["data"].test[0], (arrays[3] - train.mean()) / train.std(), rtol=1e-4, atol=1e-5)
