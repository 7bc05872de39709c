"""The LSTM layer of all deterministic parts."""

import keras
from keras import ops

from zf_keras.loops.parts import Affine, gated, scaled
from zf_keras.loops.recurrence import recurrence
from zf_keras.loops.scan import on_cpu, swap_time_and_batch
from zf_keras.loops.xla import uses_xla

#: From so many units on the gradient by hand is faster than Keras's loop on the CPU (measured by
#: `benchmarks.training_step`): on TensorFlow the memory that it writes costs small layers more than it saves.
LEAST_UNITS = {"jax": 1, "tensorflow": 384}


@keras.saving.register_keras_serializable("zf_keras")
class LSTM(keras.layers.LSTM):
    """`keras.layers.LSTM`, by a loop with a gradient written by hand where that is faster.

    Weights and results are the same. On a GPU the loop is Keras's, which cuDNN can serve.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        small = self.units < LEAST_UNITS[keras.config.backend()] and not uses_xla(self.units)
        if mask is not None or small or not on_cpu():
            return super().inner_loop(sequences, initial_state, mask, training)
        kernel, recurrent, bias = (scaled(ops.cast(weight, self.compute_dtype)) for weight in self.cell.weights)
        gates = ops.matmul(swap_time_and_batch(sequences), kernel) + bias
        state, h = recurrence(step, Affine(recurrent), tuple(initial_state), gates)
        return state[0], swap_time_and_batch(h), list(state)


def step(recurrent, state, gates):
    h, c = state
    h, c, _ = gated(gates + recurrent(h), c)
    return (h, c), h
