"""The loop with a gradient written by hand, beside Keras's own."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.support import gradients, normal, set_random_weights
from zf_keras.layers import lstm as module
from zf_keras.layers.lstm import LSTM


@pytest.fixture
def by_hand(monkeypatch):
    """Small layers too."""
    monkeypatch.setitem(module.LEAST_UNITS, keras.config.backend(), 1)


def layers(units, features, dtype="float32"):
    """The layer, and Keras's, with the same weights."""
    options = {"return_sequences": True, "return_state": True, "dtype": dtype}
    ours, theirs = LSTM(units, **options), keras.layers.LSTM(units, use_cudnn=False, **options)
    for layer in (ours, theirs):
        layer.build((None, None, features))
    set_random_weights(ours)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


@pytest.mark.parametrize(("batch", "time", "features", "units"), [(3, 7, 2, 5), (1, 1, 1, 1), (2, 1, 3, 4)])
def test_values_and_gradients_are_those_of_keras(by_hand, batch, time, features, units):
    x = ops.convert_to_tensor(normal(batch, time, features))
    start = [ops.convert_to_tensor(normal(batch, units, seed=i)) for i in (1, 2)]
    weighing = [ops.convert_to_tensor(normal(*shape, seed=3)) for shape in ((batch, time, units), (batch, units))]
    found = []
    for layer in layers(units, features):

        def loss(layer=layer):
            h, h_last, c_last = layer(x, initial_state=start)
            return ops.sum(h * weighing[0]) + ops.sum((h_last + 2 * c_last) * weighing[1])

        outputs = [ops.convert_to_numpy(part) for part in layer(x, initial_state=start)]
        found.append([*outputs, *gradients(loss, layer.trainable_weights)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_gradient_by_inputs_and_states(by_hand):
    """Those of a layer below, which is trained through it."""
    x = normal(2, 6, 3)
    found = []
    for above in layers(4, 3):
        below = keras.layers.Dense(3, kernel_initializer="identity")
        to_state = keras.layers.Dense(4, kernel_initializer="ones")
        below.build(x.shape), to_state.build((2, 3))

        def loss(above=above, below=below, to_state=to_state):
            h, _, c = above(below(x), initial_state=[to_state(x[:, 0]), to_state(x[:, 1])])
            return ops.sum(ops.square(h)) + ops.sum(c)

        found.append(gradients(loss, [*below.trainable_weights, *to_state.trainable_weights]))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_half_precision(by_hand):
    ours, theirs = layers(4, 3, "mixed_bfloat16")
    h, _, c = ours(normal(2, 5, 3))
    assert ops.dtype(h) == ops.dtype(c) == "bfloat16"
    expected = ops.convert_to_numpy(ops.cast(theirs(normal(2, 5, 3))[0], "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(ops.cast(h, "float32")), expected, atol=0.02)


def test_where_keras_is_faster_its_loop_runs(monkeypatch):
    def refused(*args):
        raise AssertionError

    monkeypatch.setattr(module, "recurrence", refused)
    monkeypatch.setitem(module.LEAST_UNITS, keras.config.backend(), 5)
    ours, theirs = layers(4, 3)
    np.testing.assert_allclose(ours(normal(2, 5, 3))[0], theirs(normal(2, 5, 3))[0], rtol=1e-6)
    mask = np.arange(5) < np.array([[3], [5]])
    monkeypatch.setitem(module.LEAST_UNITS, keras.config.backend(), 1)
    np.testing.assert_allclose(ours(normal(2, 5, 3), mask=mask)[0], theirs(normal(2, 5, 3), mask=mask)[0], rtol=1e-6)
    with pytest.raises(AssertionError):
        ours(normal(2, 5, 3))
