import keras
import numpy as np
import pytest
from keras import ops

from tests.support import gradients, normal, set_random_weights
from zf_keras import BackwardEncoder
from zf_keras.layers.backward_encoder import reverse_valid

LENGTHS = [5, 1, 3]
MASK = np.arange(5) < np.array(LENGTHS)[:, None]


@pytest.fixture
def encoder():
    layer = BackwardEncoder(4)
    layer.build((None, None, 3))
    return set_random_weights(layer)


def test_reverse_valid():
    x = np.arange(15, dtype="float32").reshape(3, 5, 1)
    expected = x.copy()
    for row, length in enumerate(LENGTHS):
        expected[row, :length] = x[row, :length][::-1]
    np.testing.assert_array_equal(reverse_valid(ops.convert_to_tensor(x), MASK), expected)
    np.testing.assert_array_equal(reverse_valid(ops.convert_to_tensor(x)), x[:, ::-1])


def test_state_has_seen_its_frame_and_what_follows(encoder):
    """b_t of a sequence is the last output of a plain LSTM over y_T..y_t."""
    x = normal(2, 5, 3)
    states = ops.convert_to_numpy(encoder(x))
    for t in range(5):
        last = encoder.lstm(x[:, t:][:, ::-1])[0][:, -1]
        np.testing.assert_allclose(states[:, t], last, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("padding", [0.0, 1e6])
def test_padding_changes_nothing(encoder, padding):
    x = np.where(MASK[..., None], normal(3, 5, 3), padding).astype("float32")
    states = ops.convert_to_numpy(encoder(x, mask=MASK))
    for row, length in enumerate(LENGTHS):
        alone = ops.convert_to_numpy(encoder(x[row : row + 1, :length]))
        np.testing.assert_allclose(states[row, :length], alone[0], rtol=1e-5, atol=1e-6)


def test_masked_steps_get_no_gradient(encoder):
    x = keras.Variable(normal(3, 5, 3))
    mask = MASK[..., None].astype("float32")
    (gradient,) = gradients(lambda: ops.sum(mask * encoder(x + 0.0, mask=MASK)), [x])
    assert np.all(gradient[~MASK] == 0)
    assert np.all(np.abs(gradient[MASK]).max(-1) > 0)


def test_meets_the_conditions_of_cudnn(encoder, monkeypatch):
    """tanh and sigmoid, a bias, not unrolled, no dropout, and never a mask."""
    (lstm,) = encoder.lstm.layers
    assert (lstm.activation, lstm.recurrent_activation) == (
        keras.activations.tanh,
        keras.activations.sigmoid,
    )
    assert lstm.use_bias and not lstm.unroll and not lstm.recurrent_dropout and not lstm.dropout
    masks = []

    def inner_loop(self, sequences, initial_state, mask, training=False):
        masks.append(mask)
        return sequences[:, 0], sequences, initial_state

    monkeypatch.setattr(type(lstm), "inner_loop", inner_loop)
    encoder(normal(3, 5, 3), mask=MASK)
    assert masks == [None]


def test_in_a_functional_model_behind_a_masking_layer(tmp_path):
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, BackwardEncoder(4)(keras.layers.Masking(mask_value=-1.0)(inputs)))
    x = np.where(MASK[..., None], normal(3, 5, 3), -1.0)
    encoder = model.layers[-1]
    expected = ops.convert_to_numpy(encoder(x, mask=MASK))
    np.testing.assert_allclose(model.predict(x, verbose=0)[MASK], expected[MASK], rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored.predict(x, verbose=0), model.predict(x, verbose=0))
