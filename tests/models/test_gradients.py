"""Gradients against finite differences of the loss, where nothing is stopped, and under XLA."""

import keras
import numpy as np
import pytest

from tests.models.table import NO_CHANCE, make
from tests.support import gradients, normal, padded_batch, total_loss

CASES = {
    "rnn": {},
    "storn": {},
    "vrnn": {},
    "vrnn_i": {},
    "srnn": {},
    "srnn_filtering": {},
    "srnn_options": {},
    "z_forcing_elbo": {},
    "variational_bilstm": {"skip_gradient": 0, "gamma": 0.1},
}


@pytest.mark.parametrize("name", CASES)
def test_directional_derivative(name):
    model, data = make(name, **CASES[name]), padded_batch()
    noise = normal(3, 5, model.noise_dim, seed=1)
    weights = model.trainable_weights
    values = [np.asarray(w) for w in weights]
    grads = gradients(lambda: total_loss(model, data, noise), weights)
    rng, step = np.random.default_rng(0), 2e-3
    for _ in range(3):
        direction = [rng.normal(size=v.shape) / np.sqrt(sum(v.size for v in values)) for v in values]
        losses = []
        for sign in (1, -1):
            for w, v, d in zip(weights, values, direction, strict=True):
                w.assign(v + sign * step * d)
            losses.append(float(total_loss(model, data, noise)))
        expected = (losses[0] - losses[1]) / (2 * step)
        actual = sum(np.sum(g * d) for g, d in zip(grads, direction, strict=True))
        scale = np.sqrt(sum(np.sum(g**2) for g in grads) / sum(v.size for v in values))
        np.testing.assert_allclose(actual, expected, atol=0.02 * scale + 1e-3 * abs(losses[0]))


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="JAX compiles everything by XLA")
@pytest.mark.parametrize("name", ["vrnn", "srnn", "z_forcing", "variational_bilstm"])
def test_xla_on_tensorflow(name):
    import tensorflow as tf

    model, data = make(name, **NO_CHANCE.get(name, {})), padded_batch()
    noise = tf.constant(normal(3, 5, model.noise_dim, seed=1))

    def value_and_gradients():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(data, y_pred=model(data, noise=noise), training=False)
        return loss, tape.gradient(loss, [w.value for w in model.trainable_weights])

    plain, compiled = (tf.function(value_and_gradients, jit_compile=jit)() for jit in (False, True))
    for expected, actual in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * scale)
