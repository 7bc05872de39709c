"""What the posteriors of a batch add up to, in NumPy and float64, and what the sums of all batches give.

Each `..._sums` takes an `Inferred` and returns arrays that are added over batches (`add`), with time first if by step.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from zf_keras.inference.likelihood import log_mean_exp
from zf_keras.probability import Gaussian


class Inferred(NamedTuple):
    """What a model inferred from a batch: NumPy arrays, float64; the last three where it has latents."""

    terms: dict  # name -> (batch, time) nats, zero at masked steps
    valid: Any  # (batch, time) bool
    posterior: Gaussian = None  # (batch, time, latent_dim) each
    prior: Gaussian = None  # likewise
    latent: Any = None  # (batch, time, latent_dim), drawn from the posterior


class KL(NamedTuple):
    """Nats."""

    by_dimension: Any  # (latent_dim,), of a sequence
    by_step: Any  # (time,), of a sequence that has the step


class ActiveUnits(NamedTuple):
    """How many dimensions of z vary with the data."""

    count: int  # of dimensions whose variance is above the threshold
    variance: Any  # (latent_dim,), of the posterior mean
    count_beyond_prior: int  # likewise, of the variance below
    variance_beyond_prior: Any  # (latent_dim,), of the posterior mean minus the prior's


class MutualInformation(NamedTuple):
    """Nats."""

    by_step: Any  # (time,)
    bound: Any  # (time,), what the estimate is at most


class AggregatePosterior(NamedTuple):
    """Moments of z over sequences and steps, and those of the prior."""

    mean: Any  # (latent_dim,)
    covariance: Any  # (latent_dim, latent_dim)
    prior_mean: Any  # (latent_dim,)
    prior_covariance: Any  # (latent_dim, latent_dim)
    kl: Any  # (latent_dim,) nats, between the Gaussians of these moments, by dimension


class LossTerm(NamedTuple):
    """A term of the loss."""

    mean: float  # nats a sequence
    weight: float
    weighted: float  # weight times mean; these add up to the loss
    share: float  # |weighted| of the sum of these over the terms


def add(total, sums):
    """Adds `sums` to the dict `total`; a longer time axis than so far is what the first one grows to."""
    for name, value in sums.items():
        value, before = np.asarray(value), total.get(name, 0)
        if np.ndim(before) and len(before) != len(value):
            before, value = (_padded(x, max(len(before), len(value))) for x in (before, value))
        total[name] = before + value


def _padded(x, length):
    return np.pad(x, [(0, length - len(x))] + [(0, 0)] * (x.ndim - 1))


def gaussian_kl(q, p):
    """KL(q || p) of each dimension, nats."""
    ratio, distance = np.exp(q.log_variance - p.log_variance), np.square(q.mean - p.mean)
    return 0.5 * (p.log_variance - q.log_variance + ratio + distance * np.exp(-p.log_variance) - 1)


def bhattacharyya(q, p):
    """The integral of sqrt(q p) of each dimension, in [0, 1]."""
    # sqrt(2 sigma_q sigma_p / (v_q + v_p)) exp(-(m_q - m_p)^2 / (4 (v_q + v_p))), the first factor in logarithms.
    log_sum = np.logaddexp(q.log_variance, p.log_variance)
    log_scale = 0.5 * (math.log(2) + 0.5 * (q.log_variance + p.log_variance) - log_sum)
    return np.exp(log_scale - 0.25 * np.square(q.mean - p.mean) * np.exp(-log_sum))


def log_densities(z, q):
    """log q_m(z_n), (n, m) nats, of points (n, latent_dim) and Gaussians (m, latent_dim)."""
    centre, precision = q.mean.mean(axis=0), np.exp(-q.log_variance)
    z, mean = z - centre, q.mean - centre  # the squares cancel less
    constant = np.sum(q.log_variance + math.log(2 * math.pi) + np.square(mean) * precision, axis=1)
    known, of_q = np.hstack([np.square(z), z]), np.hstack([precision, -2 * mean * precision])
    # Not `@`: the threads of BLAS cost more than products as small as these.
    return -0.5 * (np.einsum("nd,md->nm", known, of_q) + constant)


def kl_sums(steps):
    kl = gaussian_kl(steps.posterior, steps.prior) * steps.valid[..., None]
    return {"kl": kl.sum(axis=0), "of_step": steps.valid.sum(axis=0), "sequences": len(kl)}


def kl_of(sums):
    time = np.count_nonzero(sums["of_step"])  # padding is on the right: no sequence has the steps after it
    by_step = sums["kl"].sum(axis=1)[:time] / sums["of_step"][:time]
    return KL(sums["kl"].sum(axis=0) / sums["sequences"], by_step)


def moment_sums(steps):
    q, p = (Gaussian(*(x[steps.valid] for x in gaussian)) for gaussian in (steps.posterior, steps.prior))
    sums = {"steps": len(q.mean)}
    for name, mean in (("posterior", q.mean), ("prior", p.mean), ("difference", q.mean - p.mean)):
        sums |= {name: mean.sum(axis=0), f"{name}_squares": mean.T @ mean}
    variances = {f"{name}_variance": np.exp(g.log_variance).sum(axis=0) for name, g in (("posterior", q), ("prior", p))}
    return sums | variances


def moments_of(sums, name):
    """Mean (latent_dim,) and covariance (latent_dim, latent_dim) of a Gaussian's mean."""
    mean = sums[name] / sums["steps"]
    return mean, sums[f"{name}_squares"] / sums["steps"] - np.outer(mean, mean)


def active_units_of(sums, threshold):
    variances = [np.maximum(np.diag(moments_of(sums, name)[1]), 0.0) for name in ("posterior", "difference")]
    (count, beyond_prior) = (int(np.sum(variance > threshold)) for variance in variances)
    return ActiveUnits(count, variances[0], beyond_prior, variances[1])


def aggregate_of(sums):
    moments = {}
    for name in ("posterior", "prior"):
        mean, covariance = moments_of(sums, name)
        # Law of total variance.
        moments[name] = mean, covariance + np.diag(sums[f"{name}_variance"] / sums["steps"])
    marginals = (Gaussian(mean, np.log(np.diag(covariance))) for mean, covariance in moments.values())
    return AggregatePosterior(*moments["posterior"], *moments["prior"], gaussian_kl(*marginals))


def overlap_sums(steps):
    overlap = bhattacharyya(*(Gaussian(*(x[steps.valid] for x in g)) for g in (steps.posterior, steps.prior)))
    return {"overlap": overlap.sum(axis=0), "steps": len(overlap)}


def overlap_of(sums):
    return sums["overlap"] / sums["steps"]


def information_sums(steps):
    time = steps.valid.shape[1]
    nats, bound = np.zeros(time), np.zeros(time)
    for t in range(time):
        rows = steps.valid[:, t]
        q = Gaussian(*(x[rows, t] for x in steps.posterior))
        if len(q.mean):
            log_q = log_densities(steps.latent[rows, t], q)
            nats[t] = np.sum(np.diagonal(log_q) - log_mean_exp(log_q))
            bound[t] = len(log_q) * math.log(len(log_q))
    return {"nats": nats, "bound": bound, "of_step": steps.valid.sum(axis=0)}


def information_of(sums):
    time = np.count_nonzero(sums["of_step"])
    return MutualInformation(*(sums[name][:time] / sums["of_step"][:time] for name in ("nats", "bound")))


def term_sums(steps):
    return {**{name: term.sum() for name, term in steps.terms.items()}, "sequences": len(steps.valid)}


def loss_shares_of(sums, weights):
    means = {name: float(sums[name] / sums["sequences"]) for name in weights}
    whole = sum(abs(weight * means[name]) for name, weight in weights.items())
    return {
        name: LossTerm(means[name], weight, weight * means[name], abs(weight * means[name]) / whole if whole else 0.0)
        for name, weight in weights.items()
    }
