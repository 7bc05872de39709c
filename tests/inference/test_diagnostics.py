"""Diagnostics against closed forms, quadrature, plain loops, and models whose weights are set by hand."""

import json
import math

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.table import EVERY_OUTPUT, LATENT, MODELS_HERE, NO_CHANCE, NUM_CLASSES, make, sequences
from tests.support import named_gradients, normal, padded_batch, set_random_weights, total_loss
from tests.test_docstrings import names_of_docs
from zf_keras import STORN, ZForcing, diagnostics
from zf_keras.inference.diagnostics import statistics
from zf_keras.models.latent import LatentModel, LatentSteps
from zf_keras.probability import Gaussian, reparametrized, standard_normal
from zf_keras.seeds import SeedGenerator

NAMES = [name for name in LATENT if name in MODELS_HERE]


class Known(LatentModel):
    """q(z_t) = N(scale y_t, exp(log_variance)), p(z_t) = N(0, I) and y_t ~ f_o(z_t)."""

    scale, log_variance = 1.0, 0.0
    head_input_dim = property(lambda self: self.latent_dim)

    def build_networks(self, input_dim, target_dim):
        pass

    def context(self, x, y, mask, training):
        return y

    def infer(self, x, context, sequences, noise, training):
        q = Gaussian(self.scale * context, ops.full_like(context, self.log_variance))
        z = reparametrized(*q, noise)
        return self.latent_steps(sequences, self.head(z), standard_normal(z), q, z), ()

    def initial_state(self, batch_size):
        return ()

    def step(self, weights, state, x, noise, context=None, latent=None):
        return LatentSteps(self.head(noise), standard_normal(noise), None, noise, {}), state


def known(scale, variance, latent_dim=1):
    """A `Known` of as many features as latents."""
    model = Known(4, latent_dim, "gaussian", seed=0)
    model.scale, model.log_variance = scale, math.log(variance)
    model.build((None, None, latent_dim))
    return set_random_weights(model)


def noise_of(model, data, seed=0):
    """What a single pass draws."""
    shape = data["mask"].shape if isinstance(data, dict) else data.shape[:2]
    return model.draw_noise(*shape, SeedGenerator.of(seed))


def posterior_network(model):
    return model.posterior if hasattr(model, "posterior") else model.cell.posterior


def assign(weight, where, value):
    array = np.array(ops.convert_to_numpy(weight))
    array[where] = value
    weight.assign(array)


# Closed forms.


def test_closed_forms_are_the_integrals():
    z = np.linspace(-40, 40, 200_001)
    q, p = Gaussian(np.array([0.3, -1.0]), np.array([0.5, -2.0])), Gaussian(np.array([-0.7, 1.5]), np.array([1.0, 0.2]))

    def log_density(gaussian):
        mean, log_variance = (x[:, None] for x in gaussian)
        return -0.5 * (log_variance + (z - mean) ** 2 / np.exp(log_variance) + math.log(2 * math.pi))

    log_q, log_p = log_density(q), log_density(p)
    kl = np.trapezoid(np.exp(log_q) * (log_q - log_p), z)
    np.testing.assert_allclose(statistics.gaussian_kl(q, p), kl, rtol=1e-8)
    shared = np.trapezoid(np.exp((log_q + log_p) / 2), z)
    np.testing.assert_allclose(statistics.bhattacharyya(q, p), shared, rtol=1e-8)
    np.testing.assert_allclose(statistics.bhattacharyya(q, q), 1, rtol=1e-12)
    narrow = Gaussian(np.zeros(1), np.full(1, -700.0))
    assert 0 < statistics.bhattacharyya(narrow, Gaussian(np.zeros(1), np.full(1, 8.0)))[0] < 1e-70


def test_densities_of_every_point_under_every_gaussian():
    z, q = normal(3, 2).astype("float64"), Gaussian(*normal(2, 4, 2, seed=1).astype("float64"))
    expected = [[Gaussian(*(x[m] for x in q)).log_prob(point) for m in range(4)] for point in z]
    np.testing.assert_allclose(statistics.log_densities(z, q), np.array(expected), rtol=1e-5)


def test_sums_of_batches_of_different_lengths():
    total = {}
    for length in (2, 4, 1):
        statistics.add(total, {"by_step": np.ones((length, 2)), "count": 1})
    np.testing.assert_array_equal(total["by_step"][:, 0], [3, 2, 1, 1])
    assert total["count"] == 3


# On every model.


@pytest.mark.parametrize("name", NAMES)
def test_every_model(name):
    model, data = make(name), padded_batch()
    summary = diagnostics.summary(model, data, seed=0)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary == diagnostics.summary(model, data, seed=0)
    terms = {k: ops.convert_to_numpy(v) for k, v in model.loss_terms(data, noise=noise_of(model, data)).items()}
    steps = data["mask"].sum(axis=0)
    assert (summary["sequences"], summary["steps"]) == (3, steps.sum())

    kl = summary["kl"]
    np.testing.assert_allclose(np.sum(kl["by_dimension"]), terms["kl"].mean(), rtol=1e-5)
    np.testing.assert_allclose(np.dot(kl["by_step"], steps), terms["kl"].sum(), rtol=1e-5)
    np.testing.assert_allclose(summary["elbo"], -np.mean(terms["nll"] + terms["kl"]), rtol=1e-5)

    shares, weights = summary["loss_shares"], model.current_weights()
    assert list(shares) == list(weights)
    loss = sum(float(weights[n]) * terms[n].mean() for n in weights)
    np.testing.assert_allclose(sum(term["weighted"] for term in shares.values()), loss, rtol=1e-4)
    np.testing.assert_allclose(sum(term["share"] for term in shares.values()), 1)
    for term, share in shares.items():
        np.testing.assert_allclose(share["mean"], terms[term].mean(), rtol=1e-4, atol=1e-6)

    scores = diagnostics.log_prob_at_prior_mean(model, data)
    np.testing.assert_allclose(scores, loop_at_prior_mean(model, data), rtol=1e-4)
    np.testing.assert_allclose(summary["log_prob_at_prior_mean"], scores.mean(), rtol=1e-5)
    for key in ("kl", "active_units", "mutual_information", "overlap", "aggregate_posterior"):
        value = getattr(diagnostics, key)(model, data, seed=0)
        value = value._asdict() if hasattr(value, "_asdict") else {"": value}
        whole = summary[key] if isinstance(summary[key], dict) else {"": summary[key]}
        assert list(value) == list(whole)
        for field, x in value.items():
            np.testing.assert_array_equal(x, whole[field])


def loop_at_prior_mean(model, data):
    """Each sequence alone, step by step, z_t the mean of the prior of a step taken before."""
    scores = []
    for y, mask in zip(data["targets"], data["mask"], strict=True):
        state, x, score = model.initial_state(1), np.zeros((1, y.shape[-1]), "float32"), 0.0
        weights, noise = model.step_weights(), ops.zeros((1, model.noise_dim))
        for frame in y[mask]:
            mean = model.step(weights, state, model.embed(x), noise)[0].prior.mean
            steps, state = model.step(weights, state, model.embed(x), noise, latent=mean)
            x = frame[None]
            score += float(model.head.log_prob(steps.output, x)[0])
        scores.append(score)
    return scores


@pytest.mark.parametrize("name", [name for name in EVERY_OUTPUT if name in LATENT])
def test_live_dimensions(name):
    options = {"residual_posterior": False} if name == "srnn" else {}
    model, data = make(name, latent_dim=5, **options), 3 * sequences(count=6)
    linear = posterior_network(model).linear
    for dead in ([], [1, 3], [0, 1, 2, 3, 4]):
        set_random_weights(model, scale=1.0)
        assign(linear.kernel, (slice(None), dead), 0.0)
        units = diagnostics.active_units(model, data, seed=0)
        assert units.count == 5 - len(dead), units
        assert np.all(units.variance[dead] < 1e-12)


@pytest.mark.parametrize("name", ["z_forcing", "srnn"])
def test_gradient_norms(name):
    """Those of the loss, by hand; and nothing of the model changes."""
    model, data = make(name, **NO_CHANCE.get(name, {})), padded_batch()
    before = [np.array(ops.convert_to_numpy(v)) for v in model.variables]
    norms = diagnostics.gradient_norms(model, data, seed=0)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, ops.convert_to_numpy(variable))
    noise, squares = noise_of(model, data), {}
    for path, gradient in named_gradients(lambda: total_loss(model, data, noise), model).items():
        part = "posterior" if "posterior" in path else path.split("/")[0]
        squares[part] = squares.get(part, 0) + np.sum(np.square(gradient.astype("float64")))
    assert set(norms) == set(squares) and {"posterior", "prior", "head", "backward_encoder"} <= set(norms)
    for part, square in squares.items():
        np.testing.assert_allclose(norms[part], math.sqrt(square), rtol=1e-4)


def test_gradient_norms_with_all_the_chance_of_training():
    model = make("vrnn", "categorical", embedding_dim=4, dropout=0.5, word_dropout=0.3, num_samples=2, bag_of_words=0.1)
    data = sequences("categorical")
    norms = diagnostics.gradient_norms(model, data, seed=0)
    assert set(norms) >= {"embedding", "bag_of_words", "cell"} and all(norm > 0 for norm in norms.values())
    model.seed_generator.next()  # what was drawn before is no matter
    assert norms == diagnostics.gradient_norms(model, data, seed=0)
    assert norms != diagnostics.gradient_norms(model, data, seed=1)
    assert diagnostics.gradient_norms(model, data) != diagnostics.gradient_norms(model, data)


# Models that are known.


def test_mutual_information_is_that_of_quadrature():
    values, scale, variance = np.array([-1.0, 0.2, 1.5]), 1.3, 0.6
    z = np.linspace(-15, 15, 20_001)
    densities = np.exp(-0.5 * (z - scale * values[:, None]) ** 2 / variance) / math.sqrt(2 * math.pi * variance)
    mixture = densities.mean(axis=0)
    exact = np.trapezoid(densities * np.log(densities / mixture), z).mean()
    assert 0.3 < exact < 0.8
    model, data = known(scale, variance), np.repeat(values, 500)[:, None, None].astype("float32")
    estimate = diagnostics.mutual_information(model, data, seed=0, batch_size=1500)
    # A single term's standard deviation is below 0.7.
    np.testing.assert_allclose(estimate.by_step, exact, atol=4 * 0.7 / math.sqrt(1500))
    np.testing.assert_allclose(estimate.bound, math.log(1500))
    # Means of the two terms, against N(0, 1): E[KL(q(z|y) || p)] - KL(q(z) || p).
    to_prior = np.trapezoid(mixture * np.log(mixture * math.sqrt(2 * math.pi) / np.exp(-0.5 * z**2)), z)
    np.testing.assert_allclose(diagnostics.kl(model, data).by_step - to_prior, exact, rtol=1e-4)


def test_mutual_information_at_its_ends():
    data = np.arange(10, dtype="float32").reshape(10, 1, 1) + np.zeros((10, 3, 2), "float32")
    mask = np.arange(3) < np.array([3] * 4 + [2] * 5 + [1])[:, None]
    data = {"targets": np.where(mask[..., None], data, np.nan), "mask": mask}
    none = diagnostics.mutual_information(known(0.0, 0.5, 2), data)
    np.testing.assert_allclose(none.by_step, 0, atol=1e-12)
    np.testing.assert_allclose(none.bound, np.log([10, 9, 4]))
    everything = diagnostics.mutual_information(known(5.0, 0.01, 2), data)
    np.testing.assert_allclose(everything.by_step, np.log([10, 9, 4]), rtol=1e-10)
    # Of four, four and two sequences, of which (4, 4, 2), (4, 4, 1) and (4, 0, 0) have the steps.
    by_four = diagnostics.mutual_information(known(5.0, 0.01, 2), data, batch_size=4)
    expected = [(8 * math.log(4) + 2 * math.log(2)) / 10, 8 * math.log(4) / 9, math.log(4)]
    np.testing.assert_allclose(by_four.by_step, expected, rtol=1e-10)
    np.testing.assert_allclose(by_four.bound, expected, rtol=1e-10)


def test_moments_of_a_known_posterior():
    data = padded_batch(lengths=(5, 2, 4, 1))
    model, valid = known(0.8, 0.3, 3), data["targets"][data["mask"]].astype("float64")
    aggregate = diagnostics.aggregate_posterior(model, data, batch_size=3)
    np.testing.assert_allclose(aggregate.mean, 0.8 * valid.mean(axis=0), rtol=1e-5)
    covariance = 0.8**2 * np.cov(valid.T, bias=True) + 0.3 * np.eye(3)
    np.testing.assert_allclose(aggregate.covariance, covariance, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(aggregate.prior_mean, np.zeros(3))
    np.testing.assert_array_equal(aggregate.prior_covariance, np.eye(3))
    mean, variance = aggregate.mean, np.diag(covariance)
    np.testing.assert_allclose(aggregate.kl, 0.5 * (variance + mean**2 - 1 - np.log(variance)), rtol=1e-4)
    units = diagnostics.active_units(model, data, threshold=10.0)
    np.testing.assert_allclose(units.variance, 0.64 * valid.var(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(units.variance, units.variance_beyond_prior)  # the prior is N(0, I)
    assert units.count == units.count_beyond_prior == 0
    overlap = [math.sqrt(2 * math.sqrt(0.3) / 1.3) * np.exp(-0.25 * 0.64 * y**2 / 1.3) for y in valid]
    np.testing.assert_allclose(diagnostics.overlap(model, data), np.mean(overlap, axis=0), rtol=1e-5)


def test_moments_are_those_of_samples():
    """Of a posterior that reads its own draws: the law of total variance, against the draws."""
    model, data = make("srnn"), np.repeat(sequences(count=3), 400, axis=0)
    aggregate = diagnostics.aggregate_posterior(model, data, seed=0)
    samples = model.encode(data, seed=1, verbose=0).sample.reshape(-1, 2)
    error = samples.std(axis=0).max() / math.sqrt(len(samples) / 5)
    np.testing.assert_allclose(aggregate.mean, samples.mean(axis=0), atol=5 * error)
    np.testing.assert_allclose(aggregate.covariance, np.cov(samples.T), atol=10 * error)


def follows_its_prior():
    """An SRNN whose posterior is its prior, next to a point: all that is drawn is the prior's mean."""
    model = make("srnn", clip=None)
    for network in (model.prior_network, model.posterior):
        assign(network.linear.kernel, (slice(None), slice(2, 4)), 0.0)
        assign(network.linear.bias, slice(2, 4), -30.0)
    model.prior_network.linear.kernel.assign(10 * model.prior_network.linear.kernel)  # so that it moves
    assign(model.posterior.linear.kernel, slice(None), 0.0)
    assign(model.posterior.linear.bias, slice(0, 2), 0.0)
    return model


def test_a_posterior_that_follows_its_prior():
    model, data = follows_its_prior(), padded_batch()
    summary = diagnostics.summary(model, data, seed=0)
    np.testing.assert_allclose(summary["kl"]["by_dimension"], 0, atol=1e-4)
    np.testing.assert_allclose(summary["overlap"], 1, rtol=1e-5)
    units = summary["active_units"]
    assert units["count"] == 2 and units["count_beyond_prior"] == 0  # it moves, as its prior does
    assert summary["warnings"]["collapsed"]
    scores = diagnostics.log_prob_at_prior_mean(model, data)
    np.testing.assert_allclose(scores, model.log_likelihood(data, seed=0), rtol=1e-4)


def test_prior_mean_of_a_known_model():
    model, data = known(1.0, 0.5, 2), normal(3, 4, 2)
    params = model.head(np.zeros((3, 4, 2), "float32"))  # z_t = 0 at every step
    expected = ops.convert_to_numpy(model.head.log_prob(params, data)).sum(axis=1)
    np.testing.assert_allclose(diagnostics.log_prob_at_prior_mean(model, data, batch_size=2), expected, rtol=1e-5)


# Data, warnings and errors.


def test_padding_streams_and_batches_are_no_matter():
    """Of a posterior that reads no draws, so that these change nothing."""
    model, data = make("storn"), padded_batch(lengths=(2, 5, 1, 4))
    alone = [y[mask][None] for y, mask in zip(data["targets"], data["mask"], strict=True)]
    for function in (diagnostics.kl, diagnostics.overlap, diagnostics.aggregate_posterior, diagnostics.active_units):
        whole = function(model, data)
        for other in (function(model, iter(alone), verbose=0), function(model, data, batch_size=3, verbose=0)):
            for a, b in zip(whole, other, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    longer = {
        "targets": np.pad(data["targets"], ((0, 0), (0, 2), (0, 0))),
        "mask": np.pad(data["mask"], ((0, 0), (0, 2))),
    }
    assert diagnostics.kl(model, longer).by_step.shape == (5,)
    scores = diagnostics.log_prob_at_prior_mean(model, data)
    np.testing.assert_allclose(diagnostics.log_prob_at_prior_mean(model, iter(alone)), scores, rtol=1e-5)
    summary = diagnostics.summary(model, iter(alone), verbose=0)
    assert (summary["sequences"], summary["steps"]) == (4, 12)


def test_warnings():
    data = sequences(count=4)
    for alpha, names in ((0.001, []), (1000.0, ["aux_nll"])):
        model = make("z_forcing", alpha=alpha, free_nats=0.5)
        warnings = diagnostics.summary(model, data, seed=0)["warnings"]
        assert warnings == {"collapsed": False, "outweighing": names}
    shares = diagnostics.loss_shares(model, data, seed=0)
    assert (shares["kl"].weight, shares["kl_cost"].weight, shares["aux_nll"].weight) == (0, 1, 1000)
    assert shares["aux_nll"].share > 0.9 and shares["kl"].share == 0
    assert not diagnostics.summary(model, data, factor=1e6, seed=0)["warnings"]["outweighing"]
    assert diagnostics.summary(model, data, collapsed_below=1e6, seed=0)["warnings"]["collapsed"]
    assert diagnostics.summary(model, data, threshold=1e6, seed=0)["warnings"]["collapsed"]


def test_the_weight_is_that_of_the_next_update():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    model = make("storn", kl_weight=schedule)
    model.updates.assign(5)
    assert diagnostics.loss_shares(model, sequences())["kl"].weight == 0.5


def test_without_latents():
    model, data = make("rnn"), sequences()
    shares = diagnostics.loss_shares(model, data)
    nll = ops.convert_to_numpy(model.loss_terms(data)["nll"])
    np.testing.assert_allclose(shares["nll"], [nll.mean(), 1, nll.mean(), 1], rtol=1e-5)
    assert set(diagnostics.gradient_norms(model, data)) == {"head", "lstm"}
    others = ("kl", "active_units", "mutual_information", "overlap", "aggregate_posterior", "log_prob_at_prior_mean")
    for name in (*others, "summary"):
        with pytest.raises(ValueError, match="RNN has no latents"):
            getattr(diagnostics, name)(model, data)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x: diagnostics.kl(model, iter([])), "stream without batches"),
        (lambda model, x: diagnostics.overlap(model, [x]), "must be an array or a dict"),
        (lambda model, x: diagnostics.summary(model, x, batch_size=0), "batch_size=0"),
        (lambda model, x: diagnostics.summary(model, x, factor=-1), "factor=-1"),
        (lambda model, x: diagnostics.summary(model, x, collapsed_below="1"), "collapsed_below='1'"),
        (lambda model, x: diagnostics.active_units(model, x, threshold=True), "threshold=True"),
        (lambda model, x: diagnostics.gradient_norms(model, x, seed=-1), "seed=-1"),
        (lambda model, x: diagnostics.loss_shares(model, x[..., :2]), "3 features"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(make("storn"), sequences(count=2))


def test_a_model_that_was_not_built():
    model = ZForcing(4, 2, "categorical", num_classes=NUM_CLASSES, seed=0)
    assert diagnostics.summary(model, sequences("categorical"))["sequences"] == 6
    assert diagnostics.gradient_norms(STORN(4, 2, "gaussian"), sequences())["recognition"] > 0


def test_docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = names_of_docs("diagnostics.md")["summary"]
    assert summary["sequences"] == 250 and not summary["warnings"]["collapsed"]
