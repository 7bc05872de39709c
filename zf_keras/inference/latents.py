"""The latents of sequences, and sequences between two latents."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_choice, check_numbers, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.data.padding import padded_size, padded_to
from zf_keras.data.sequences import native
from zf_keras.inference.generation import check_can_generate, check_kept, draw_frames, noises_of, start_frame
from zf_keras.inference.passes import arrays, count_and_time, generator, passes
from zf_keras.probability import float32


class Encoding(NamedTuple):
    """The posterior of every step, each (batch, time, latent_dim); zero at masked steps."""

    mean: Any
    sample: Any


def encode(model, data, seed=None, batch_size=128, verbose="auto"):
    """The posterior q(z_t | ...) of every step.

    Args:
        data: array or dict.
        seed: int or `None`. The same seed gives the same samples; `None` continues the model's own.
        batch_size: int. Sequences computed at a time. Defaults to `128`.
        verbose: `"auto"`, 0 or 1. As for `log_likelihood`.

    Returns:
        `Encoding(mean, sample)`, NumPy arrays (batch, time, latent_dim) each. The means are given the
        samples of the steps before.

    Raises:
        ValueError: names what is wrong with an argument.
    """
    check_positive_int("batch_size", batch_size)
    data = arrays(model, data)
    count, time = count_and_time(data)
    encodings = [
        map(ops.convert_to_numpy, posterior(model, *batch))
        for batch in passes(model, data, np.arange(count), seed, batch_size, verbose)
    ]
    return Encoding(*(np.concatenate(parts)[:count, :time] for parts in zip(*encodings, strict=True)))


@compiled
def posterior(model, data, noise):
    """Mean of q(z_t | ...) and z_t drawn by `noise`, (batch, time, latent_dim) each; zero at masked steps."""
    steps, mask = model(data, training=False, noise=noise), model.sequences(data).mask
    encoding = (float32(steps.posterior.mean), float32(steps.latent))
    if mask is None:
        return encoding
    return tuple(ops.where(ops.expand_dims(mask, -1), x, 0.0) for x in encoding)


def interpolate(model, first, second, num_points=11, decode="mode", seed=None, top_k=None, top_p=None, num_draws=1):
    """Decodes the latents between those of two sequences: z_t = (1 - a) z_t^first + a z_t^second, a from 0 to 1.

    Source: Sordoni et al. 2017, their sentences: a draw from the posterior of each sequence, mixed step by step.

    The lengths are mixed too: (1 - a) n^first + a n^second steps, rounded, halves up. Past the end of the shorter of
    both, where nothing is to be mixed, z_t is that of the longer one.

    Args:
        first: array (batch, time, features) or (batch, time) of tokens, or a dict of such `"targets"` and a `"mask"`
            (batch, time), true where valid.
        second: likewise, of any time. One of both may be one sequence for all.
        num_points: int. Values of a, the two ends included. Defaults to `11`.
        decode: `"mode"`, each frame is the most probable given those before, and other draws of the model are at
            their means, or `"sample"`, a draw. Defaults to `"mode"`.
        seed: int or `None`. The same seed gives the same draws; `None` continues the model's own.
        top_k, top_p: as for `generate`, with `decode="sample"`.
        num_draws: int. With `decode="sample"`, so many are drawn for each point, and that of the greatest log p(y | z)
            is kept, of all tokens, whatever `top_k` and `top_p` are. Defaults to `1`.

    Returns:
        NumPy array (num_points, batch, time, features), or (num_points, batch, time) of tokens. Time is that of the
        longest sequence; steps past the end of one are zeros.

    Raises:
        ValueError: names what is wrong with an argument, or the model is not built.
    """
    check_size("num_points", num_points)
    check_choice("decode", decode, ("mode", "sample"))
    check_size("num_draws", num_draws)
    check_can_generate(model)
    kept = check_kept(model, top_k, top_p)
    if decode == "mode" and (kept or num_draws > 1):
        raise ValueError(f"`{next(iter(kept), 'num_draws')}` is for decode='sample'. Received: decode='mode'.")
    first, second = _without_padding(model, "first", first), _without_padding(model, "second", second)
    counts, times = zip(*(targets.shape[:2] for targets, _ in (first, second)), strict=True)
    batch, time = max(counts), max(times)
    if min(counts) not in (1, batch):
        raise ValueError(
            "`first` and `second` must be of as many sequences, or one of them of 1. "
            f"Received: {counts[0]} and {counts[1]} sequences."
        )
    numbers = num_points * batch * time * max(model.latent_dim, num_draws * model.head.width)
    check_numbers(numbers, num_points=num_points, num_draws=num_draws)
    lengths = interpolated_lengths(first[1], second[1], num_points)
    random = generator(model, seed)
    seeds = ops.convert_to_numpy(keras.random.randint((2,), 0, 2**31 - 1, seed=random))
    latents = _mixed(_drawn(model, *first, seeds[0]), _drawn(model, *second, seeds[1]), num_points)
    latents = latents.reshape(-1, time, model.latent_dim)
    rows, draws = len(latents), []
    size = padded_size(rows)
    latents = ops.cast(padded_to(latents, size, padded_size(time)), model.compute_dtype)
    state, x = model.initial_state(size), start_frame(model, size)
    for _ in range(num_draws):
        noise, frame_noise = noises_of(model, size, time, random)
        noises = noise if decode == "sample" else ops.zeros_like(noise), frame_noise
        drawn = draw_frames(model, state, x, *noises, float32(1.0), latents, decode=decode, scored=True, **kept)
        draws.append([ops.convert_to_numpy(part)[:rows, :time] for part in drawn])
    frames, log_probs = map(np.stack, zip(*draws, strict=True))
    valid = _valid(lengths.reshape(-1), time)
    best = np.argmax(np.sum(log_probs, axis=-1, where=valid), axis=0)
    frames = frames[best, np.arange(rows)]
    frames[~valid] = 0
    return frames.reshape(num_points, batch, *frames.shape[1:])


def interpolated_lengths(first, second, num_points):
    """Steps of each interpolated sequence, (num_points, batch), from those of both, (batch,) each, or (1,) for all."""
    last = max(num_points - 1, 1)
    k = np.arange(num_points)[:, None]
    return (2 * ((last - k) * first + k * second) + last) // (2 * last)  # in integers, so that halves are halves


def _without_padding(model, name, data):
    """The targets of the argument `name`, (batch, time, ...) with the time of the longest, and their lengths, (batch,).

    Raises:
        ValueError: the model does not accept it.
    """
    try:
        model.check_data(data)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from error
    data = data if isinstance(data, dict) else {"targets": data}
    if data.get("inputs") is not None:
        raise ValueError(f"`{name}` may have the keys targets, mask. Received the key 'inputs'.")
    targets, mask = native(ops.convert_to_numpy(data["targets"])), data.get("mask")
    if mask is None:
        return targets, np.full(*targets.shape[:2])
    lengths = np.sum(ops.convert_to_numpy(mask) > 0, axis=1)
    return targets[:, : lengths.max()], lengths


def _valid(lengths, time):
    """A mask, (..., time)."""
    return np.arange(time) < lengths[..., None]


def _drawn(model, targets, lengths, seed):
    """z_t of the posterior, (batch, time, latent_dim), zero at masked steps, and the mask, (batch, time, 1)."""
    mask = _valid(lengths, targets.shape[1])
    data = targets if mask.all() else {"targets": targets, "mask": mask}
    return encode(model, data, seed=int(seed), verbose=0).sample, mask[..., None]


def _mixed(first, second, num_points):
    """z_t between those of two sequences, each of `_drawn`: (num_points, batch, time, latent_dim)."""
    time = max(len(mask[0]) for _, mask in (first, second))
    padded = [np.pad(x, ((0, 0), (0, time - x.shape[1]), (0, 0))) for x in (*first, *second)]
    start, in_first, end, in_second = padded
    a = np.linspace(0.0, 1.0, num_points, dtype="float32")[:, None, None, None]
    return np.where(in_first & in_second, (1 - a) * start + a * end, start + end)
