"""The models that are measured, by name."""

import functools
import inspect

import keras
from keras import ops

from zf_keras import ZForcing
from zf_keras.models.registry import by_name


class InTheCell(ZForcing):
    """Z-Forcing written straight away: all products of a step inside its cell, the loop and the gradient Keras's."""

    def build_networks(self, input_dim, target_dim):
        super().build_networks(input_dim, target_dim)
        loop = keras.layers.RNN(self.cell, return_sequences=True, return_state=True)
        loop.build((None, None, input_dim + self.units + self.latent_dim))
        self.cell.scan = functools.partial(by_keras, loop)


def by_keras(loop, x, context, noise, initial_state):
    """What `StochasticLSTMCell.scan` gives, by `keras.layers.RNN`."""
    outputs, *state = loop(ops.concatenate([x, context, noise], axis=-1), initial_state=list(initial_state))
    return loop.cell.unpack(outputs), tuple(state)


MODELS = by_name()
#: Those that a model is compared with.
REFERENCES = {"in the cell": InTheCell}


def new_model(name, units, latent_dim, **arguments):
    """A model of the package, or a reference; `latent_dim` is for those with a latent."""
    cls = (MODELS | REFERENCES)[name]
    if "latent_dim" in inspect.signature(cls).parameters:
        arguments["latent_dim"] = latent_dim
    return cls(units, **arguments)
