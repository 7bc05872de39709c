"""The time loop against the same steps written out and differentiated automatically, part by part."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.support import gradients, normal
from zf_keras.layers.auxiliary_decoder import AuxiliaryDecoder
from zf_keras.loops.parts import Affine, clipped, draw, gated, leaky
from zf_keras.loops.recurrence import recurrence
from zf_keras.loops.scan import scan
from zf_keras.models.srnn.srnn import residual_mean
from zf_keras.models.variational_bilstm.variational_bilstm import DrawState, stop_gradient_where

#: Sizes of what every step has: h and x are (batch, 4), the noise (batch, 2), the flag (batch, 1).
SHAPES = {
    "kernel": (4, 4),
    "both": (4, 6),
    "bias": (6,),
    "wide": (8, 4),
    "gates": (4, 8),
    "h": (3, 4),
    "c": (3, 2),
}


def several(weights, state, x, noise, flag):
    """Several inputs and results of one product, used several times; a product that nothing depends on."""
    h, c = state
    a, b = weights["both"](h)
    weights["wide"](x, a)
    after = a + weights["kernel"](leaky(x)) + weights["wide"](h, a)
    return (after, c), {"h": h, "a": a, "b": b, "after": after}


def activations(weights, state, x, noise, flag):
    h, c = state
    h = clipped(leaky(x + weights["kernel"](h)), 0.9)
    return (h, c), h


def latent(weights, state, x, noise, flag):
    h, _ = state
    z = draw(residual_mean(x, weights["kernel"](h)), noise)
    return (x + weights["kernel"](h), z), [z]


def lstm(weights, state, x, noise, flag):
    h, c = state
    new, c, _ = gated(weights["gates"](x) + weights["gates"](h), c)
    return (h, c), new


def stopped(weights, state, x, noise, flag):
    h, c = state
    h = x + weights["kernel"](stop_gradient_where(h, flag)) + h
    return (h, c), h


def state_drawn(cost):
    decoder = AuxiliaryDecoder(2 if cost == "gaussian" else 4, 3, cost, clip=0.5)

    def step(weights, state, x, noise, flag):
        h, c = state
        b = DrawState(decoder)(weights["kernel"](h), noise if cost == "gaussian" else x)
        return (x + weights["kernel"](h), c), b

    return step


STEPS = {
    "several": several,
    "activations": activations,
    "latent": latent,
    "lstm": lstm,
    "stopped": stopped,
    "state drawn": state_drawn("gaussian"),
    "state drawn, l2": state_drawn("l2"),
}


def run(step, variables, loop):
    v = {name: variable + 0.0 for name, variable in variables.items()}
    weights = {name: Affine(v[name]) for name in ("kernel", "wide", "gates")}
    weights["both"] = Affine(v["both"], v["bias"], sizes=[4, 2])
    flag = ops.cast(v["x"][..., :1] > 0.5, ops.dtype(v["x"]))
    return loop(lambda w, s, inputs: step(w, s, *inputs), weights, (v["h"], v["c"]), (v["x"], v["noise"], flag))


def written_out(step, weights, state, inputs):
    outputs = []
    for t in range(len(inputs[0])):
        state, out = step(weights, state, [x[t] for x in inputs])
        outputs.append(out)
    return state, keras.tree.map_structure(lambda *x: ops.stack(x), *outputs)


def values_of(time, scale=1.0):
    shapes = SHAPES | {"x": (time, 3, 4), "noise": (time, 3, 2)}
    return {name: scale * normal(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("time", [1, 6])
def test_values_and_gradients(name, time):
    variables = {name: keras.Variable(value) for name, value in values_of(time).items()}

    def loss(loop):
        leaves = keras.tree.flatten(run(STEPS[name], variables, loop))
        return sum(ops.sum(leaf * ops.convert_to_tensor(normal(*leaf.shape, seed=i))) for i, leaf in enumerate(leaves))

    found, expected = (keras.tree.flatten(run(STEPS[name], variables, loop)) for loop in (recurrence, written_out))
    for actual, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-5, atol=1e-6)
    each = list(variables.values())
    derivatives = [gradients(lambda loop=loop: loss(loop), each) for loop in (recurrence, written_out)]
    for variable, actual, value in zip(variables, *derivatives, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-4, atol=1e-5, err_msg=variable)
    assert sum(value.any() for value in derivatives[1]) >= 3


@pytest.mark.parametrize("name", STEPS)
def test_half_precision(name):
    """Products after the loop round otherwise than sums within it."""
    variables = {name: keras.Variable(value) for name, value in values_of(5, 0.3).items()}

    def loss(loop):
        halved = {name: ops.cast(variable + 0.0, "bfloat16") for name, variable in variables.items()}
        leaves = keras.tree.flatten(run(STEPS[name], halved, loop))
        assert {ops.dtype(leaf) for leaf in leaves} == {"bfloat16"}
        return sum(ops.sum(ops.cast(leaf, "float32")) for leaf in leaves)

    each = list(variables.values())
    derivatives = [gradients(lambda loop=loop: loss(loop), each) for loop in (recurrence, written_out)]
    for variable, actual, value in zip(variables, *derivatives, strict=True):
        np.testing.assert_allclose(actual, value, atol=0.03 * np.abs(value).max() + 1e-6, err_msg=variable)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="JAX has float64 only by a switch for the whole process")
@pytest.mark.parametrize("name", ["several", "activations", "latent", "lstm"])  # the others: float32, no derivative
def test_finite_differences_in_float64(name):
    values = {name: value.astype("float64") for name, value in values_of(5, 0.3).items()}

    def loss(values):
        variables = {name: ops.convert_to_tensor(value) for name, value in values.items()}
        return sum(ops.sum(ops.sin(leaf)) for leaf in keras.tree.flatten(run(STEPS[name], variables, recurrence)))

    variables = {name: keras.Variable(value, dtype="float64") for name, value in values.items()}
    derivatives = gradients(lambda: loss({name: v.value for name, v in variables.items()}), list(variables.values()))
    for (variable, value), derivative in zip(values.items(), derivatives, strict=True):
        for index in list(np.ndindex(value.shape))[::31]:
            step = np.zeros_like(value)
            step[index] = 1e-6
            expected = (loss(values | {variable: value + step}) - loss(values | {variable: value - step})) / 2e-6
            np.testing.assert_allclose(derivative[index], expected, rtol=1e-6, atol=1e-8, err_msg=variable)


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
