"""The particle filter: unbiased, exact by a Kalman filter and quadrature, and its options."""

import numpy as np
import pytest
from keras import ops

from tests.models.table import EVERY_OUTPUT, LATENT_HERE, make, sequences
from tests.models.test_bounds import exact_log_likelihood
from tests.models.test_generation import linear_gaussian
from zf_keras import SRNN
from zf_keras.inference.particle_loop import ancestors, effective_sample_size
from zf_keras.seeds import GivenSeed, SeedGenerator, seeds_of_steps

RHO, A, M, S, KAPPA, SIGMA = 0.5, 1.2, 0.3, 0.7, 0.8, 0.6


@pytest.fixture(scope="module")
def state_space():
    """z_t ~ N(m + kappa z_{t-1}, s^2), y_t ~ N(rho y_{t-1} + a z_t, sigma^2), and a posterior that is the prior."""
    model = linear_gaussian(SRNN, RHO, A, M, S, SIGMA, KAPPA)
    model.posterior.linear.bias.assign([0.0, 2 * np.log(S)])  # its mean is added to the prior's
    return model


def simulated(count, time, seed):
    """Sequences (count, time, 1) of that model, by NumPy."""
    rng = np.random.default_rng(seed)
    z, y, frames = np.zeros(count), np.zeros(count), []
    for _ in range(time):
        z = M + KAPPA * z + S * rng.normal(size=count)
        y = RHO * y + A * z + SIGMA * rng.normal(size=count)
        frames.append(y)
    return np.stack(frames, axis=1)[..., None].astype("float32")


def kalman(y):
    """log p(y_t | y_<t) of a sequence (time,)."""
    mean, variance, before, scores = 0.0, 0.0, 0.0, []
    for frame in y.astype("float64"):
        mean, variance = M + KAPPA * mean, KAPPA**2 * variance + S**2
        residual, scale = frame - RHO * before - A * mean, A**2 * variance + SIGMA**2
        scores.append(-0.5 * (np.log(2 * np.pi * scale) + residual**2 / scale))
        gain = A * variance / scale
        mean, variance, before = mean + gain * residual, variance * (1 - gain * A), frame
    return np.array(scores)


@pytest.mark.parametrize("resampling", ["systematic", "multinomial"])
@pytest.mark.parametrize("proposal", ["posterior", "prior"])
def test_the_estimate_of_the_likelihood_is_unbiased(state_space, proposal, resampling):
    y = simulated(1, 8, seed=3)
    exact, runs = kalman(y[0, :, 0]), 4000
    scores = state_space.step_scores(
        np.repeat(y, runs, axis=0), 8, seed=1, proposal=proposal, resampling=resampling, batch_size=32_000, verbose=0
    )
    ratio = np.exp(scores.astype("float64").sum(axis=1) - exact.sum())
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / runs**0.5 < 0.2
    assert np.log(ratio).mean() < 0


def test_scores_come_near_those_of_a_kalman_filter(state_space):
    y = simulated(2, 20, seed=4)
    scores = state_space.step_scores(y, 4000, seed=0, verbose=0)
    np.testing.assert_allclose(scores, [kalman(row) for row in y[..., 0]], atol=0.15)


def test_fivo_is_nearer_the_truth_than_iwae(state_space):
    y = simulated(2, 200, seed=5)
    exact = np.array([kalman(row).sum() for row in y[..., 0]])
    fivo, iwae = (
        exact - state_space.log_likelihood(y, 128, seed=0, bound=bound, batch_size=256, verbose=0)
        for bound in ("fivo", "iwae")
    )
    assert (np.abs(fivo) < 6).all() and (iwae > 30).all(), (fivo, iwae)


@pytest.mark.parametrize("name", LATENT_HERE)
def test_quadrature(name):
    """The exact likelihood of two steps, by a grid over the noise."""
    kwargs = {"units": 1, "hidden_units": 4} if "bilstm" in name else {}
    model, y = make(name, latent_dim=1, **kwargs), sequences(count=1, time=2)
    exact = exact_log_likelihood(model, y[0])
    rows = np.repeat(y, 20, axis=0)
    bounds = model.log_likelihood(rows, 2000, seed=1, bound="fivo", batch_size=40_000, verbose=0)
    ratio = np.exp(bounds - exact)
    np.testing.assert_allclose(ratio.mean(), 1.0, atol=5 * ratio.std() / 20**0.5 + 0.02)
    assert ratio.std() < 0.5


@pytest.mark.parametrize("name", EVERY_OUTPUT)
def test_one_particle_is_a_draw_and_none_drawn_anew_is_iwae(name):
    """In distribution: another seed makes other draws."""
    model, y = make(name), np.repeat(sequences(count=1), 4000, axis=0)
    for particles, count in ((1, 4000), (4, 1000)):
        scores = model.step_scores(y[:count], particles, seed=1, resample_below=0.0, batch_size=4000, verbose=0)
        bounds = model.log_likelihood(y[:count], particles, seed=2, batch_size=4000, verbose=0)
        error = np.hypot(scores.sum(axis=1).std(), bounds.std()) / count**0.5
        np.testing.assert_allclose(scores.sum(axis=1).mean(), bounds.mean(), atol=5 * error + 1e-5)


def test_scores_add_up_to_fivo_and_a_seed_gives_them_again():
    model, y = make("z_forcing"), sequences(count=5)
    data = {"targets": y, "mask": np.arange(5) < np.array([5, 2, 4, 1, 3])[:, None]}
    scores = model.step_scores(data, 16, seed=3, batch_size=32, verbose=0)
    assert not scores[~data["mask"]].any() and scores[data["mask"]].all()
    bounds = model.log_likelihood(data, 16, seed=3, bound="fivo", batch_size=32, verbose=0)
    np.testing.assert_allclose(scores.sum(axis=1), bounds, rtol=1e-6)
    np.testing.assert_array_equal(scores, model.step_scores(data, 16, seed=3, batch_size=32, verbose=0))
    assert (scores != model.step_scores(data, 16, seed=4, batch_size=32, verbose=0))[data["mask"]].all()
    # Padding changes nothing but the draws of other rows.
    alone = model.step_scores(y[1:2, :2], 4000, seed=3, verbose=0)
    np.testing.assert_allclose(alone[0], model.step_scores(data, 4000, seed=3, verbose=0)[1, :2], atol=0.3)


def test_the_rnn_is_exact():
    for name, output in (("rnn", "gaussian"), ("rnn_options", "gaussian"), ("rnn", "categorical")):
        model, y = make(name, output), sequences(output, 3)
        nll = -ops.convert_to_numpy(model(y).terms["nll"])
        np.testing.assert_allclose(model.step_scores(y, verbose=0), nll, rtol=1e-5)
        np.testing.assert_allclose(model.log_likelihood(y, bound="fivo"), nll.sum(axis=1), rtol=1e-5)


def test_elbo_has_the_kl_in_closed_form():
    model, y = make("vrnn"), sequences(count=2)
    bounds = model.log_likelihood(y, 3, seed=SeedGenerator(5), bound="elbo", verbose=0)
    noise = model.draw_noise(6, 5, SeedGenerator(5))
    terms = model.loss_terms(np.repeat(y, 3, axis=0), noise)
    expected = -ops.convert_to_numpy(terms["nll"] + terms["kl"]).reshape(2, 3).mean(axis=1)
    np.testing.assert_allclose(bounds, expected, rtol=1e-5)


@pytest.mark.parametrize("name", EVERY_OUTPUT[1:])
def test_a_context_that_is_computed_once_is_that_of_every_sample(name):
    model, y = make(name), sequences(count=3)
    bounds = model.log_likelihood(y, 7, seed=SeedGenerator(5), batch_size=5, verbose=0)
    generator = SeedGenerator(5)
    rows, draws = np.repeat(np.arange(3), 7), []
    for start in range(0, 21, 5):
        batch = np.resize(rows[start : start + 5], 5)
        steps = model(y[batch], noise=model.draw_noise(5, 5, generator), training=False)
        draws.append(ops.convert_to_numpy(steps.log_weight()).sum(axis=1))
    draws = np.concatenate(draws)[:21].reshape(3, 7).astype("float64")
    np.testing.assert_allclose(bounds, np.log(np.exp(draws).mean(axis=1)), rtol=1e-5)


@pytest.mark.parametrize("output", ["gaussian", "gaussian_mixture", "bernoulli"])
def test_features(output):
    """A frame of one feature, and frames whose features are apart, are scored as their features are."""
    rnn, y = make("rnn", output), sequences(output, 3)
    scores = rnn.step_scores(y, by_feature=True, verbose=0)
    assert scores.shape == y.shape
    if output != "gaussian_mixture":
        np.testing.assert_allclose(scores.sum(axis=2), rnn.step_scores(y, verbose=0), rtol=1e-5)
    model = make("z_forcing", output)
    probabilities = np.exp(model.step_scores(y, 2000, seed=0, by_feature=True, verbose=0))
    if output == "bernoulli":  # of both values, one is true
        others = y.copy()
        others[:, -1] = 1 - others[:, -1]
        both = probabilities + np.exp(model.step_scores(others, 2000, seed=0, by_feature=True, verbose=0))
        np.testing.assert_allclose(both[:, -1], 1.0, atol=0.1)


def test_one_feature_is_the_frame(state_space):
    y = simulated(2, 6, seed=1)
    frames, features = (
        state_space.step_scores(y, 64, seed=2, by_feature=by_feature, verbose=0) for by_feature in (False, True)
    )
    np.testing.assert_allclose(features[..., 0], frames, rtol=1e-5, atol=1e-5)


def test_missing_readings(state_space):
    """As by the Kalman filter that integrates them out: y_t and z_t are jointly Gaussian."""
    y = simulated(2, 5, seed=6)
    y[0, 2] = np.nan
    scores = state_space.step_scores(y, 20_000, seed=0, batch_size=40_000, verbose=0)
    assert np.isnan(scores[0, 2]) and np.isfinite(scores).sum() == 9
    expected = _log_density(y[0, [0, 1, 3, 4], 0].astype("float64"), [0, 1, 3, 4])
    np.testing.assert_allclose(np.nansum(scores[0]), expected, atol=0.1)
    np.testing.assert_allclose(scores[1], kalman(y[1, :, 0]), atol=0.1)


def _log_density(values, steps):
    """log p of y at some steps, by the mean and covariance of all five."""
    joint = np.zeros((10, 10))  # of (z, y) as a linear map of their noise
    mean = np.zeros(10)
    for t in range(5):
        z, y = 2 * t, 2 * t + 1
        joint[z, z], mean[z] = S, M
        if t:
            joint[z] += KAPPA * joint[z - 2]
            mean[z] += KAPPA * mean[z - 2]
        joint[y] = A * joint[z] + (RHO * joint[y - 2] if t else 0)
        joint[y, y] += SIGMA
        mean[y] = A * mean[z] + (RHO * mean[y - 2] if t else 0)
    rows = [2 * t + 1 for t in steps]
    covariance, residual = (joint @ joint.T)[np.ix_(rows, rows)], values - mean[rows]
    quadratic = residual @ np.linalg.solve(covariance, residual)
    return -0.5 * (quadratic + np.linalg.slogdet(covariance)[1] + len(rows) * np.log(2 * np.pi))


def test_missing_readings_of_one_feature():
    model, y = make("z_forcing"), sequences(count=2)
    y[0, 1, 2], y[1, 4] = np.nan, np.nan
    scores = model.step_scores(y, 16, seed=0, by_feature=True, verbose=0)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(y))
    frames = model.step_scores(y, 16, seed=0, verbose=0)
    np.testing.assert_array_equal(np.isnan(frames), np.isnan(y).any(axis=2))
    own = {"inputs": sequences(count=2, seed=1), "targets": y}  # what is read is there, whatever is missing
    np.testing.assert_array_equal(np.isnan(model.step_scores(own, 16, seed=0, verbose=0)), np.isnan(frames))


def test_missing_readings_beside_padding():
    """What stands in the padding is no reading, and fills no gap."""
    model, y = make("z_forcing", "bernoulli"), sequences("bernoulli", 2)
    data = {"targets": y, "mask": np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]])}
    y[:, :2, 1], y[0, 2:], y[1, 3:] = np.nan, np.nan, 0.5
    scores = model.step_scores(data, 8, seed=0, verbose=0)
    np.testing.assert_array_equal(np.isnan(scores), np.arange(5) < np.full((2, 1), 2))
    assert not scores[data["mask"] == 0].any() and scores[1, 2] < 0
    y[:, :3, 1] = np.nan
    with pytest.raises(ValueError, match="nan alone in feature 1"):
        model.step_scores(data, 8, seed=0, verbose=0)


def test_ancestors():
    weights = np.array([[0.1, 0.0, 0.6, 0.3], [1.0, 0.0, 0.0, 0.0]], "float32")
    counts = {"systematic": np.zeros((2, 4)), "multinomial": np.zeros((2, 4))}
    seeds = seeds_of_steps(200, SeedGenerator(0))
    for name, count in counts.items():
        for seed in seeds:
            chosen = ops.convert_to_numpy(ancestors(ops.convert_to_tensor(weights), name, GivenSeed(seed)))
            assert (np.diff(chosen) >= 0).all()
            drawn = np.stack([np.bincount(row, minlength=4) for row in chosen])
            if name == "systematic":
                assert (np.abs(drawn - 4 * weights) < 1).all()
            count += drawn
        np.testing.assert_allclose(count / 800, weights, atol=0.09)
        assert not count[weights == 0].any()
    np.testing.assert_allclose(effective_sample_size(np.log([[0.1, 0.6, 0.3]])), 1 / (0.01 + 0.36 + 0.09), rtol=1e-5)


def test_a_frame_that_no_particle_explains():
    """Bits that are certain: the wrong one has no probability in float32, and the next frames are scored again."""
    model = make("z_forcing", "bernoulli")
    model.head.network.linear.bias.assign([1e9, 0.0, 0.0])
    y = np.ones((1, 4, 3), "float32")
    y[0, 1, 0] = 0
    scores = model.step_scores(y, 8, seed=0, verbose=0)
    assert scores[0, 1] < -1e8 and np.isfinite(scores).all() and scores[0, 2] > -100


def test_errors():
    model, y = make("z_forcing"), sequences(count=2)
    gaps = np.where(np.arange(3) == 1, np.nan, y)
    for arguments, message in (
        ({"num_particles": 0}, "num_particles"),
        ({"proposal": "future"}, "'posterior', 'prior'"),
        ({"resample_below": 1.5}, "resample_below"),
        ({"resampling": "best"}, "'systematic', 'multinomial'"),
        ({"by_feature": 1}, "by_feature"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"data": gaps}, "nan alone in feature 1"),
        ({"data": {"inputs": gaps, "targets": y}}, "`inputs` holds nan"),
        ({"data": y[..., :2]}, "3 features"),
    ):
        with pytest.raises(ValueError, match=message):
            model.step_scores(**{"data": y, **arguments})
    with pytest.raises(ValueError, match="'iwae', 'elbo', 'fivo'"):
        model.log_likelihood(y, bound="best")
    with pytest.raises(ValueError, match="CategoricalHead"):
        make("rnn", "categorical").step_scores(sequences("categorical"), by_feature=True)
