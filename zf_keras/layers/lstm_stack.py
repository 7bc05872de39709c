"""Stacked deterministic LSTM layers."""

import keras
from keras import ops

from zf_keras.arguments import check_rate, check_units
from zf_keras.layers.lstm import LSTM
from zf_keras.loops.scan import swap_time_and_batch
from zf_keras.loops.segments import in_segments
from zf_keras.seeds import SeedGenerator, seeds_of_steps


@keras.saving.register_keras_serializable("zf_keras")
class LSTMStack(keras.layers.Layer):
    """LSTM layers, each reading the one below, all through the LSTM layer of `lstm.py`.

    Args:
        units: int. Size of every layer's state.
        num_layers: int. With 0 the outputs are the inputs. Defaults to `1`.
        dropout: float. Rate between layers, in training. Defaults to `0.0`.
        seed: int, `keras.random.SeedGenerator` or `None`. Seed of the dropout.

    Call arguments:
        inputs: tensor (batch, time, features).
        state: tuple of (h, c) of each layer before the first step. Defaults to zeros.
        training: bool. Whether to drop.
        mask: tensor (batch, time), true where valid. At other steps the states stay as they are; not in training with
            `segment_length`. Defaults to `None`, all.

    Returns:
        Tensor (batch, time, units), and the states after the last step, a tuple of (h, c) of each layer, as
        `initial_state` and `step` have them.
    """

    def __init__(self, units, num_layers=1, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = check_units("units", units)
        self.num_layers = num_layers
        self.dropout = check_rate("dropout", dropout)
        self.supports_masking = True
        self.seed_generator = SeedGenerator.of(seed)
        self.layers = [
            LSTM(self.units, return_sequences=True, return_state=True, dtype=self.dtype_policy, name=f"layer_{i}")
            for i in range(num_layers)
        ]

    def build(self, input_shape):
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = (*input_shape[:-1], self.units)

    #: Steps that are computed at a time in training, and again in its gradient; `None` for all. Set by the model.
    segment_length = None

    def call(self, inputs, state=None, training=None, mask=None):
        if not training or self.segment_length is None:
            return self._call(inputs, state, training, mask)

        def segment(state, inputs):
            x, seeds = inputs
            with self.seed_generator.given(seeds[0]):
                x, state = self._call(swap_time_and_batch(x), state, training)
            return state, swap_time_and_batch(x)

        state = state or self.initial_state(ops.shape(inputs)[0])
        seeds = seeds_of_steps(ops.shape(inputs)[1], self.seed_generator)
        state, x = in_segments(segment, state, (swap_time_and_batch(inputs), seeds), self.segment_length)
        return swap_time_and_batch(x), state

    def _call(self, inputs, state, training, mask=None):
        states, first = [], state or [None] * self.num_layers
        for i, (layer, state) in enumerate(zip(self.layers, first, strict=True)):
            if i and training and self.dropout:
                inputs = keras.random.dropout(inputs, self.dropout, seed=self.seed_generator)
            inputs, *last = layer(inputs, initial_state=state and list(state), mask=mask)
            states.append(tuple(last))
        return inputs, tuple(states)

    @property
    def output_shape(self):
        """Of the outputs, for `summary`."""
        return (None, None, self.units)

    def initial_state(self, batch_size):
        """(h_0, c_0) of each layer: zeros."""
        zeros = ops.zeros((batch_size, self.units), dtype=self.compute_dtype)
        return ((zeros, zeros),) * self.num_layers

    def step(self, x, states):
        """One step: (batch, features) and the states before it to (batch, units) and the states after."""
        after = []
        for layer, state in zip(self.layers, states, strict=True):
            x, state = layer.cell(x, list(state))
            after.append(tuple(state))
        return x, tuple(after)
