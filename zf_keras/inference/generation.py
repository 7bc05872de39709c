"""Samples and forecasts of a model: its step in a loop, with z_t drawn from the prior.

x_1 a start frame;  params_t, state_t = step(state_{t-1}, x_t, noise_t);  y_t ~ p(params_t);  x_{t+1} = y_t

All noise is drawn before the loop.
"""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import (
    check_numbers,
    check_positive,
    check_positive_int,
    check_probability,
    check_size,
    optional,
)
from zf_keras.compiled import compiled
from zf_keras.data.padding import drawn, padded_size, padded_to
from zf_keras.data.sequences import TIMELESS
from zf_keras.inference.forecasts import Forecast
from zf_keras.inference.passes import batches_of_rows, generator, noise_of
from zf_keras.inference.prompts import (
    Prompts,
    Start,
    checked_beside,
    checked_prompt,
    first_steps,
    lengths_of,
    steps_after,
)
from zf_keras.loops.scan import scan
from zf_keras.probability import float32


def generate(
    model,
    batch_size=1,
    length=100,
    prompt=None,
    temperature=1.0,
    seed=None,
    top_k=None,
    top_p=None,
    mask=None,
    covariates=None,
    static=None,
    categories=None,
):
    """Draws sequences from the model.

    Args:
        batch_size: int. Number of sequences. Defaults to `1`. On JAX this and the steps are computed for the next of a
            few sizes, so that few programs are compiled.
        length: int. Steps of each, those of the prompt included. Defaults to `100`.
        prompt: array (batch_size, steps, features) or (batch_size, steps) of tokens, or one such sequence
            for all (1, ...); the first frames of the result. The state after it is drawn from the posterior
            given the prompt. Defaults to `None`.
        temperature: positive float. Divides the output's logits and multiplies its standard
            deviations. Defaults to `1.0`.
        seed: int or `None`. The same seed gives the same draws; `None` continues the model's own.
        top_k: int or `None`. Of tokens: only the so many likeliest are drawn. Defaults to `None`, all.
        top_p: float in (0, 1] or `None`. Of tokens: only the likeliest are drawn, whose probabilities add up to this
            (Holtzman et al. 2020). Defaults to `None`, all.
        mask: array (batch_size, steps) or (1, steps) as the prompt, true where that is valid, with padding on the
            right. What is drawn follows at once on the last valid frame of each, so that all sequences have `length`
            steps and no padding. Defaults to `None`: prompts of one length.
        covariates: array (batch_size, length, features) or (1, length, features), of a model that reads them: of the
            prompt's steps too. Defaults to `None`.
        static: array (batch_size, features) or (1, features), likewise. Defaults to `None`.
        categories: array of ints (batch_size, columns) or (1, columns), likewise. Defaults to `None`.

    Returns:
        NumPy array (batch_size, length, features), or (batch_size, length) of tokens.

    Raises:
        ValueError: names what is wrong with an argument, or the model is not built.
    """
    check_positive_int("batch_size", batch_size)
    check_positive_int("length", length)
    check_positive("temperature", temperature)
    check_can_generate(model)
    model.head.check_temperature(temperature)
    kept = check_kept(model, top_k, top_p)
    numbers = batch_size * max(length * (model.noise_dim + model.head.width), model.units)
    check_numbers(numbers, batch_size=batch_size, length=length)
    random = generator(model, seed)
    beside = checked_beside(model, covariates, static, categories, batch_size, length)
    size = padded_size(batch_size)
    if prompt is None:
        if mask is not None:
            raise ValueError("`mask` is of a `prompt`. Received: prompt=None.")
        if model.scaling is not None and model.scaling.by_sequence:
            raise ValueError("A model with `scaling` by sequence needs a `prompt`, which tells the scale.")
        start = Start(model.initial_state(size), model.start_frames(size))
        beside = first_steps(beside, batch_size, length)
        return drawn_after(model, start, length, random, temperature, kept, beside)[:batch_size]
    data = checked_prompt(model, prompt, mask, beside)
    known, lengths = data["targets"], lengths_of(data)
    if len(known) not in (1, batch_size) or known.shape[1] >= length:
        raise ValueError(
            f"`prompt` must be of 1 or batch_size={batch_size} sequences, shorter than length={length}. "
            f"Received: shape={known.shape}."
        )
    rows = np.resize(np.arange(len(known)), size)
    start = Prompts(model, data, batch_size).starts(rows, random)
    horizon = length - int(lengths.min())
    beside = steps_after(beside, lengths[rows[:batch_size]], horizon, length)
    frames = drawn_after(model, start, horizon, random, temperature, kept, beside)
    pairs = [(known[row, : lengths[row]].astype(frames.dtype), frames[i]) for i, row in enumerate(rows[:batch_size])]
    return np.stack([np.concatenate(pair)[:length] for pair in pairs])


def forecast(
    model,
    prompt,
    horizon,
    num_samples,
    temperature=1.0,
    seed=None,
    batch_size=128,
    top_k=None,
    top_p=None,
    mask=None,
    covariates=None,
    static=None,
    categories=None,
):
    """Draws what may come after each of some sequences.

    What does not depend on the latents of a prompt is computed once: without latents, the state after it. Each sample
    path has its own draw of them, from the posterior given the prompt. On JAX, prompts and horizons of any length take
    a few programs, which is what a back-test in a loop needs.

    Args:
        prompt: array (batch, steps, features) or (batch, steps) of tokens.
        horizon: int. Steps to forecast.
        num_samples: int. Sample paths for each sequence.
        temperature: positive float. As for `generate`.
        seed: int or `None`. The same seed and `batch_size` give the same draws; `None` continues the model's own.
        batch_size: int. How many (sequence, sample) pairs are computed at a time, which bounds the memory. Defaults
            to `128`.
        top_k, top_p: as for `generate`.
        mask: array (batch, steps), true where the prompt is valid, with padding on the right: each is continued from
            its own end. Defaults to `None`: prompts of one length.
        covariates: array (batch, steps + horizon, features), of a model that reads them: those of the prompt, then of
            the horizon. Of a prompt of n valid steps the first n + horizon are read. Defaults to `None`.
        static: array (batch, features), of a model that reads them. Defaults to `None`.
        categories: array of ints (batch, columns), likewise. Any of the three may be of one sequence for all, (1, ...).
            Defaults to `None`.

    Returns:
        `Forecast`, to NumPy an array (num_samples, batch, horizon, features), or (num_samples, batch, horizon) of
        tokens.

    Raises:
        ValueError: names what is wrong with an argument, or the model is not built.

    Warns:
        UserWarning: on JAX, once a model: a function of it has been compiled for more than ten sizes. It says which.
    """
    check_positive_int("horizon", horizon)
    check_size("num_samples", num_samples)
    check_positive_int("batch_size", batch_size)
    check_positive("temperature", temperature)
    check_can_generate(model)
    model.head.check_temperature(temperature)
    kept = check_kept(model, top_k, top_p)
    shape = np.shape(prompt)[:2]
    count, steps = shape if len(shape) == 2 else (0, 0)  # `checked_prompt` says what is wrong with it
    beside = checked_beside(model, covariates, static, categories, count, steps + horizon) if count else {}
    data = checked_prompt(model, prompt, mask, beside)
    check_numbers(num_samples * count * horizon * (model.head.features or 1), num_samples=num_samples, horizon=horizon)
    random = generator(model, seed)
    prompts, paths = Prompts(model, data, batch_size), []
    ahead = steps_after(beside, prompts.lengths, horizon)
    pairs = np.tile(np.arange(count), num_samples)
    for rows in batches_of_rows(pairs, batch_size):
        of_rows = {key: x[rows] for key, x in ahead.items()}
        paths.append(drawn_after(model, prompts.starts(rows, random), horizon, random, temperature, kept, of_rows))
    paths = np.concatenate(paths)[: len(pairs)]
    return Forecast(paths.reshape(num_samples, count, *paths.shape[1:]))


def check_kept(model, top_k, top_p):
    """Which tokens are drawn, as constants of `draw_frames`."""
    optional(check_size, "top_k", top_k)
    if optional(check_probability, "top_p", top_p) == 0:
        raise ValueError("`top_p` must be in (0, 1]. Received: top_p=0.")
    kept = {name: value for name, value in (("top_k", top_k), ("top_p", top_p)) if value is not None}
    if kept and not model.tokens:
        raise ValueError(f"`{next(iter(kept))}` is for tokens. Received an output of frames.")
    return kept


def check_can_generate(model):
    """Raises a `ValueError` unless what a model draws can be its next input."""
    if model.lagged and not model.built:
        raise ValueError("The model is not built: fit it, load it, or call it on a batch before it generates.")
    if model.is_autoregressive:
        return
    if model.lagged:
        found = (
            f"was built for inputs of {model.features['inputs']} and targets of {model.features['targets']} features"
        )
    else:
        found = "was fitted on inputs of their own (set `model.lagged = True` if they are the targets but for noise)"
    raise ValueError(f"A model can generate only if its inputs are its targets a step earlier. This one {found}.")


@compiled
def known_of(model, beside, scale, time):
    """What is read of a dict of covariates, (batch, steps, ...) each. scale: (batch, features) or `None`."""
    return model.known(beside, time, None if scale is None else scale[:, None])


@compiled
def draw_frames(model, start, known, noise, frame_noise, temperature, *latents, decode="sample", scored=False, **kept):
    """Frames (batch, time, ...) that follow a state; with `scored` a pair of these and of log p of each, (batch, time).

    Args:
        start: `Start`.
        known: tensor (batch, time, known_dim), of `known_of`, or `None`.
        noise, frame_noise: (batch, time, ...), of `model.draw_noise` and of the head's `noise`.
        temperature: scalar tensor.
        *latents: z (batch, time, latent_dim), or nothing for draws from the prior.
        decode: `"sample"` or `"mode"`.
        scored: bool. Whether log p comes too: at temperature 1, and of all tokens, whatever is kept.
        **kept: of tokens, `top_k` and `top_p`.
    """
    weights, head = model.step_weights(), model.head

    def frame(params, frame_noise):
        if decode == "mode":
            return head.mode(params)
        if kept:
            return head.draw(head.truncated(head.at_temperature(params, temperature), **kept), *frame_noise)
        return head.draw(params, *frame_noise, temperature)

    def step(carry, inputs):
        state, x, *observed = carry
        noise, frame_noise, latent, known = inputs
        x = model.read_frames(x, *(known or (None,)), start.scale, *observed)
        steps, state = model.step(weights, state, x, noise, latent=latent[0] if latent else None)
        params = model.in_units(steps.output, start.scale)
        y = frame(params, frame_noise)
        return (state, y, *map(ops.ones_like, observed)), (y, head.log_prob(params, y)) if scored else y

    def swapped(nest):
        return keras.tree.map_structure(lambda x: ops.swapaxes(x, 0, 1), nest)

    carry = (start.state, start.frame, *([] if start.observed is None else [start.observed]))
    inputs = noise, tuple(frame_noise), latents, () if known is None else (known,)
    return swapped(scan(step, carry, swapped(inputs))[1])


def noises_of(model, count, length, random):
    """The noise of latents and that of frames, for `draw_frames`."""
    return noise_of(model, count, length, random), drawn(lambda *shape: model.head.noise(shape, random), count, length)


def drawn_after(model, start, length, random, temperature, kept, beside):
    """`length` frames (batch, length, ...) that follow a start, a NumPy array.

    beside: dict of arrays, the covariates of as many sequences or fewer, of these steps.
    """
    noise, frame_noise = noises_of(model, len(start.frame), length, random)
    sizes = noise.shape[:2]
    beside = {key: padded_to(x, *sizes[: 1 if key in TIMELESS else 2]) for key, x in beside.items()}
    beside = keras.tree.map_structure(ops.convert_to_tensor, beside)
    known = known_of(model, beside, start.scale, time=int(sizes[1])) if model.known_dim else None
    frames = draw_frames(model, start, known, noise, frame_noise, float32(temperature), **kept)
    return ops.convert_to_numpy(frames)[:, :length]
