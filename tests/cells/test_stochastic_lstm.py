"""The step against NumPy, the hand-written gradient against automatic differentiation and finite differences."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.support import gradients, named_gradients, normal, set_random_weights
from zf_keras import StochasticLSTMCell

B, T, F, C, Z, H = 3, 6, 4, 5, 2, 7
CASES = {
    "plain": {"context_dim": 0},
    "context": {"context_dim": C},
    "inputs": {"context_dim": C, "inputs_to_latent": True},
    "projection": {"context_dim": C, "latent_units": 3},
    "clipped": {"context_dim": C, "clip": 0.3},
    "unclipped": {"context_dim": C, "clip": None},
}


class Loop(keras.Model):
    """The same cell in `keras.layers.RNN` and through `scan`."""

    def __init__(self, **kwargs):
        super().__init__()
        self.cell = StochasticLSTMCell(H, Z, hidden_units=6, name="cell", **kwargs)
        self.rnn = keras.layers.RNN(self.cell, return_sequences=True)
        self.context_dim = self.cell.context_dim

    def build(self, input_shape):
        self.rnn.build((None, None, F + self.context_dim + Z))

    def parts(self, inputs):
        x, context, noise = ops.split(ops.convert_to_tensor(inputs), [F, F + self.context_dim], axis=-1)
        return x, context if self.context_dim else None, noise

    def call(self, inputs, scan=True):
        if scan:
            return self.cell.scan(*self.parts(inputs))[0]
        return self.cell.unpack(self.rnn(inputs))


@pytest.fixture(params=CASES, ids=str)
def loop(request):
    model = Loop(**CASES[request.param])
    inputs = normal(B, T, F + model.context_dim + Z)
    model(inputs)
    return set_random_weights(model, 0.8), inputs


def arrays(outputs):
    return [ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)]


def test_step_by_step_in_numpy(loop):
    model, inputs = loop
    cell = model.cell
    x, context, noise = (None if p is None else ops.convert_to_numpy(p) for p in model.parts(inputs))
    w = {weight.path.split("cell/", 1)[1]: np.asarray(weight, "float64") for weight in cell.weights}
    results = [arrays(model(inputs, scan=scan)) for scan in (True, False)]
    h = c = np.zeros((B, H))
    for t in range(T):
        seen = [h] + ([] if context is None else [context[:, t]]) + ([x[:, t]] * cell.inputs_to_latent)
        a = np.concatenate(seen, -1) @ w["posterior/hidden/kernel"] + w["posterior/hidden/bias"]
        hidden = np.clip(np.where(a > 0, a, a / 3), -3, 3)
        params = hidden @ w["posterior/linear/kernel"] + w["posterior/linear/bias"]
        if cell.clip is not None:
            params = np.clip(params, -cell.clip, cell.clip)
        mean, log_variance = np.split(params, 2, -1)
        z = mean + np.exp(log_variance / 2) * noise[:, t]
        read = z @ w["projection/kernel"] + w["projection/bias"] if cell.latent_units else z
        gates = np.concatenate([x[:, t], read], -1) @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]
        i, f, g, o = np.split(gates, 4, -1)
        sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        for outputs in results:
            for actual, expected in zip(outputs, (h, z, mean, log_variance), strict=True):
                np.testing.assert_allclose(actual[:, t], expected, rtol=1e-4, atol=1e-5)


def test_gradient_equals_automatic_differentiation(loop):
    model, inputs = loop
    factors = [normal(B, T, size, seed=i) for i, size in enumerate((H, Z, Z, Z))]

    def loss(scan):
        def run():
            outputs = keras.tree.flatten(model(inputs, scan=scan))
            return sum(ops.sum(f * o) for f, o in zip(factors, outputs, strict=True))

        return run

    by_hand, automatic = (named_gradients(loss(scan), model) for scan in (True, False))
    for name, expected in automatic.items():
        scale = np.abs(expected).max()
        assert scale > 0, name
        np.testing.assert_allclose(by_hand[name], expected, rtol=1e-4, atol=1e-5 * scale, err_msg=name)


def test_gradient_of_inputs_and_states():
    """Central differences, for everything that the loop reads and is not a weight."""
    cell = StochasticLSTMCell(H, Z, hidden_units=6, context_dim=C, inputs_to_latent=True)
    cell.build((None, F + C + Z))
    set_random_weights(keras.Sequential([cell]), 0.5)
    leaves = [normal(B, T, F), normal(B, T, C), normal(B, T, Z), 0.5 * normal(B, H), 0.5 * normal(B, H)]
    variables = [keras.Variable(leaf) for leaf in leaves]
    factors = [normal(B, T, H, seed=7), normal(B, T, Z, seed=8), normal(B, H, seed=9)]

    def function():
        x, context, noise, h, c = (v + 0.0 for v in variables)
        outputs, (_, c_last) = cell.scan(x, context, noise, (h, c))
        return ops.sum(factors[0] * outputs.h) + ops.sum(factors[1] * outputs.z) + ops.sum(factors[2] * c_last)

    step = 1e-2
    for leaf, variable, gradient in zip(leaves, variables, gradients(function, variables), strict=True):
        direction = normal(*leaf.shape, seed=3)
        values = []
        for sign in (1, -1):
            variable.assign(leaf + sign * step * direction)
            values.append(float(function()))
        variable.assign(leaf)
        numeric = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), numeric, rtol=2e-3)


def test_config_and_weights_survive_a_functional_model(tmp_path):
    inputs = keras.Input((None, F + C + Z))
    cell = StochasticLSTMCell(H, Z, context_dim=C, latent_units=3, clip=4.0, inputs_to_latent=True)
    model = keras.Model(inputs, keras.layers.RNN(cell, return_sequences=True)(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    data = normal(B, T, F + C + Z)
    np.testing.assert_array_equal(model.predict(data, verbose=0), restored.predict(data, verbose=0))


def test_forget_bias_starts_at_one():
    cell = StochasticLSTMCell(H, Z)
    cell.build((None, F + Z))
    np.testing.assert_array_equal(cell.bias, np.repeat([0, 1, 0, 0], H))


def test_errors():
    with pytest.raises(ValueError, match="latent_dim"):
        StochasticLSTMCell(4, 0)
    with pytest.raises(ValueError, match="context_dim"):
        StochasticLSTMCell(4, 2, context_dim=3).build((None, 5))
