"""The models that are measured, by name."""

import functools
import inspect

import keras
from keras import ops

from zf_keras.data.sequences import Sequences
from zf_keras.loops.scan import scan
from zf_keras.models.latent import LatentModel
from zf_keras.models.registry import by_name

MODELS = by_name()
#: At the end of a model's name: the same model, written straight away.
IN_THE_CELL = " in the cell"


class InTheCell:
    """For a subclass of a model: all of a step inside the loop, with its terms; the gradient is automatic.

    LSTMs that depend on no latent are those of the model, and no gradient is skipped.
    """

    def context(self, *args, **kwargs):
        return super().context(*args, **kwargs) if isinstance(self, LatentModel) else ()

    def infer(self, x, context, sequences, noise, training, state=None):
        given = x, self.step_context(context), noise, sequences.inputs, sequences.targets

        def step(state, given):
            x, context, noise, inputs, targets = given
            weights = self.step_weights("posterior")
            before, (steps, state) = state, self.step(weights, state, x, noise, context)
            return state, self.terms(steps, before, context, Sequences(inputs, targets, None))

        state = self.initial_state(ops.shape(x)[0]) if state is None else state
        state, terms = scan(step, state, keras.tree.map_structure(time_and_batch, given))
        return self.steps_of(keras.tree.map_structure(time_and_batch, terms)), state

    def terms(self, steps, before, context, sequences):
        """Of one step, (batch,) each."""
        if not isinstance(self, LatentModel):
            return {"nll": -self.head.log_prob(steps.output, sequences.targets)}
        names, further = self.loss_weights, {}
        if "aux_nll" in names:  # p(b_t | z_t)
            b = ops.stop_gradient(context) if self.auxiliary_gradient == "target" else context
            further["aux_nll"] = self.auxiliary_decoder.nll(self.auxiliary_decoder(steps.latent), b)
        if "backward_nll" in names:  # p(x_t | b_t)
            further["backward_nll"] = -self.backward_head.log_prob(self.backward_head(context), sequences.inputs)
        if "state_nll" in names:  # p(h_{t-1} | z_t)
            further["state_nll"] = self.state_decoder.nll(self.state_decoder(steps.latent), before[0][0])
        return self.latent_steps(sequences, *steps[:-1], **further).terms


def time_and_batch(x):
    """(batch, time, ...) to (time, batch, ...), and back."""
    return ops.swapaxes(x, 0, 1)


@functools.cache
def in_the_cell(cls):
    return type(cls.__name__, (InTheCell, cls), {})


def new_model(name, units, latent_dim, **arguments):
    """A model of the package, or one `IN_THE_CELL`; `latent_dim` is for those with a latent."""
    cls = MODELS[name.removesuffix(IN_THE_CELL)]
    if "latent_dim" in inspect.signature(cls).parameters:
        arguments["latent_dim"] = latent_dim
    return (in_the_cell(cls) if name.endswith(IN_THE_CELL) else cls)(units, **arguments)
