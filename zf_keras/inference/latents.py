"""The latents of sequences, and sequences between two latents."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_choice, check_numbers, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.data.padding import padded_size, padded_to
from zf_keras.data.sequences import TIMELESS, native
from zf_keras.inference.generation import check_can_generate, check_kept, draw_frames, noises_of
from zf_keras.inference.passes import arrays, count_and_time, generator, passes, rows_of
from zf_keras.inference.prompts import Start
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
            (batch, time), true where valid, and the covariates of a model that reads them. These, embedded, and the
            logarithms of scales by sequence are mixed as the latents are.
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
    counts, times = zip(*(data["targets"].shape[:2] for data, _ in (first, second)), strict=True)
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
    drawn = [_drawn(model, *each, seed) for each, seed in zip((first, second), seeds, strict=True)]
    rows, draws = num_points * batch, []
    size = padded_size(rows)

    def mixed(which):
        pair = [(each[which], each["mask"]) for each in drawn]
        return _mixed(*pair, num_points).reshape(rows, -1, pair[0][0].shape[-1])

    def padded(x):
        return ops.cast(padded_to(x, size, padded_size(time)), model.compute_dtype)

    latents, known = padded(mixed("latents")), padded(mixed("known")) if model.known_dim else None
    start = Start(model.initial_state(size), model.start_frames(size))
    if model.scaling is not None and model.scaling.by_sequence:
        start = start._replace(scale=ops.convert_to_tensor(padded_to(np.exp(mixed("log_scale")[:, 0]), size)))
    for _ in range(num_draws):
        noise, frame_noise = noises_of(model, size, time, random)
        noises = noise if decode == "sample" else ops.zeros_like(noise), frame_noise
        drawn = draw_frames(model, start, known, *noises, float32(1.0), latents, decode=decode, scored=True, **kept)
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
    """The argument `name` as a dict of arrays with the time of the longest, without mask, and lengths, (batch,).

    Raises:
        ValueError: the model does not accept it.
    """
    try:
        model.check_data(data)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from error
    data = data if isinstance(data, dict) else {"targets": data}
    if data.get("inputs") is not None:
        raise ValueError(f"`{name}` may not have the key 'inputs': the model reads its own frames.")
    data = {key: native(ops.convert_to_numpy(x)) for key, x in data.items() if x is not None}
    mask = data.pop("mask", None)
    if mask is None:
        return data, np.full(*data["targets"].shape[:2])
    lengths = np.sum(mask > 0, axis=1)
    return {key: x if key in TIMELESS else x[:, : lengths.max()] for key, x in data.items()}, lengths


def _valid(lengths, time):
    """A mask, (..., time)."""
    return np.arange(time) < lengths[..., None]


def _drawn(model, data, lengths, seed):
    """A dict of arrays (batch, time, ...), zero at masked steps: `latents` z_t of the posterior, what is `known`,
    `log_scale` by sequence; and the `mask`, (batch, time, 1).
    """
    count, time = data["targets"].shape[:2]
    mask = _valid(lengths, time)
    given = data if mask.all() else {**data, "mask": mask}
    drawn = {"latents": encode(model, given, seed=int(seed), verbose=0).sample, "mask": mask[..., None]}
    if model.beside_dim:
        of_rows = beside_of(model, rows_of(given, np.resize(np.arange(count), padded_size(count))))
        of_rows = {key: ops.convert_to_numpy(x)[:count, :time] for key, x in of_rows.items()}
        drawn |= {key: np.where(mask[..., None], x, 0.0) for key, x in of_rows.items()}
        if "log_scale" in drawn:  # of all steps alike
            drawn["log_scale"] = of_rows["log_scale"]
    return drawn


@compiled
def beside_of(model, data):
    """What is `known` of each step, and the logarithms of scales by sequence: a dict of tensors (batch, time, ...)."""
    sequences = model.sequences(data)
    scale = None if sequences.scale is None else ops.log(sequences.scale)
    beside = {"known": sequences.known, "log_scale": scale}
    return {key: float32(x) for key, x in beside.items() if x is not None}


def _mixed(first, second, num_points):
    """z_t between those of two sequences, each of `_drawn`: (num_points, batch, time, latent_dim)."""
    time = max(len(mask[0]) for _, mask in (first, second))
    padded = [np.pad(x, ((0, 0), (0, time - x.shape[1]), (0, 0))) for x in (*first, *second)]
    start, in_first, end, in_second = padded
    a = np.linspace(0.0, 1.0, num_points, dtype="float32")[:, None, None, None]
    return np.where(in_first & in_second, (1 - a) * start + a * end, start + end)
