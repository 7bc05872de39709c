"""An LSTM step whose input is known in part before the time loop."""

import keras
from keras import ops

from zf_keras.loops.parts import Affine, scaled


@keras.saving.register_keras_serializable("zf_keras")
class SplitLSTMCell(keras.layers.LSTMCell):
    """`keras.layers.LSTMCell` on [x_t, v_t], where all x_t are known before the loop, and v_t inside it.

    gates_t = precomputed_gates(x)_t + loop_gates(v_t, h_{t-1}),    (h_t, c_t) = gated(gates_t, c_{t-1})
    """

    def precomputed_gates(self, x):
        """What x (..., features) adds to the gates, (..., 4 units)."""
        kernel, _, bias = self._scaled()
        return ops.matmul(x, kernel[: x.shape[-1]]) + bias

    @property
    def output_shape(self):
        """Of h_t, for `summary`."""
        return (None, self.units)

    def loop_gates(self, dim):
        """`Affine` of [v_t (dim), h_{t-1}] to the gates."""
        kernel, recurrent_kernel, _ = self._scaled()
        return Affine(ops.concatenate([kernel[-dim:], recurrent_kernel], axis=0))

    def _scaled(self):
        weights = (self.kernel, self.recurrent_kernel, self.bias)
        return [scaled(ops.cast(weight, self.compute_dtype)) for weight in weights]
