"""What a model infers from data, batch by batch."""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_positive_int
from zf_keras.compiled import compiled
from zf_keras.inference.diagnostics.statistics import Inferred, add
from zf_keras.inference.passes import arrays, count_and_time, generator, parts, passes
from zf_keras.probability import Gaussian, float32


def check_latents(model):
    if not model.noise_dim:
        raise ValueError(f"{type(model).__name__} has no latents, and so no diagnostics of them.")


def sums_of(model, data, of_batch, seed, batch_size, verbose):
    """The sums over all batches of what a function gives of an `Inferred`: a dict."""
    total = {}
    for batch, noise, shape in batches(model, data, seed, batch_size, verbose):
        add(total, of_batch(inferred(model, batch, noise, *shape)))
    return total


def batches(model, data, seed, batch_size, verbose):
    """Batches of an array, a dict or a stream, as dicts of tensors; noise for each; rows and steps without filling."""
    check_positive_int("batch_size", batch_size)
    random = generator(model, seed)
    for part, shown in parts(data, verbose):
        part = arrays(model, part)
        left, time = count_and_time(part)
        for batch, noise in passes(model, part, np.arange(left), random, batch_size, shown):
            count = min(left, len(noise))
            left -= count
            yield batch, noise, (count, time)


def inferred(model, data, noise, count, time):
    """`Inferred` of the first `count` rows and `time` steps of a batch."""
    terms, valid, latents = keras.tree.map_structure(
        lambda x: ops.convert_to_numpy(x)[:count, :time].astype("float64"), _inferred(model, data, noise)
    )
    if latents:
        q_mean, q_log_variance, p_mean, p_log_variance, z = latents
        latents = Gaussian(q_mean, q_log_variance), Gaussian(p_mean, p_log_variance), z
    return Inferred(terms, valid.astype(bool), *latents)


@compiled
def _inferred(model, data, noise):
    steps, mask = model(data, training=False, noise=noise), model.sequences(data).mask
    valid = ops.ones_like(steps.terms["nll"]) if mask is None else mask
    latents = (*steps.posterior, *steps.prior, steps.latent) if model.noise_dim else ()
    return steps.terms, valid, [float32(x) for x in latents]
