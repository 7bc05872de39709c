"""Each head against its density written out in NumPy, and its samples against moments."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.support import normal
from zf_keras import BernoulliHead, CategoricalHead, GaussianHead, GaussianMixtureHead

F, K = 3, 4


def log_normal(x, mean, log_variance):
    return -0.5 * (np.log(2 * np.pi) + log_variance + (x - mean) ** 2 / np.exp(log_variance))


def gaussian(p, y):
    return log_normal(y, p[..., :F], p[..., F:]).sum(-1)


def mixture(p, y):
    logits = p[..., :K] - np.log(np.exp(p[..., :K]).sum(-1, keepdims=True))
    means, log_variances = (x.reshape(*p.shape[:-1], K, F) for x in np.split(p[..., K:], 2, -1))
    return np.log(np.exp(logits + log_normal(y[..., None, :], means, log_variances).sum(-1)).sum(-1))


def bernoulli(p, y):
    return (y * p - np.log1p(np.exp(p))).sum(-1)


def categorical(p, y):
    return np.take_along_axis(p, y[..., None], -1)[..., 0] - np.log(np.exp(p).sum(-1))


HEADS = {
    "gaussian": (GaussianHead(F), 2 * F, gaussian, normal(5, 2, F)),
    "mixture": (GaussianMixtureHead(F, K), K + 2 * K * F, mixture, normal(5, 2, F)),
    "bernoulli": (BernoulliHead(F), F, bernoulli, (normal(5, 2, F) > 0).astype("float32")),
    "categorical": (CategoricalHead(6), 6, categorical, np.arange(10).reshape(5, 2) % 6),
}


@pytest.mark.parametrize("name", HEADS)
def test_log_prob(name):
    head, params_dim, density, values = HEADS[name]
    params = normal(5, 2, params_dim, seed=1)
    assert head.params_dim == params_dim
    expected = density(params.astype("float64"), values)
    np.testing.assert_allclose(head.log_prob(params, values), expected, rtol=1e-5)
    np.testing.assert_allclose(head.distribution(params).log_prob(head.as_values(values)), expected, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_float32_under_bfloat16(name):
    head, params_dim, density, values = HEADS[name]
    params = ops.cast(normal(5, 2, params_dim, seed=1), "bfloat16")
    log_prob = head.log_prob(params, values)
    assert keras.backend.standardize_dtype(log_prob.dtype) == "float32"
    exact = density(ops.convert_to_numpy(ops.cast(params, "float32")), values)
    np.testing.assert_allclose(log_prob, exact, rtol=1e-5)


def chosen(logits, u):
    """The first category whose cumulative probability is above u."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return (np.cumsum(p / p.sum(-1, keepdims=True), -1) > u).argmax(-1)


def mixture_frame(p, e, u, temperature):
    index = chosen(p[..., :K] / temperature, u)[..., None, None]
    means, log_variances = (x.reshape(*p.shape[:-1], K, F) for x in np.split(p[..., K:], 2, -1))
    mean, log_variance = (np.take_along_axis(x, index, -2)[..., 0, :] for x in (means, log_variances))
    return mean + temperature * np.exp(log_variance / 2) * e


FRAMES = {
    "gaussian": lambda p, e, u, temperature: p[..., :F] + temperature * np.exp(p[..., F:] / 2) * e,
    "mixture": mixture_frame,
    "bernoulli": lambda p, e, u, temperature: u < 1 / (1 + np.exp(-p / temperature)),
    "categorical": lambda p, e, u, temperature: chosen(p / temperature, u),
}


@pytest.mark.parametrize("name", HEADS)
def test_draws_from_given_noise(name):
    """The same frames on every backend: those of NumPy."""
    head, params_dim, *_ = HEADS[name]
    params, noise = 2 * normal(50, 4, params_dim), normal(50, 4, head.normal_dim, seed=1)
    uniform = np.random.default_rng(2).uniform(size=(50, 4, head.uniform_dim)).astype("float32")
    expected = FRAMES[name](params.astype("float64"), noise, uniform, 0.7)
    np.testing.assert_allclose(head.draw(params, noise, uniform, 0.7), expected, rtol=1e-5, atol=1e-5)


def test_no_token_of_probability_zero_is_drawn():
    logits = np.full((3, 5), -np.inf, "float32")
    logits[:, 2] = 0
    uniform = np.array([[0.0], [0.5], [1 - 2**-24]], "float32")
    np.testing.assert_array_equal(CategoricalHead(5).draw(logits, None, uniform), [2, 2, 2])


def test_one_component_equals_the_gaussian():
    params, values = normal(5, 2, 2 * F), normal(5, 2, F, seed=1)
    with_logit = np.concatenate([normal(5, 2, 1), params], -1)
    expected = GaussianHead(F).log_prob(params, values)
    np.testing.assert_allclose(GaussianMixtureHead(F, 1).log_prob(with_logit, values), expected, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_have_the_tempered_moments(temperature):
    """30,000 draws; the tolerance is five standard errors."""
    n = 30_000

    def draws(head, params):
        params = np.tile(np.array(params, "float32"), (n, 1))
        return ops.convert_to_numpy(head.sample(ops.convert_to_tensor(params), 0, temperature))

    def close(x, expected):
        np.testing.assert_allclose(x.mean(0), expected, atol=5 * x.std(0).max() / np.sqrt(n))

    y = draws(GaussianHead(2), [1.0, -2.0, np.log(4.0), np.log(0.25)])
    close(y, [1.0, -2.0])
    close((y - [1, -2]) ** 2, temperature**2 * np.array([4.0, 0.25]))

    sigmoid = 1 / (1 + np.exp(-np.array([0.5, -1.0]) / temperature))
    close(draws(BernoulliHead(2), [0.5, -1.0]), sigmoid)

    logits = np.array([0.0, 1.0, -0.5])
    p = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    close(draws(CategoricalHead(3), logits)[:, None] == np.arange(3), p)

    logits, means = np.array([0.0, 0.7]), np.array([-3.0, 2.0])
    weights = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
    y = draws(GaussianMixtureHead(1, 2), [*logits, *means, np.log(0.04), np.log(0.04)])[:, 0]
    close((y > 0).astype("float64"), weights[1])
    close(np.abs(y[y > 0] - 2), temperature * 0.2 * np.sqrt(2 / np.pi))


@pytest.mark.parametrize("head", [head for head, *_ in HEADS.values()], ids=HEADS)
def test_no_draw_is_more_probable_than_the_mode(head):
    params = 2 * normal(1, 50, head.params_dim)
    mode = head.mode(params)
    best = head.log_prob(params, mode)
    for seed in range(40):
        draw = head.sample(params, seed)
        assert draw.dtype == mode.dtype and draw.shape == mode.shape
        slack = 0.7 if isinstance(head, GaussianMixtureHead) else 1e-5  # the mean of a component is but near it
        assert np.all(ops.convert_to_numpy(head.log_prob(params, draw)) <= ops.convert_to_numpy(best) + slack)


def test_the_mode_of_a_mixture_is_its_highest_peak():
    head = GaussianMixtureHead(2, 3)
    logits, means, deviations = [1.0, 0.0, 0.9], [[0, 0], [9, 9], [-9, 9]], [[1, 1], [0.1, 0.1], [1, 1]]
    params = np.concatenate([logits, np.ravel(means), 2 * np.log(np.ravel(deviations))]).astype("float32")
    np.testing.assert_allclose(head.mode(params), [9, 9])  # of the least weight, and by far the narrowest


@pytest.mark.parametrize("head", [head for head, *_ in HEADS.values()], ids=HEADS)
def test_stands_alone_and_survives_saving(head, tmp_path):
    head = head.with_features(head.features, hidden_units=5)
    inputs = keras.Input((None, 8))
    model = keras.Model(inputs, head(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    x = normal(2, 5, 8)
    np.testing.assert_array_equal(restored.predict(x, verbose=0), model.predict(x, verbose=0))
    assert restored.layers[-1].get_config() == head.get_config()


@pytest.mark.parametrize("name", HEADS)
def test_tempered_parameters(name):
    """`at_temperature` is what `draw` draws from."""
    head, params_dim, *_ = HEADS[name]
    params, noise = 2 * normal(50, 4, params_dim), normal(50, 4, head.normal_dim, seed=1)
    uniform = np.random.default_rng(2).uniform(size=(50, 4, head.uniform_dim)).astype("float32")
    tempered = head.at_temperature(params, 0.7)
    np.testing.assert_allclose(
        head.draw(tempered, noise, uniform), head.draw(params, noise, uniform, 0.7), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "categorical"])
def test_mode_is_that_of_tfp(name):
    head, params_dim, *_ = HEADS[name]
    params = normal(5, 2, params_dim)
    np.testing.assert_array_equal(head.mode(params), head.distribution(params).mode())


@pytest.mark.parametrize("name", ["gaussian", "mixture", "bernoulli"])
def test_mean(name):
    head, params_dim, *_ = HEADS[name]
    params = normal(5, 2, params_dim)
    np.testing.assert_allclose(head.mean(params), head.distribution(params).mean(), rtol=1e-5, atol=1e-6)


def test_tokens_have_no_mean():
    with pytest.raises(ValueError, match="Tokens have no mean"):
        CategoricalHead(5).mean(normal(2, 5))


def test_a_mixture_of_far_components_does_not_underflow():
    """Densities of e^-5000, and a component of no weight."""
    params = np.array([[0.0, -1e4, 100.0, 0.0, 0.0, 0.0], [0.0, 0.0, 100.0, -100.0, 0.0, 0.0]], "float32")
    log_prob = GaussianMixtureHead(1, 2).log_prob(params, np.zeros((2, 1), "float32"))
    peak = -0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_prob, [-5000 + peak, -5000 + peak], rtol=1e-6)


def test_the_likeliest_tokens():
    head = CategoricalHead(num_classes=5)
    probabilities = np.array([[0.1, 0.4, 0.05, 0.25, 0.2], [0.2, 0.2, 0.2, 0.2, 0.2]], "float32")
    logits = np.log(probabilities) + 3.0

    def kept(**options):
        return np.exp(ops.convert_to_numpy(ops.log_softmax(head.truncated(logits, **options), axis=-1)))

    np.testing.assert_allclose(kept(top_k=2)[0], [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0], rtol=1e-5)
    np.testing.assert_allclose(kept(top_p=0.64)[0], kept(top_k=2)[0], rtol=1e-5)
    np.testing.assert_allclose(kept(top_p=0.66)[0], np.array([0, 0.4, 0, 0.25, 0.2]) / 0.85, rtol=1e-5)
    np.testing.assert_allclose(kept(top_p=0.01)[0], [0, 1, 0, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(kept(top_k=3, top_p=0.5)[0], kept(top_k=2)[0], rtol=1e-5)
    for everything in ({}, {"top_k": 9}, {"top_p": 1.0}):
        np.testing.assert_allclose(kept(**everything), probabilities, rtol=1e-5)
    drawn = head.draw(
        head.truncated(np.repeat(logits[:1], 1000, 0), top_k=2), None, np.linspace(0, 0.999, 1000)[:, None]
    )
    assert set(ops.convert_to_numpy(drawn).tolist()) == {1, 3}
