"""The latents of sequences, and sequences between two latents."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_choice, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.inference.generation import check_can_generate, check_frames, draw_frames, start_frame
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
    count, _ = count_and_time(data)
    encodings = [
        map(ops.convert_to_numpy, posterior(model, *batch))
        for batch in passes(model, data, np.arange(count), seed, batch_size, verbose)
    ]
    return Encoding(*(np.concatenate(parts)[:count] for parts in zip(*encodings, strict=True)))


@compiled
def posterior(model, data, noise):
    """Mean of q(z_t | ...) and z_t drawn by `noise`, (batch, time, latent_dim) each; zero at masked steps."""
    steps, mask = model(data, training=False, noise=noise), model.sequences(data).mask
    encoding = (float32(steps.posterior.mean), float32(steps.latent))
    if mask is None:
        return encoding
    return tuple(ops.where(ops.expand_dims(mask, -1), x, 0.0) for x in encoding)


def interpolate(model, first, second, num_points=11, decode="mode", seed=None):
    """Decodes the latents between those of two sequences: z_t = (1 - a) z_t^first + a z_t^second, a from 0 to 1.

    Source: Sordoni et al. 2017, their sentences: a draw from the posterior of each sequence, mixed step by step.

    Args:
        first: array (batch, time, features) or (batch, time) of tokens.
        second: array of the same shape.
        num_points: int. Values of a, the two ends included. Defaults to `11`.
        decode: `"mode"`, each frame is the most probable given those before, and other draws of the model are at
            their means, or `"sample"`, a draw. Defaults to `"mode"`.
        seed: int or `None`. The same seed gives the same draws; `None` continues the model's own.

    Returns:
        NumPy array (num_points, batch, time, features), or (num_points, batch, time) of tokens.

    Raises:
        ValueError: names what is wrong with an argument, or the model is not built.
    """
    check_size("num_points", num_points)
    check_choice("decode", decode, ("mode", "sample"))
    check_can_generate(model)
    first, second = check_frames(model, "first", first), check_frames(model, "second", second)
    if first.shape != second.shape:
        raise ValueError(
            f"`first` and `second` must have the same shape. Received: shapes {first.shape} and {second.shape}."
        )
    random = generator(model, seed)
    seeds = keras.random.randint((2,), 0, 2**31 - 1, seed=random)
    start, end = (
        encode(model, x, seed=int(s), verbose=0).sample
        for x, s in zip((first, second), ops.convert_to_numpy(seeds), strict=True)
    )
    a = np.linspace(0.0, 1.0, num_points, dtype="float32")[:, None, None, None]
    latents = ((1 - a) * start + a * end).reshape(-1, *start.shape[1:])
    rows, time = latents.shape[:2]
    noise = model.draw_noise(rows, time, random)
    noise = noise if decode == "sample" else ops.zeros_like(noise)
    frame_noise = model.head.noise((rows, time), random)
    state, x = model.initial_state(rows), start_frame(model, rows)
    latents = ops.cast(latents, model.compute_dtype)
    frames = draw_frames(model, state, x, noise, frame_noise, float32(1.0), latents, decode=decode)
    frames = ops.convert_to_numpy(frames)
    return frames.reshape(num_points, len(first), *frames.shape[1:])
