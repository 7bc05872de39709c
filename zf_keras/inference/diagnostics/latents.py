"""Diagnostics of the posterior and the prior, and of the output without either."""

import numpy as np
from keras import ops

from zf_keras.arguments import check_non_negative
from zf_keras.compiled import compiled
from zf_keras.inference.diagnostics import statistics
from zf_keras.inference.diagnostics.inferred import batches, check_latents, sums_of
from zf_keras.inference.likelihood import sum_steps
from zf_keras.loops.scan import scan


def kl(model, data, seed=None, batch_size=128, verbose="auto"):
    """KL(q(z_t | ...) || p(z_t | ...)) by latent dimension and by step, in closed form.

    Args:
        data: array or dict, or a finite stream of them, as for `log_likelihood`.
        seed: int or `None`. The same seed gives the same numbers; `None` continues the model's own.
        batch_size: int. Sequences computed at a time, which bounds the memory. Defaults to `128`.
        verbose: `"auto"`, 0 or 1. As for `log_likelihood`.

    Returns:
        `KL(by_dimension, by_step)`, NumPy arrays in nats. by_dimension: (latent_dim,), the sum over the steps of a
        sequence, mean over sequences; it adds up to the mean of the term "kl". by_step: (time,), the sum over
        dimensions, mean over the sequences that have the step.

    Raises:
        ValueError: names what is wrong with an argument, or the model has no latents.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = SRNN(units=8, latent_dim=4, output="bernoulli", seed=0)
    >>> kl = diagnostics.kl(model, np.zeros((2, 5, 3)), seed=0)
    >>> kl.by_dimension.shape, kl.by_step.shape
    ((4,), (5,))
    """
    check_latents(model)
    return statistics.kl_of(sums_of(model, data, statistics.kl_sums, seed, batch_size, verbose))


def active_units(model, data, threshold=0.01, seed=None, batch_size=128, verbose="auto"):
    """Dimensions of z whose posterior mean varies with the data (Burda et al. 2016: A_u = Var(E_q[z_u]) > 0.01).

    The variance here is over all (sequence, step). A learned prior moves too: where the posterior only follows it, z_t
    is active, and tells nothing of y_t that was not known before. So the same is counted of the posterior mean minus
    the prior's; under the prior N(0, I) both are the same.

    Args:
        data, seed, batch_size, verbose: as for `kl`.
        threshold: float >= 0. Defaults to `0.01`.

    Returns:
        `ActiveUnits(count, variance, count_beyond_prior, variance_beyond_prior)`: ints, and NumPy arrays (latent_dim,).

    Raises:
        ValueError: names what is wrong with an argument, or the model has no latents.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = STORN(units=8, latent_dim=4, output="bernoulli", seed=0)
    >>> diagnostics.active_units(model, np.zeros((2, 1, 3))).count  # the same data twice
    0
    """
    check_non_negative("threshold", threshold)
    check_latents(model)
    return statistics.active_units_of(
        sums_of(model, data, statistics.moment_sums, seed, batch_size, verbose), threshold
    )


def mutual_information(model, data, seed=None, batch_size=128, verbose="auto"):
    """Estimates the mutual information of data and z_t at each step.

    E[KL(q(z_t | y) || p(z_t))] - KL(q(z_t) || p(z_t)) = E[log q(z_t | y) - log q(z_t)] (Hoffman and Johnson 2016), with
    z_t one draw a sequence, and q(z_t) the mean of the posteriors of the minibatch at the step, its own among them (as
    Dieng et al. 2019).

    The estimate is at most the log of how many sequences of the minibatch have the step (`bound`), and biased low, the
    more so the closer it comes to that: take a larger `batch_size`, which costs its square. Chance may take it below 0.
    Where the posterior reads earlier latents, it is what z_t tells of the data and of those together. Under a learned
    prior it counts what the prior knew too, and may exceed the KL. The steps do not add up to the information of all z.

    Args:
        data, seed, batch_size, verbose: as for `kl`. `batch_size` is the minibatch; a batch of a stream is not joined
            with the next.

    Returns:
        `MutualInformation(by_step, bound)`, NumPy arrays (time,), in nats, means over the sequences that have the step.

    Raises:
        ValueError: names what is wrong with an argument, or the model has no latents.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = SRNN(units=8, latent_dim=4, output="bernoulli", seed=0)
    >>> diagnostics.mutual_information(model, np.zeros((2, 5, 3)), seed=0).bound.round(3)
    array([0.693, 0.693, 0.693, 0.693, 0.693])
    """
    check_latents(model)
    return statistics.information_of(sums_of(model, data, statistics.information_sums, seed, batch_size, verbose))


def overlap(model, data, seed=None, batch_size=128, verbose="auto"):
    """Bhattacharyya coefficient of posterior and prior by dimension, the integral of sqrt(q p), in closed form.

    Args:
        data, seed, batch_size, verbose: as for `kl`.

    Returns:
        NumPy array (latent_dim,) in [0, 1], the mean over all (sequence, step): 1 where posterior and prior are the
        same, 0 where they share nothing.

    Raises:
        ValueError: names what is wrong with an argument, or the model has no latents.

    Example:

    >>> from zf_keras import diagnostics
    >>> diagnostics.overlap(SRNN(units=8, latent_dim=4, output="bernoulli"), np.zeros((2, 5, 3))).shape
    (4,)
    """
    check_latents(model)
    return statistics.overlap_of(sums_of(model, data, statistics.overlap_sums, seed, batch_size, verbose))


def aggregate_posterior(model, data, seed=None, batch_size=128, verbose="auto"):
    """Mean and covariance of z_t over all (sequence, step), and those of the prior at the same steps.

    By the law of total variance: of q the covariance of its means plus the mean of its variances; and so of p.

    Args:
        data, seed, batch_size, verbose: as for `kl`.

    Returns:
        `AggregatePosterior(mean, covariance, prior_mean, prior_covariance, kl)`, NumPy arrays (latent_dim,) and
        (latent_dim, latent_dim). kl: (latent_dim,) nats, how far the two are apart: between the Gaussians of these
        means and variances, by dimension.

    Raises:
        ValueError: names what is wrong with an argument, or the model has no latents.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = STORN(units=8, latent_dim=2, output="bernoulli")  # its prior is N(0, I)
    >>> diagnostics.aggregate_posterior(model, np.zeros((2, 5, 3))).prior_covariance
    array([[1., 0.],
           [0., 1.]])
    """
    check_latents(model)
    return statistics.aggregate_of(sums_of(model, data, statistics.moment_sums, seed, batch_size, verbose))


def log_prob_at_prior_mean(model, data, batch_size=128, verbose="auto"):
    """log p(y | z) with every z_t at its prior's mean, given the states so reached, instead of a draw.

    A model that does not use its latents scores as well as by its ELBO (compared so in Shabanian et al. 2017, fig. 3).
    Nothing is drawn: of a `VariationalBiLSTM`, b~_t too is at the mean of p(b_t | z_t).

    Args:
        data, batch_size, verbose: as for `kl`.

    Returns:
        NumPy array (batch,), nats.

    Raises:
        ValueError: names what is wrong with an argument, or the model has no latents.

    Example:

    >>> from zf_keras import diagnostics
    >>> model = SRNN(units=8, latent_dim=4, output="bernoulli")
    >>> diagnostics.log_prob_at_prior_mean(model, np.zeros((2, 5, 3))).shape
    (2,)
    """
    check_latents(model)
    scored = batches(model, data, 0, batch_size, verbose)  # the noise is not used
    return np.concatenate(
        [ops.convert_to_numpy(at_prior_mean(model, batch))[:count] for batch, _, (count, _) in scored]
    )


@compiled
def at_prior_mean(model, data):
    """log p(y | z) of each sequence, (batch,) nats, with every z_t at its prior's mean."""
    sequences = model.sequences(data)
    x = ops.swapaxes(model.read(sequences)[0], 0, 1)
    rows, weights = ops.shape(x)[1], model.step_weights()
    noise = ops.zeros((rows, model.noise_dim), dtype=model.compute_dtype)

    def step(state, x):
        steps, state = model.step(weights, state, x, noise)
        return state, steps.output

    _, output = scan(step, model.initial_state(rows), x)
    scores = model.score(ops.swapaxes(output, 0, 1), sequences.targets, sequences.scale, sequences.observed)
    return sum_steps(scores, sequences.mask)
