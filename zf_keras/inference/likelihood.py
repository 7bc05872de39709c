"""Likelihoods of a model: bounds that are exact without latents."""

import numpy as np
from keras import ops

from zf_keras.arguments import check_choice, check_numbers, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.inference.particles import check_resampling, fivo
from zf_keras.inference.passes import arrays, count_and_time, generator, parts, passes
from zf_keras.probability import float32

BOUNDS = ("iwae", "elbo", "fivo")


def log_likelihood(
    model,
    data,
    num_samples=1,
    seed=None,
    batch_size=128,
    verbose="auto",
    bound="iwae",
    resample_below=0.5,
    resampling="systematic",
):
    """A bound on log p(y), exact where the model has no latent.

    - `"elbo"`: the mean over K draws of sum_t log p(y_t | ...) - KL(q(z_t | ...) || p(z_t | ...)).
    - `"iwae"`: log 1/K sum_k exp(sum_t log p(y_t | ...) + log p(z_t | ...) - log q(z_t | ...)), z ~ q (Burda et al.
      2016, eq. 8). With one sample its mean is the ELBO.
    - `"fivo"`: the log of a particle filter's estimate of p(y), K particles (Maddison et al. 2017). Of long sequences
      it is much tighter than `"iwae"`, whose K sequences are weighed only at their end.

    What depends on no latent, such as the backward LSTM, is computed once a sequence. On JAX sequences and steps are
    padded to a few sizes, so that few programs are compiled; the result is the same.

    Args:
        data: array or dict, or a finite stream of them: `Batches` (one pass), a `tf.data.Dataset`.
        num_samples: int. K. Defaults to `1`.
        seed: int or `None`. The same seed gives the same draws; `None` continues the model's own.
        batch_size: int. How many (sequence, sample) pairs are computed at a time, which bounds the
            memory; with `"fivo"` the K of a sequence at least. Defaults to `128`.
        verbose: `"auto"`, 0 or 1. Whether to show a progress bar; `"auto"` does for more than one pass.
        bound: `"iwae"`, `"elbo"` or `"fivo"`. Defaults to `"iwae"`.
        resample_below, resampling: of `"fivo"`, as for `step_scores`.

    Returns:
        NumPy array (batch,), nats.

    Raises:
        ValueError: names what is wrong with an argument.
    """
    check_size("num_samples", num_samples)
    check_positive_int("batch_size", batch_size)
    check_choice("bound", bound, BOUNDS)
    check_resampling(resample_below, resampling)
    random = generator(model, seed)

    def of_arrays(data, verbose):
        data = arrays(model, data)
        samples = num_samples if model.noise_dim else 1
        check_numbers(count_and_time(data)[0] * samples, num_samples=samples)
        if bound == "fivo":
            bounds = fivo(model, data, samples, random, batch_size, verbose, resample_below, resampling)
        else:
            bounds = _of_draws(model, data, samples, random, batch_size, verbose, bound)
        return bounds.astype("float32")

    return np.concatenate([of_arrays(*part) for part in parts(data, verbose)])


def _of_draws(model, data, num_samples, random, batch_size, verbose, bound):
    """ELBO or IWAE of each sequence of a dict of arrays: (batch,) float64 nats."""
    count, _ = count_and_time(data)
    rows = np.repeat(np.arange(count), num_samples)
    draws = [
        ops.convert_to_numpy((log_weight if bound == "iwae" else elbo)(model, *batch))
        for batch in passes(model, data, rows, random, batch_size, verbose, contexts=True)
    ]
    draws = np.concatenate(draws)[: len(rows)].astype("float64").reshape(count, num_samples)
    return log_mean_exp(draws) if bound == "iwae" else draws.mean(axis=1)


def log_mean_exp(x):
    """log of the mean of exp(x) over the last axis of a NumPy array or of a tensor."""
    if isinstance(x, np.ndarray):
        return np.logaddexp.reduce(x, axis=-1) - np.log(x.shape[-1])
    return ops.logsumexp(x, axis=-1) - ops.log(float32(ops.shape(x)[-1]))


def sum_steps(x, mask):
    """(batch, time) to (batch,): the sum over valid steps. mask: (batch, time), or `None` for all."""
    return ops.sum(x if mask is None else ops.where(mask, x, 0.0), axis=1)


@compiled
def log_weight(model, data, noise, *context):
    """log p(y, z) - log q(z) of each sequence, (batch,) nats, with z drawn by `noise`; log p(y) without latents."""
    sequences = model.sequences(data)
    return sum_steps(model.steps(sequences, noise, *context, training=False).log_weight(), sequences.mask)


@compiled
def elbo(model, data, noise, *context):
    """ELBO of each sequence with the KL in closed form, (batch,) nats, with z drawn by `noise`."""
    steps = model.steps(model.sequences(data), noise, *context, training=False)
    return -sum(ops.sum(steps.terms[name], axis=1) for name in ("nll", "kl") if name in steps.terms)
