"""Whether what is used of other packages' private members is there, and does what it did."""

import random

import keras
import numpy as np
import pytest

from zf_keras import RNN, _private


def test_tfp_of_the_backend():
    tfp = _private.tfp()
    assert tfp.__name__.startswith("tensorflow_probability") and _private.tfp() is tfp
    assert ("jax" in tfp.__name__) == (keras.config.backend() == "jax")
    normal = tfp.distributions.Normal(np.float32(0), np.float32(1))
    np.testing.assert_allclose(normal.log_prob(np.float32(0)), -0.5 * np.log(2 * np.pi), rtol=1e-6)


@pytest.mark.skipif(keras.config.backend() != "jax", reason="a table of JAX")
def test_the_table_that_tfp_asks_for():
    import jax

    _private.tfp()
    table = jax.interpreters.xla.pytype_aval_mappings
    assert table[np.ndarray](np.zeros(3, "float32")).shape == (3,)


def test_all_layers():
    model = RNN(3, "gaussian", num_layers=2)
    model.build((None, None, 2))
    layers = _private.all_layers(model)
    assert layers[0] is model and model.head.network.linear in layers
    assert sum(isinstance(layer, keras.layers.LSTM) for layer in layers) == 2


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="once is enough")
def test_patch_tf2onnx():
    pytest.importorskip("tf2onnx")
    _private.patch_tf2onnx()
    import tf2onnx

    assert tf2onnx.tfonnx.rewrite_constant_fold.__module__ == "keras.src.export.tf2onnx_lib"


def test_validation_in_fit(monkeypatch):
    """`fit` evaluates with the data that it has checked, and tells so."""
    seen = []

    class Recording(RNN):
        def evaluate(self, *args, **kwargs):
            seen.append(_private.is_validation(kwargs))
            return super().evaluate(*args, **kwargs)

    model, x = Recording(2, "gaussian"), np.zeros((2, 2, 1), "float32")
    model.compile(optimizer="sgd", run_eagerly=True)
    model.fit(x, validation_data=x, verbose=0)
    model.evaluate(x, verbose=0)
    assert seen == [True, False]


def test_initializers_are_seeded_by_python():
    state = random.getstate()
    try:
        drawn = []
        for _ in range(2):
            random.seed(3)
            drawn.append(keras.initializers.GlorotUniform()((2, 2)))
    finally:
        random.setstate(state)
    np.testing.assert_array_equal(*drawn)


def test_what_replicas_replace():
    """Keras's metric of the loss, and on TensorFlow the step in which its optimizer adds up gradients."""
    model = RNN(2, "gaussian")
    model.compile(optimizer="sgd", run_eagerly=True)
    assert _private.loss_metric(model).name == "loss"
    _private.for_replicas(model)
    model.fit(np.zeros((2, 2, 1), "float32"), verbose=0)
    assert model.metrics[0] is _private.loss_metric(model) and float(model.metrics[0].count) == 0
    if keras.config.backend() == "tensorflow":
        added = type(model.optimizer)._all_reduce_sum_gradients
        assert callable(added) and model.optimizer._all_reduce_sum_gradients is list
