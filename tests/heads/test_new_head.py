"""A new head is one file: with it every model has the output."""

import importlib
import pathlib

import keras
import numpy as np
import pytest

import zf_keras.heads
from zf_keras import RNN, STORN
from zf_keras.heads.registry import OUTPUTS

FILE = '''
import keras
from keras import ops

from zf_keras.heads.head import IndependentHead, unshifted
from zf_keras.heads.registry import output
from zf_keras.probability import float32


@output("exponential")
@keras.saving.register_keras_serializable("tests")
class ExponentialHead(IndependentHead):
    """p(y) = rate exp(-rate y); the parameter is the log-rate."""

    scales = "positive"
    params_dim = property(lambda self: self.features)
    uniform_dim = property(lambda self: self.features)

    def __init__(self, features=None, num_components=1, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        self.num_components = num_components

    def log_prob_by_feature(self, params, values):
        return float32(params) - ops.exp(float32(params)) * float32(values)

    def draw(self, params, normal, uniform, temperature=1.0):
        return -temperature * ops.log1p(-uniform) / ops.exp(float32(params))

    def mode(self, params):
        return ops.zeros_like(params)

    def mean(self, params):
        return ops.exp(-float32(params))

    def at_scale(self, params, shift, scale):
        return float32(params) - ops.log(unshifted(shift, scale))

    def check_values(self, name, values):
        if (values < 0).any():
            raise ValueError(f"`{name}` must be >= 0.")

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components}
'''


@pytest.fixture
def exponential(tmp_path, monkeypatch):
    (tmp_path / "exponential.py").write_text(FILE)
    monkeypatch.setattr(zf_keras.heads, "__path__", [*zf_keras.heads.__path__, str(tmp_path)])
    importlib.import_module("zf_keras.heads.exponential")
    yield
    del OUTPUTS["exponential"]


def test_a_new_head(exponential, tmp_path):
    x = np.random.default_rng(0).exponential(size=(4, 3, 2)).astype("float32")
    for model in (RNN(3, "exponential"), STORN(3, 2, "exponential", num_components=3)):
        model.compile(optimizer="adam", run_eagerly=keras.config.backend() == "tensorflow")
        model.fit(x, verbose=0)
        with pytest.raises(ValueError, match=">= 0"):
            model.log_likelihood(-x)
    assert model.head.num_components == 3
    assert (model.generate(2, 4, temperature=0.5) >= 0).all()
    head, params = model.head, np.array([[0.5, -1.0]], "float32")
    np.testing.assert_allclose(
        head.log_prob(params, x[0, :1], np.array([[True, False]])), 0.5 - np.exp(0.5) * x[0, :1, 0]
    )
    np.testing.assert_allclose(head.mean(head.at_scale(params, 0, 3.0)), 3 * np.exp(-params), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.log_likelihood(x, seed=0), model.log_likelihood(x, seed=0), rtol=1e-6)


def test_every_file_of_heads_is_there():
    files = {path.stem for path in pathlib.Path(zf_keras.heads.__file__).parent.glob("*.py")}
    modules = {cls.__module__.rpartition(".")[2] for cls in OUTPUTS.values()}
    assert files == modules | {"__init__", "head", "mixed", "registry"}  # a mixed frame has no name
    assert {"bernoulli", "categorical", "gaussian", "gaussian_mixture"} <= set(OUTPUTS)
