"""The backward LSTM b_t."""

import keras
from keras import ops

from zf_keras.arguments import check_rate, check_size, check_units
from zf_keras.layers.lstm_stack import LSTMStack


def reverse_valid(sequences, mask=None):
    """Reverses each right-padded sequence within its valid length; padding stays where it is.

    Args:
        sequences: tensor (batch, time, features).
        mask: tensor (batch, time), true where valid, or `None` where every step is.

    Returns:
        Tensor (batch, time, features).
    """
    if mask is None:
        return ops.flip(sequences, axis=1)
    steps = ops.expand_dims(ops.arange(ops.shape(sequences)[1], dtype="int32"), 0)
    lengths = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
    source = ops.where(steps < lengths, lengths - 1 - steps, steps)  # (batch, time)
    return ops.take_along_axis(sequences, ops.expand_dims(source, -1), axis=1)


@keras.saving.register_keras_serializable("zf_keras")
class BackwardEncoder(keras.layers.Layer):
    """LSTM from the end of a sequence to its start: b_t has seen y_t..y_T and nothing else; b_{T+1} = 0.

    Each sequence is reversed within its valid length and read by `keras.layers.LSTM`s without a mask,
    so that cuDNN can serve it and the result does not depend on padding.
    Source: Sordoni et al. 2017, eq. 4.

    Args:
        units: int. Size of the state b_t.
        num_layers: int. Stacked LSTM layers; b_t is the state of the last. Defaults to `1`.
        dropout: float. Rate between layers, in training. Defaults to `0.0`.
        seed: int, `keras.random.SeedGenerator` or `None`. Seed of the dropout.

    Call arguments:
        sequences: tensor (batch, time, features).
        mask: tensor (batch, time), true where valid, padded on the right; `None` where every step
            is valid. Defaults to `None`.
        training: bool. Whether to drop.

    Returns:
        Tensor (batch, time, units). Values at masked steps have no meaning.

    Example:

    >>> states = BackwardEncoder(16)(np.zeros((2, 5, 3)))
    >>> states.shape
    (2, 5, 16)
    """

    def __init__(self, units, num_layers=1, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = check_units("units", units)
        self.num_layers = check_size("num_layers", num_layers)
        self.dropout = check_rate("dropout", dropout)
        self.supports_masking = True
        self.lstm = LSTMStack(self.units, self.num_layers, self.dropout, seed, dtype=self.dtype_policy, name="lstm")

    def build(self, input_shape):
        self.lstm.build(input_shape)

    def call(self, sequences, mask=None, training=None):
        states, _ = self.lstm(reverse_valid(sequences, mask), training=training)
        return reverse_valid(states, mask)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
        }
