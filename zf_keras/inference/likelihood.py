"""Likelihoods of a model: the importance-weighted bound, exact without latents."""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_numbers, check_positive_int, check_size
from zf_keras.compiled import compiled
from zf_keras.data.sequences import is_arrays
from zf_keras.inference.passes import arrays, count_and_time, generator, passes
from zf_keras.probability import float32


def log_likelihood(model, data, num_samples=1, seed=None, batch_size=128, verbose="auto"):
    """Importance-weighted bound on log p(y), exact where the model has no latent.

    log 1/K sum_k exp(sum_t log p(y_t | ...) + log p(z_t | ...) - log q(z_t | ...)), z ~ q
    (Burda et al. 2016, eq. 8). With one sample its mean is the ELBO.

    Args:
        data: array or dict, or a finite stream of them: `Batches` (one pass), a `tf.data.Dataset`.
        num_samples: int. K. Defaults to `1`.
        seed: int or `None`. The same seed gives the same draws; `None` continues the model's own.
        batch_size: int. How many (sequence, sample) pairs are computed at a time, which bounds the
            memory. Defaults to `128`.
        verbose: `"auto"`, 0 or 1. Whether to show a progress bar; `"auto"` does for more than one pass.

    Returns:
        NumPy array (batch,), nats.

    Raises:
        ValueError: names what is wrong with an argument.
    """
    check_size("num_samples", num_samples)
    check_positive_int("batch_size", batch_size)
    random = generator(model, seed)
    if is_arrays(data) or not hasattr(data, "__iter__") or isinstance(data, list | tuple | str):
        return _bounds(model, data, num_samples, random, batch_size, verbose)
    progress = keras.utils.Progbar(len(data) if hasattr(data, "__len__") else None) if verbose else None
    bounds = []
    for batch in data:
        batch = keras.utils.unpack_x_y_sample_weight(batch)[0]
        bounds.append(_bounds(model, batch, num_samples, random, batch_size, verbose=0))
        if progress:
            progress.add(1)
    if not bounds:
        raise ValueError("`data` is a stream without batches.")
    return np.concatenate(bounds)


def _bounds(model, data, num_samples, random, batch_size, verbose):
    data = arrays(model, data)
    num_samples = num_samples if model.noise_dim else 1
    count, _ = count_and_time(data)
    check_numbers(count * num_samples, num_samples=num_samples)
    rows = np.repeat(np.arange(count), num_samples)
    log_weights = [log_weight(model, *batch) for batch in passes(model, data, rows, random, batch_size, verbose)]
    log_weights = np.concatenate([ops.convert_to_numpy(w) for w in log_weights])[: len(rows)]
    return log_mean_exp(log_weights.astype("float64").reshape(count, num_samples)).astype("float32")


def log_mean_exp(x):
    """log of the mean of exp(x) over the last axis of a NumPy array or of a tensor."""
    if isinstance(x, np.ndarray):
        return np.logaddexp.reduce(x, axis=-1) - np.log(x.shape[-1])
    return ops.logsumexp(x, axis=-1) - ops.log(float32(ops.shape(x)[-1]))


def sum_steps(x, mask):
    """(batch, time) to (batch,): the sum over valid steps. mask: (batch, time), or `None` for all."""
    return ops.sum(x if mask is None else ops.where(mask, x, 0.0), axis=1)


@compiled
def log_weight(model, data, noise):
    """log p(y, z) - log q(z) of each sequence, (batch,) nats, with z drawn by `noise`; log p(y) without latents."""
    steps = model(data, training=False, noise=noise)
    return sum_steps(steps.log_weight(), model.sequences(data).mask)


def elbo(model, data, noise):
    """ELBO of each sequence with the KL in closed form, (batch,) nats, with z drawn by `noise`."""
    steps = model(data, training=False, noise=noise)
    return -sum(ops.sum(steps.terms[name], axis=1) for name in ("nll", "kl") if name in steps.terms)
