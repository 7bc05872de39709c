"""The time loop against the same steps written out."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.support import gradients, normal
from zf_keras.loops.recurrence import Affine, recurrence
from zf_keras.loops.scan import scan


def step(weights, state, inputs):
    """Two products, one of what the other gave; a flag among the inputs that takes no gradient."""
    h, count = state
    x, noise, flag = inputs
    hidden = ops.tanh(x + weights["recurrent"](h))
    z = weights["nested"][0](hidden) + noise
    h = (
        ops.where(ops.cast(flag, "bool"), ops.stop_gradient(h), h)
        + ops.tanh(ops.sum(z, axis=-1, keepdims=True)) * hidden
    )
    return (h, count + 1.0), {"z": z, "h": h}


@pytest.fixture
def variables():
    shapes = {"kernel": (4, 4), "out": (4, 2), "bias": (2,), "h": (3, 4), "x": (6, 3, 4), "noise": (6, 3, 2)}
    return {name: keras.Variable(normal(*shape, seed=i), name=name) for i, (name, shape) in enumerate(shapes.items())}


def run(variables, loop):
    v = {name: variable + 0.0 for name, variable in variables.items()}
    weights = {"recurrent": Affine(v["kernel"]), "nested": [Affine(v["out"], v["bias"])]}
    flag = ops.convert_to_tensor((np.arange(18).reshape(6, 3, 1) % 5 == 0).astype("float32"))
    return loop(weights, (v["h"], ops.zeros((3, 1))), [v["x"], v["noise"], flag])


def written_out(weights, state, inputs):
    outputs = []
    for t in range(6):
        state, out = step(weights, state, [x[t] for x in inputs])
        outputs.append(out)
    return state, {name: ops.stack([out[name] for out in outputs]) for name in outputs[0]}


def test_values_and_gradients(variables):
    def loss(loop):
        (h, count), out = run(variables, loop)
        return ops.sum(h**2) + ops.sum(count) + ops.sum(out["z"] ** 3) + ops.sum(ops.sin(out["h"]))

    def looped(weights, state, inputs):
        return recurrence(step, weights, state, inputs)

    (h, count), out = run(variables, looped)
    (expected_h, _), expected_out = run(variables, written_out)
    np.testing.assert_allclose(h, expected_h, rtol=1e-5)
    np.testing.assert_array_equal(count, np.full((3, 1), 6.0))
    for name in out:
        np.testing.assert_allclose(out[name], expected_out[name], rtol=1e-5)
    each = list(variables.values())
    pairs = zip(each, gradients(lambda: loss(looped), each), gradients(lambda: loss(written_out), each), strict=True)
    for variable, actual, expected in pairs:
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5, err_msg=variable.name)
        assert expected.any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 4])
def test_scan(length, reverse):
    x = normal(length, 2)
    last, sums = scan(lambda s, x: (s + x, s * x), ops.zeros(2), ops.convert_to_tensor(x), reverse=reverse)
    total, expected = np.zeros(2), np.zeros((length, 2))
    for t in reversed(range(length)) if reverse else range(length):
        expected[t] = total * x[t]
        total = total + x[t]
    np.testing.assert_allclose(last, total, rtol=1e-6)
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
