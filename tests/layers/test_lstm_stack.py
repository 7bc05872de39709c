import keras
import numpy as np
import pytest
from keras import ops

from tests.support import normal, set_random_weights
from zf_keras import BackwardEncoder
from zf_keras.layers.lstm_stack import LSTMStack


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_steps_are_those_of_the_sequence(num_layers):
    stack = LSTMStack(4, num_layers)
    stack.build((None, None, 3))
    set_random_weights(stack)
    x = ops.convert_to_tensor(normal(2, 5, 3))
    h, last = stack(x)
    states = stack.initial_state(2)
    for t in range(5):
        h_t, states = stack.step(x[:, t], states)
        np.testing.assert_allclose(h_t, h[:, t], rtol=1e-5, atol=1e-6)
    assert len(states) == len(last) == num_layers
    for actual, expected in zip(keras.tree.flatten(states), keras.tree.flatten(last), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_backward_encoder_of_several_layers():
    """Of a stack too b_t has seen y_t..y_T and nothing else, whatever the padding."""
    encoder = BackwardEncoder(4, num_layers=2)
    encoder.build((None, None, 3))
    set_random_weights(encoder)
    x = normal(2, 5, 3)
    states = ops.convert_to_numpy(encoder(x))
    np.testing.assert_allclose(encoder(x[:, 2:]), states[:, 2:], rtol=1e-5, atol=1e-6)
    changed = np.where(np.arange(5)[:, None] < 2, 9.0, x).astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(encoder(changed))[:, 2:], states[:, 2:], rtol=1e-5, atol=1e-6)
    mask = np.arange(5) < np.array([[3], [5]])
    np.testing.assert_allclose(encoder(x, mask=mask)[0, :3], encoder(x[:1, :3])[0], rtol=1e-5, atol=1e-6)


def test_dropout_of_the_encoder_and_its_seed(tmp_path):
    x = normal(2, 5, 3)
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, BackwardEncoder(4, num_layers=2, dropout=0.5, seed=7)(inputs))
    a, b = (ops.convert_to_numpy(model(x, training=True)) for _ in "ab")
    assert (a != b).any()
    np.testing.assert_array_equal(model(x), model(x, training=False))
    again = BackwardEncoder(4, num_layers=2, dropout=0.5, seed=7)
    again.build((None, None, 3))
    again.set_weights(model.layers[-1].get_weights())
    np.testing.assert_allclose(again(x, training=True), a, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(restored(x), model(x), rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="num_layers=0"):
        BackwardEncoder(4, num_layers=0)
    with pytest.raises(ValueError, match="dropout=1"):
        BackwardEncoder(4, dropout=1)
