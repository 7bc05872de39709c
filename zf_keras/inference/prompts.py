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
        data: dict of NumPy arrays, of `checked_prompt`.
        batch_size: int. Sequences computed at a time.
    """

    def __init__(self, model, data, batch_size):
        self.model, self.data, self.lengths = model, data, lengths_of(data)
        count = len(self.lengths)
        parts = [self._encoded(rows_of(data, rows)) for rows in batches_of_rows(np.arange(count), batch_size)]
        self.encoded = keras.tree.map_structure(lambda *x: np.concatenate(x)[:count], *parts)

    def _encoded(self, data):
        """The context of each sequence; the state after it of a model without latents."""
        encoded = context_of_prompt(self.model, data)
        if not self.model.noise_dim:
            noise = ops.zeros((*data["targets"].shape[:2], 0), dtype=self.model.compute_dtype)
            encoded = state_given_context(self.model, data, encoded, noise)
        return keras.tree.map_structure(ops.convert_to_numpy, encoded)

    def states(self, rows, random):
        """The states after some of the sequences, each with a draw of its latents of its own from the posterior; and
        the frame that each ends with, the next input.
        """
        state = keras.tree.map_structure(lambda x: ops.convert_to_tensor(x[rows]), self.encoded)
        if self.model.noise_dim:
            noise = noise_of(self.model, len(rows), self.data["targets"].shape[1], random)
            state = state_given_context(self.model, rows_of(self.data, rows), state, noise)
        return state, self.model.head.as_values(self.data["targets"][rows, self.lengths[rows] - 1])


def checked_prompt(model, prompt, mask):
    """The arguments `prompt` and `mask` of `forecast` and `generate` as a dict of NumPy arrays, as short as it can be.

    Raises:
        ValueError: the model does not accept them.
    """
    if isinstance(prompt, dict):
        raise ValueError("`prompt` must be one array, with `mask` beside it. Received: a dict.")
    try:
        model.check_data({"targets": prompt, "mask": mask})
    except ValueError as error:
        raise ValueError(f"`prompt`: {error}") from error
    frames = native(ops.convert_to_numpy(prompt))
    if mask is None:
        return {"targets": frames}
    mask = np.asarray(mask).astype(bool)
    used = mask.any(axis=0)
    data = {"targets": frames[:, used], "mask": mask[:, used]}
    return data if not mask[:, used].all() else {"targets": data["targets"]}


def lengths_of(data):
    """Steps of each prompt, (batch,)."""
    count, time = data["targets"].shape[:2]
    return data["mask"].sum(axis=1) if "mask" in data else np.full(count, time)


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
