"""States after the known frames of some sequences, from which a model goes on."""

import keras
import numpy as np
from keras import ops

from zf_keras.compiled import compiled
from zf_keras.data.sequences import native
from zf_keras.inference.passes import batches_of_rows, noise_of, rows_of
from zf_keras.loops.scan import scan


class Prompts:
    """Sequences that a model goes on from, all that does not depend on their latents computed once each.

    Args:
        frames: NumPy array (batch, steps, features) or (batch, steps) of tokens.
        batch_size: int. Sequences computed at a time.
    """

    def __init__(self, model, frames, batch_size):
        self.model, self.data = model, {"targets": frames}
        parts = [
            self._encoded(rows_of(self.data, rows)) for rows in batches_of_rows(np.arange(len(frames)), batch_size)
        ]
        self.encoded = keras.tree.map_structure(lambda *x: np.concatenate(x)[: len(frames)], *parts)

    def _encoded(self, data):
        """The context of each sequence; the state after it of a model without latents."""
        encoded = context_of_prompt(self.model, data)
        if not self.model.noise_dim:
            noise = ops.zeros((*data["targets"].shape[:2], 0), dtype=self.model.compute_dtype)
            encoded = state_given_context(self.model, data, encoded, noise)
        return keras.tree.map_structure(ops.convert_to_numpy, encoded)

    def states(self, rows, random):
        """The states after some of the sequences, each with a draw of its latents of its own from the posterior."""
        encoded = keras.tree.map_structure(lambda x: ops.convert_to_tensor(x[rows]), self.encoded)
        if not self.model.noise_dim:
            return encoded
        noise = noise_of(self.model, len(rows), self.data["targets"].shape[1], random)
        return state_given_context(self.model, rows_of(self.data, rows), encoded, noise)


def check_frames(model, name, frames):
    """The argument `name`, one array of sequences, as a NumPy array.

    Raises:
        ValueError: the model does not accept it.
    """
    if isinstance(frames, dict):
        raise ValueError(f"`{name}` must be one array: its sequences are of one length. Received: a dict.")
    try:
        model.check_data(frames)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from error
    return native(ops.convert_to_numpy(frames))


@compiled
def state_after(model, prompt, noise):
    """The state after a prompt, an array or dict of tensors, its latents drawn from the posterior by `noise`."""
    return state_given_context(model, prompt, context_of_prompt(model, prompt), noise)


@compiled
def context_of_prompt(model, prompt):
    """What does not depend on the latents of a prompt."""
    sequences = model.sequences(prompt)
    return model.prompt_context(*model.read(sequences), sequences.mask)


@compiled
def state_given_context(model, prompt, context, noise):
    """As `state_after`, where the context is known."""
    sequences = model.sequences(prompt)
    return model.prompt_state(model.embed(sequences.inputs), context, sequences, noise)


def prompt_state(model, x, context, sequences, noise):
    """The state after the last valid step of each sequence, z_t drawn from the posterior: what `forecast` goes on from.

    Args:
        x: tensor (batch, time, input_dim), embedded inputs.
        context: what `prompt_context` returned.
        sequences: `Sequences`.
        noise: tensor (batch, time, noise_dim).
    """
    if sequences.mask is None:
        return model.infer(x, context, sequences, noise, False)[1]
    weights = model.step_weights("posterior" if model.noise_dim else "prior")
    read = [model.step_context(context)] if model.noise_dim else []

    def step(state, inputs):
        x, noise, mask, *read = inputs
        _, after = model.step(weights, state, x, noise, *read)

        def kept(after, before):
            return ops.where(ops.reshape(mask, (-1, *[1] * (len(before.shape) - 1))), after, before)

        return keras.tree.map_structure(kept, after, state), ()

    inputs = keras.tree.map_structure(lambda x: ops.swapaxes(x, 0, 1), (x, noise, sequences.mask, *read))
    return scan(step, model.initial_state(ops.shape(x)[0]), inputs)[0]
