"""The models' loops, with gradients by hand, beside the same steps differentiated automatically."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import NO_CHANCE, make
from tests.support import gradients, normal, padded_batch
from zf_keras.cells import stochastic_lstm
from zf_keras.layers import lstm
from zf_keras.loops.scan import scan
from zf_keras.models.srnn import srnn
from zf_keras.models.variational_bilstm import variational_bilstm
from zf_keras.models.vrnn import vrnn

MODULES = (stochastic_lstm, lstm, srnn, variational_bilstm, vrnn)
NAMES = ("rnn", "storn", "vrnn", "srnn", "z_forcing", "variational_bilstm")
#: (dtype, tolerance relative to the largest gradient of a weight): the two round otherwise in half precision.
PRECISIONS = [("float32", 1e-5), ("mixed_bfloat16", 0.1)]
if keras.config.backend() == "jax":  # which compiles each anew; `tests/test_recurrence.py` has half precision on both
    PRECISIONS = PRECISIONS[:1]


def automatic(step, weights, state, inputs):
    return scan(functools.partial(step, weights), state, inputs)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_by_hand_is_as_automatic(name, dtype, tolerance, monkeypatch):
    """Terms and the gradient of every weight: two layers, sequences of unequal lengths."""
    monkeypatch.setitem(lstm.LEAST_UNITS, keras.config.backend(), 1)
    model = make(name, num_layers=2, dtype=dtype, **NO_CHANCE.get(name, {}))
    data, noise = padded_batch(lengths=(7, 1, 4)), ops.convert_to_tensor(normal(3, 7, model.noise_dim, seed=1))

    def terms():
        return model._sums(model(data, training=True, noise=ops.cast(noise, model.compute_dtype)))

    def found():
        sums = []  # on JAX, operation by operation, they would cost more than the gradients
        if keras.config.backend() == "tensorflow":
            sums = [ops.convert_to_numpy(term) for term in terms().values()]
        return sums, gradients(lambda: sum(ops.sum(term) for term in terms().values()), model.trainable_weights)

    values, derivatives = found()
    calls = []
    for module in MODULES:
        monkeypatch.setattr(module, "recurrence", lambda *args: calls.append(args) or automatic(*args))
    expected_values, expected = found()
    assert calls
    for value, expected_value in zip(values, expected_values, strict=True):
        np.testing.assert_allclose(value, expected_value, rtol=1e-5 if dtype == "float32" else 0.05)
    for weight, a, b in zip(model.trainable_weights, derivatives, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max(), err_msg=weight.path)
        assert b.any()
