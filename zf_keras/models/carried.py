"""Training with states carried on from batch to batch: `num_streams` of a model."""

import keras
from keras import ops


class CarriedState(keras.layers.Layer):
    """The state of each stream after the last batch, as weights that are not trained: they are saved with the model.

    Args:
        initial_state: function. From a number of rows to the state before a first step, a nest of tensors (rows, ...).
        rows: int.
    """

    def __init__(self, initial_state, rows, **kwargs):
        super().__init__(**kwargs)
        self.rows = rows
        self.__dict__["initial_state"] = initial_state  # past Keras's tracking: it is a method of the model
        self.state = [
            self.add_weight(shape=x.shape, initializer="zeros", trainable=False, name=f"state_{i}")
            for i, x in enumerate(keras.tree.flatten(initial_state(rows)))
        ]
        self.built = True

    def before(self, first):
        """The state before a batch: the initial one in rows that are `first` (rows,), else that which was kept."""
        initial = self.initial_state(self.rows)
        first = ops.expand_dims(first, 1)
        leaves = [
            ops.where(first, new, ops.cast(kept, new.dtype))
            for new, kept in zip(keras.tree.flatten(initial), self.state, strict=True)
        ]
        return keras.tree.pack_sequence_as(initial, leaves)

    def keep(self, state):
        """Keeps the state after a batch, without its gradient (truncated backpropagation)."""
        for variable, value in zip(self.state, keras.tree.flatten(state), strict=True):
            variable.assign(ops.cast(value, variable.dtype))
