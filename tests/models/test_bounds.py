"""Quadrature over a one-dimensional latent gives the exact likelihood: ELBO below it, IWAE rising to it."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import LATENT_HERE, MODELS, make, sequences
from zf_keras import VariationalBiLSTM


def grid(dim):
    """Nodes (n, dim) and weights (n,) for an expectation over `dim` standard-normal numbers."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80 if dim == 1 else 24)
    nodes = np.stack([axis.ravel() for axis in np.meshgrid(*[nodes] * dim)], axis=-1)
    weights = np.prod(np.stack([axis.ravel() for axis in np.meshgrid(*[weights] * dim)]), axis=0)
    return nodes.astype("float32"), weights / weights.sum()


def exact_log_likelihood(model, y):
    """log p(y_1, y_2): the generative step on a grid of noise, integrated over both steps."""
    noise, weights = grid(model.noise_dim)
    n, weights_of_step = len(noise), model.step_weights()

    def log_prob(params, t):
        return ops.convert_to_numpy(model.head.log_prob(params, np.repeat(y[None, t], len(params), 0)))

    x = ops.convert_to_tensor(np.zeros((n, y.shape[-1]), "float32"))
    steps, state = model.step(weights_of_step, model.initial_state(n), model.embed(x), ops.convert_to_tensor(noise))
    first = log_prob(steps.output, 0)
    state = keras.tree.map_structure(lambda s: ops.repeat(s, n, axis=0), state)
    x = ops.convert_to_tensor(np.repeat(y[None, 0], n * n, 0))
    steps, _ = model.step(weights_of_step, state, model.embed(x), ops.convert_to_tensor(np.tile(noise, (n, 1))))
    second = log_prob(steps.output, 1).reshape(n, n)
    return np.log(weights @ (np.exp(first.astype("float64")) * (np.exp(second.astype("float64")) @ weights)))


@pytest.mark.parametrize("name", LATENT_HERE)
def test_elbo_below_and_iwae_rising_to_the_exact_likelihood(name):
    cls = MODELS[name][0]
    model = make(name, latent_dim=1, **({"units": 1, "hidden_units": 4} if cls is VariationalBiLSTM else {}))
    y = sequences(count=1, time=2)
    exact = exact_log_likelihood(model, y[0])
    rows = np.repeat(y, 4000, axis=0)
    terms = model.loss_terms(rows)
    elbos = -ops.convert_to_numpy(terms["nll"] + terms["kl"]).astype("float64")
    error = elbos.std() / np.sqrt(len(elbos))
    assert elbos.mean() < exact - 5 * error

    bounds, errors = [], []
    for num_samples, count in ((1, 400), (8, 400), (64, 200), (2000, 10)):
        bound = model.log_likelihood(rows[:count], num_samples, seed=1, batch_size=2000, verbose=0)
        bounds.append(bound.astype("float64").mean())
        errors.append(bound.std() / np.sqrt(count))
    # One sample estimates the ELBO, without the closed form of the KL.
    np.testing.assert_allclose(bounds[0], elbos.mean(), atol=5 * (errors[0] + error))
    errors = np.array(errors)
    assert bounds[1] > bounds[0]
    assert np.all(np.diff(bounds) > -5 * (errors[1:] + errors[:-1])), bounds
    assert np.all(bounds[:3] < exact + 5 * errors[:3])
    np.testing.assert_allclose(bounds[-1], exact, atol=0.01 + 5 * errors[-1])


def test_chunks_change_nothing_but_memory():
    """The log-mean-exp over K of importance weights, taken apart, and sizes of a pass that divide nothing."""
    model, data = make("z_forcing"), sequences(count=3)
    bound = model.log_likelihood(data, num_samples=7, seed=3, batch_size=100, verbose=0)
    rows = np.repeat(data, 7, axis=0)
    single = model.log_likelihood(rows, num_samples=1, seed=3, batch_size=100, verbose=0).reshape(3, 7)
    np.testing.assert_allclose(bound, np.log(np.exp(single.astype("float64")).mean(1)), rtol=1e-5)
    for batch_size in (1, 4, 20):
        a, b = (model.log_likelihood(data, num_samples=7, seed=3, batch_size=batch_size, verbose=0) for _ in "ab")
        np.testing.assert_array_equal(a, b)
        assert a.shape == (3,) and np.isfinite(a).all()


@pytest.mark.parametrize("name", ["rnn", "rnn_options"])
def test_the_rnn_is_exact(name):
    model, data = make(name), sequences()
    nll = ops.convert_to_numpy(model.loss_terms(data)["nll"])
    np.testing.assert_allclose(model.log_likelihood(data, num_samples=25), -nll, rtol=1e-5)


def test_encode():
    model, data = make("z_forcing"), sequences()
    mask = np.arange(5) < np.array([5, 1, 3, 2, 5, 4])[:, None]
    mean, sample = model.encode({"targets": data, "mask": mask}, seed=0)
    assert mean.shape == sample.shape == (6, 5, 2)
    assert not mean[~mask].any() and not sample[~mask].any() and mean[mask].all()
    # The first step has no sample before it: its posterior mean is the same at every draw.
    many = model.encode(np.repeat(data[:1], 4000, axis=0), seed=1, verbose=0)
    posterior = model(data[:1]).posterior
    np.testing.assert_allclose(many.mean[:, 0], np.tile(posterior.mean[0, 0], (4000, 1)), rtol=1e-4, atol=1e-5)
    residual = (many.sample[:, 0] - many.mean[:, 0]) / np.exp(posterior.log_variance[0, 0] / 2)
    np.testing.assert_allclose([residual.mean(), residual.var()], [0, 1], atol=0.08)
