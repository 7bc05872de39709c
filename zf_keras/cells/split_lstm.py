"""An LSTM step whose input is known in part before the time loop."""

import keras
from keras import ops

from zf_keras.loops.recurrence import Affine


@keras.saving.register_keras_serializable("zf_keras")
class SplitLSTMCell(keras.layers.LSTMCell):
    """`keras.layers.LSTMCell` on [x_t, v_t], where all x_t are known before the loop, and v_t inside it.

    gates_t = precomputed_gates(x)_t + loop_gates([v_t, h_{t-1}]),    (h_t, c_t) = lstm_step(gates_t, c_{t-1})
    """

    def precomputed_gates(self, x):
        """What x (..., features) adds to the gates, (..., 4 units)."""
        kernel = ops.cast(self.kernel, self.compute_dtype)[: x.shape[-1]]
        return ops.matmul(x, kernel) + ops.cast(self.bias, self.compute_dtype)

    @property
    def output_shape(self):
        """Of h_t, for `summary`."""
        return (None, self.units)

    def loop_gates(self, dim):
        """`Affine` of [v_t (dim), h_{t-1}] to the gates."""
        kernel = ops.cast(self.kernel, self.compute_dtype)[-dim:]
        return Affine(ops.concatenate([kernel, ops.cast(self.recurrent_kernel, self.compute_dtype)], axis=0))


def lstm_step(gates, c):
    """(h_t, c_t) from the gates before their nonlinearities, (batch, 4 units), in the order i, f, g, o."""
    i, f, g, o = ops.split(gates, 4, axis=-1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c
