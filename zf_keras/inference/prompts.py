"""States after the known frames of some sequences, from which a model goes on."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zf_keras.compiled import compiled
from zf_keras.data.checks import check_beside, check_categories
from zf_keras.data.sequences import TIMELESS, native
from zf_keras.inference.passes import batches_of_rows, noise_of, rows_of
from zf_keras.loops.scan import scan


class Start(NamedTuple):
    """What a model goes on from."""

    state: Any  # nest of tensors (batch, ...)
    frame: Any  # (batch, ...), the frame before, the next x
    observed: Any = None  # (batch, features) bool, of the frame; None where no value may be missing
    scale: Any = None  # (batch, features); None where all sequences have one


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
        """The context of each sequence, of a model without latents the state after it; and what it ends with."""
        encoded, end = encoded_prompt(self.model, data)
        if not self.model.noise_dim:
            noise = ops.zeros((*data["targets"].shape[:2], 0), dtype=self.model.compute_dtype)
            encoded = state_given_context(self.model, data, encoded, noise)
        return keras.tree.map_structure(ops.convert_to_numpy, (encoded, end))

    def starts(self, rows, random):
        """`Start` after some of the sequences, each with a draw of its latents of its own from the posterior."""
        state, end = keras.tree.map_structure(lambda x: ops.convert_to_tensor(x[rows]), self.encoded)
        if self.model.noise_dim:
            noise = noise_of(self.model, len(rows), self.data["targets"].shape[1], random)
            state = state_given_context(self.model, rows_of(self.data, rows), state, noise)
        return Start(state, **end)


def checked_prompt(model, prompt, mask, beside=None):
    """The arguments `prompt` and `mask` of `forecast` and `generate` as a dict of NumPy arrays, as short as it can be.

    Args:
        beside: dict of the covariates of as many sequences, from their first step on, or of one for all.

    Raises:
        ValueError: the model does not accept them.
    """
    if isinstance(prompt, dict):
        raise ValueError("`prompt` must be one array, with `mask` beside it. Received: a dict.")
    try:
        frames = native(ops.convert_to_numpy(prompt))
        data = {"targets": frames, **(first_steps(beside, *frames.shape[:2]) if beside else {})}
        model.check_data({**data, "mask": mask})
    except ValueError as error:
        raise ValueError(f"`prompt`: {error}") from error
    if mask is None:
        return data
    data["mask"] = np.asarray(mask).astype(bool)
    used = data["mask"].any(axis=0)
    data = {key: x if key in TIMELESS else x[:, used] for key, x in data.items()}
    if data["mask"].all():
        del data["mask"]
    return data


def first_steps(beside, count, time):
    """Covariates of `count` sequences up to a step; those of one are of all."""
    rows = {key: np.repeat(x, count, axis=0) if len(x) == 1 else x for key, x in beside.items()}
    return {key: x if key in TIMELESS else x[:, :time] for key, x in rows.items()}


def steps_after(beside, lengths, steps, last=None):
    """Covariates of the steps that follow on the first `lengths`, (batch,), of each sequence: a dict of arrays.

    last: int or `None`. Steps that there are; those past it are as the last.
    """
    rows = first_steps(beside, len(lengths), None)
    after = np.minimum(lengths[:, None] + np.arange(steps), np.inf if last is None else last - 1).astype(int)
    return {key: x if key in TIMELESS else np.take_along_axis(x, after[..., None], axis=1) for key, x in rows.items()}


def checked_beside(model, covariates, static, categories, count, time):
    """The arguments of `forecast` and `generate` for what is known of sequences, as a dict of NumPy arrays.

    Args:
        count: int. Sequences; each argument may be of 1 instead.
        time: int. Steps that the covariates must have.

    Raises:
        ValueError: names what is missing, not the model's, or of another shape.
    """
    given = {"covariates": covariates, "static": static, "categories": categories}
    given = {key: native(np.asarray(ops.convert_to_numpy(x))) for key, x in given.items() if x is not None}
    for key, x in given.items():
        if not x.ndim or len(x) not in (1, count):
            raise ValueError(f"`{key}` must be of 1 or {count} sequences. Received: shape={x.shape}.")
    rows = {key: np.repeat(x, count, axis=0) if len(x) == 1 else x for key, x in given.items()}
    check_beside(rows, (count, time), model.features)
    check_categories(rows, model.cardinalities)
    return given


def lengths_of(data):
    """Steps of each prompt, (batch,)."""
    count, time = data["targets"].shape[:2]
    return data["mask"].sum(axis=1) if "mask" in data else np.full(count, time)


@compiled
def state_after(model, prompt, noise):
    """The state after a prompt, an array or dict of tensors, its latents drawn from the posterior by `noise`."""
    return state_given_context(model, prompt, context_of_prompt(model, prompt), noise)


@compiled
def encoded_prompt(model, prompt):
    """What does not depend on the latents of a prompt: its context, and what it ends with."""
    return context_of_prompt(model, prompt), end_of_prompt(model, prompt)


def context_of_prompt(model, prompt):
    sequences = model.sequences(prompt)
    return model.prompt_context(*model.read(sequences), sequences.mask)


@compiled
def state_given_context(model, prompt, context, noise):
    """As `state_after`, where the context is known."""
    sequences = model.sequences(prompt)
    return model.prompt_state(model.read(sequences)[0], context, sequences, noise)


def end_of_prompt(model, prompt):
    """What each prompt ends with, but for the state: a dict of `frame`, `observed` and `scale`."""
    sequences = model.sequences(prompt)
    end = {"frame": model.head.as_values(sequences.targets), "scale": sequences.scale}
    if sequences.observed is not None:
        end |= {"frame": model.filled(sequences), "observed": sequences.observed}
    end = {key: x for key, x in end.items() if x is not None}
    if sequences.mask is None:
        return {key: x[:, -1] for key, x in end.items()}
    last = ops.sum(ops.cast(sequences.mask, "int32"), axis=1, keepdims=True) - 1

    def at_last(x):
        index = ops.reshape(last, (-1, *[1] * (len(x.shape) - 1)))
        return ops.squeeze(
            ops.take_along_axis(x, ops.broadcast_to(index, (ops.shape(x)[0], 1, *x.shape[2:])), axis=1), 1
        )

    return {key: at_last(x) for key, x in end.items()}


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
