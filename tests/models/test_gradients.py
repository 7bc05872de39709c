"""Gradients against finite differences of the loss, where nothing is stopped."""

import numpy as np
import pytest

from tests.models.table import make
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
