"""Heads whose densities SciPy has: log p, its gradient, the mode and draws, at ordinary and at extreme parameters."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from scipy import optimize, special, stats

from tests.support import gradients, normal
from zf_keras import (
    RNN,
    BetaHead,
    LogisticMixtureHead,
    LogNormalHead,
    NegativeBinomialHead,
    PoissonHead,
    StudentTHead,
    TruncatedGaussianHead,
    ZeroInflatedHead,
)
from zf_keras.gamma import NORMAL, log_gamma_draw, log_gamma_ratio, stirling_rest
from zf_keras.heads.poisson import drawn_count
from zf_keras.probability import expm1, log1p


def bounded(x, most=15.0):
    return most * np.tanh(x / most)


def parts(params, count):
    return np.split(np.asarray(params, "float64"), count, -1)


def student_t(params):
    location, log_scale, degrees = parts(params, 3)
    return stats.t(2 + np.logaddexp(0, degrees), location, np.exp(bounded(log_scale, 30)))


def poisson(params):
    return stats.poisson(np.exp(bounded(np.asarray(params, "float64"))))


def negative_binomial(params):
    log_mean, log_dispersion = parts(params, 2)
    mean, size = np.exp(bounded(log_mean)), np.exp(-bounded(log_dispersion, 10))
    return stats.nbinom(size, size / (size + mean))


def log_normal(params):
    mean, log_variance = parts(params, 2)
    return stats.lognorm(np.exp(bounded(log_variance) / 2), scale=np.exp(mean))


class LogisticMixture:
    """Two components, of 8 bits: what these tests ask of SciPy's laws."""

    dist = None

    def __init__(self, params):
        logits, means, log_scales = parts(params, 3)
        self.weights = special.softmax(logits, -1)
        self.logistics = stats.logistic(127.5 * (means + 1), 0.5 * (1 + 255 * np.exp(log_scales)))

    def between(self, low, high):
        """Of the smaller tails, which do not cancel."""
        right = low > self.logistics.mean()
        masses = np.where(
            right,
            self.logistics.sf(low) - self.logistics.sf(high),
            self.logistics.cdf(high) - self.logistics.cdf(low),
        )
        return (self.weights * masses).sum(-1, keepdims=True)

    def logpmf(self, y):
        return np.log(self.between(np.where(y <= 0, -np.inf, y - 0.5), np.where(y >= 255, np.inf, y + 0.5)))

    def cdf(self, y):
        y = np.asarray(y, "float64")[..., None]
        return self.between(-np.inf, np.where(y >= 255, np.inf, np.floor(y) + 0.5))[..., 0]

    def mean(self):
        return sum(self.between(k + 0.5, np.inf) for k in range(255))

    def ppf(self, q):
        return np.searchsorted(self.cdf(np.arange(256)), q).clip(0, 255).astype("float64")


def truncated_gaussian(params, low=0.0, high=np.inf):
    location, log_scale = parts(params, 2)
    scale = np.exp(bounded(log_scale, 30))
    return stats.truncnorm((low - location) / scale, (high - location) / scale, location, scale)


class ZeroInflated:
    """What these tests ask of SciPy's laws, of a base law."""

    dist = None

    def __init__(self, base, params):
        self.zero = special.expit(np.asarray(params, "float64")[..., :1])
        self.base = base(np.asarray(params)[..., 1:])

    def logpmf(self, y):
        of_base = np.log1p(-self.zero) + log_density(self.base, y)
        own = -np.inf if hasattr(self.base.dist, "pdf") else of_base
        return np.where(y == 0, np.logaddexp(np.log(self.zero), own), of_base)

    def cdf(self, y):
        return np.where(y >= 0, self.zero, 0) + (1 - self.zero) * self.base.cdf(y)

    def ppf(self, q):
        return self.base.ppf(np.maximum(q - self.zero, 0) / (1 - self.zero)).clip(0)

    def mean(self):
        return (1 - self.zero) * self.base.mean()


def beta(params):
    logit, log_concentration = (bounded(x, 10) for x in parts(params, 2))
    concentration = np.exp(log_concentration)
    return stats.beta(special.expit(logit) * concentration, special.expit(-logit) * concentration)


COUNTS = dict.fromkeys((-1, 0.5), "needs `targets` of counts")
#: name -> (head of a feature, SciPy's law of its parameters, extreme parameters, values, what is refused and why)
LAWS = {
    "student_t": (
        StudentTHead(1),
        student_t,
        [[0, 0, -50], [3, 0, 1e4], [3, 0, 1e8], [0, 40, 0], [0, -40, 3], [1e3, -2, -2]],
        [0, 0.3, -2, 50, 1e4],
        {},
    ),
    "poisson": (PoissonHead(1), poisson, [[-40], [2], [5], [8], [14], [40]], [0, 1, 7, 60, 3000, 1e6], COUNTS),
    "negative_binomial": (
        NegativeBinomialHead(1),
        negative_binomial,
        [[-40, 0], [2, -8], [8, -3], [8, 1], [0, 4], [0, 40], [5, -40], [9, -40]],
        [0, 1, 7, 60, 3000, 1e5],
        COUNTS,
    ),
    "log_normal": (
        LogNormalHead(1),
        log_normal,
        [[-30, 0], [20, 3], [0, -8], [0, 4]],
        [1e-8, 0.5, 1, 1e5],
        dict.fromkeys((0, -1), "needs `targets` above 0"),
    ),
    "beta": (
        BetaHead(1),
        beta,
        [[0, 6], [-3, 40], [1, 1e3], [-40, 12], [40, 30]],
        [1e-6, 0.05, 0.5, 0.999],
        dict.fromkeys((0, 1, -0.5), "needs `targets` between 0 and 1"),
    ),
    "logistic_mixture": (
        LogisticMixtureHead(1, 2),
        LogisticMixture,
        [[0, 1, -3, 5, 0, 0], [0, 0, 0, 0.5, -20, -3], [50, 0, 0.1, 0, 5, -4], [0, 0, -0.5, 0.5, -2, 9]],
        [0, 1, 100, 254, 255],
        dict.fromkeys((-1, 256, 2.5), "8 bits needs `targets` of integers"),
    ),
    "truncated_gaussian": (
        TruncatedGaussianHead(1),
        truncated_gaussian,
        [[-30, 0], [-1e4, 2], [1e3, 1], [5, -8], [0, 60], [-3, -3]],
        [0, 1e-3, 0.7, 5],
        {-0.1: "low=0.0 and high=None needs `targets` between them"},
    ),
    "zero_inflated_poisson": (
        ZeroInflatedHead("poisson", 1),
        partial(ZeroInflated, poisson),
        [[0, -40], [-9, 2], [6, 8], [0, 40]],
        [0, 1, 7, 60],
        dict.fromkeys((-1, 0.5), "not 0: A poisson output needs `targets` of counts"),
    ),
    "zero_inflated_negative_binomial": (
        ZeroInflatedHead(NegativeBinomialHead(), 1),
        partial(ZeroInflated, negative_binomial),
        [[9, 2, -8], [-9, 8, 1], [0, 0, 4], [0, 9, -40]],
        [0, 1, 7, 60, 3000],
        dict.fromkeys((-1, 0.5), "needs `targets` of counts"),
    ),
    "zero_inflated_log_normal": (
        ZeroInflatedHead("log_normal", 1),
        partial(ZeroInflated, log_normal),
        [[0, -30, 0], [-9, 20, 3], [9, 0, -8], [0, 0, 4]],
        [0, 1e-3, 1, 500],
        {-1: "not 0: A log_normal output needs `targets` above 0"},
    ),
}


def log_density(law, values):
    return law.logpdf(values) if hasattr(law.dist, "pdf") else law.logpmf(values)


def cases(name, extreme):
    """Parameters (n, params_dim) and values (n, 1): each parameter with each value."""
    head, _, extremes, values, _ = LAWS[name]
    params = np.array(extremes) if extreme else 1.5 * normal(40, head.params_dim)
    return np.repeat(params, len(values), 0).astype("float32"), np.tile(values, len(params))[:, None].astype("float32")


@pytest.mark.parametrize("extreme", [False, True], ids=["ordinary", "extreme"])
@pytest.mark.parametrize("name", LAWS)
def test_log_prob(name, extreme):
    head, law, *_ = LAWS[name]
    params, values = cases(name, extreme)
    expected = log_density(law(params), values.astype("float64"))
    assert np.isfinite(expected).all()
    atol = 3e-4 if extreme else 2e-5
    np.testing.assert_allclose(head.log_prob_by_feature(params, values), expected, rtol=2e-5, atol=atol)
    np.testing.assert_allclose(head.log_prob(params, values), expected[:, 0], rtol=2e-5, atol=atol)
    if not extreme:
        by_tfp = head.distribution(params).log_prob(values)
        np.testing.assert_allclose(by_tfp, expected[:, 0], rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", LAWS)
def test_gradients(name):
    """Those of SciPy's log p by finite differences; finite at the extremes."""
    head, law, *_ = LAWS[name]
    params, values = cases(name, extreme=False)
    variable = keras.Variable(params)
    (gradient,) = gradients(lambda: ops.sum(head.log_prob(variable, values)), [variable])
    step = 1e-5
    for i in range(head.params_dim):
        shift = step * np.eye(head.params_dim)[i]
        up, down = (log_density(law(params + sign * shift), values.astype("float64"))[:, 0] for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, i], (up - down) / (2 * step), rtol=1e-3, atol=1e-3)
    params, values = cases(name, extreme=True)
    values[::2] = 0  # padding
    variable = keras.Variable(params)
    (gradient,) = gradients(lambda: ops.sum(head.log_prob(variable, values)), [variable])
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", LAWS)
def test_draws(name):
    """5,000 draws against the distribution function: no gap that chance makes once in 10,000 tries."""
    head, law, extremes, *_ = LAWS[name]
    params = np.concatenate([1.5 * normal(3, head.params_dim, seed=4), extremes]).astype("float32")
    rows = np.broadcast_to(params[:, None], (len(params), 5000, head.params_dim))
    drawn = ops.convert_to_numpy(head.sample(rows, 0))[..., 0].astype("float64")
    head.check_values("targets", drawn)
    for given, draws in zip(params, drawn, strict=True):
        if hasattr(law(given).dist, "pdf"):
            # The greatest number below 1 has all beyond it; no other head has such a number.
            end = 1 - 2**-24 if name == "beta" else np.inf
            below, inside = law(given).cdf(end), draws < end
            assert abs(inside.mean() - below) < 0.01
            assert (
                stats.kstest(draws[inside], lambda y, given=given, below=below: law(given).cdf(y) / below).pvalue > 1e-4
            )
        else:
            assert chi_square(draws, law(given)) > 1e-4


def chi_square(drawn, law):
    """The p value of counts, in some 40 bins that are about as likely."""
    edges = np.unique(np.append(law.ppf(np.linspace(0, 1, 41)[1:-1]), np.inf))
    seen = np.diff(np.searchsorted(np.sort(drawn), edges, side="right"), prepend=0)
    expected = len(drawn) * np.diff(law.cdf(edges), prepend=0)
    often = expected >= 1
    assert np.abs(seen - expected)[~often].sum() < 10
    if often.sum() == 1:
        return 1.0
    return stats.chisquare(seen[often], expected[often] * seen[often].sum() / expected[often].sum()).pvalue


@pytest.mark.parametrize("name", LAWS)
def test_mode(name):
    """No draw is more probable, and neither is what is close by."""
    head, *_ = LAWS[name]
    params = 1.5 * normal(50, head.params_dim, seed=2)
    mode = ops.convert_to_numpy(head.mode(params))
    head.check_values("targets", mode)
    best = ops.convert_to_numpy(head.log_prob(params, mode))
    # The mean of a component is but near it; a probability and a density have no order.
    slack = {"logistic_mixture": 1.0, "zero_inflated_log_normal": np.inf}.get(name, 1e-4)
    for seed in range(5):
        draw = head.sample(params, seed)
        assert keras.backend.standardize_dtype(draw.dtype) == mode.dtype.name and draw.shape == mode.shape
        assert (ops.convert_to_numpy(head.log_prob(params, draw)) <= best + slack).all()


@pytest.mark.parametrize("name", LAWS)
def test_mean(name):
    head, law, *_ = LAWS[name]
    params = 1.5 * normal(300, head.params_dim, seed=2)
    atol = 2e-3 if name == "logistic_mixture" else 1e-5  # of a step
    np.testing.assert_allclose(head.mean(params), law(params).mean(), rtol=2e-5, atol=atol)
    extreme = np.array(LAWS[name][2], "float32")
    with np.errstate(invalid="ignore"):  # in SciPy's skewness of a Gaussian's tail
        np.testing.assert_allclose(head.mean(extreme), law(extreme).mean(), rtol=1e-4, atol=atol)


@pytest.mark.parametrize("name", LAWS)
def test_temperature(name):
    """What `draw` draws at a temperature is what the tempered parameters give; other heads refuse."""
    head, *_ = LAWS[name]
    params = normal(50, head.params_dim)
    if not head.tempers:
        with pytest.raises(ValueError, match="`temperature` must be 1 for a"):
            head.sample(params, 0, 0.5)
        return
    tempered = head.sample(head.at_temperature(params, 0.7), 0)
    np.testing.assert_allclose(head.sample(params, 0, 0.7), tempered, rtol=1e-4, atol=1e-4)
    assert np.abs(tempered - head.sample(params, 0)).max() > 0.05


@pytest.mark.parametrize("name", LAWS)
def test_in_a_model(name, tmp_path):
    """By its name; the values it refuses; and a head of a model comes back from its file."""
    refused = LAWS[name][-1]
    model = RNN(3, name, seed=0)
    model.build((None, None, 2))
    x = model.generate(2, 3, seed=0)
    assert x.shape == (2, 3, 2)
    expected = model.log_likelihood(x)
    assert np.isfinite(expected).all()
    for value, message in refused.items():
        with pytest.raises(ValueError, match=message):
            model.log_likelihood(np.where(np.arange(3)[:, None] == 1, np.float32(value), x))
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras").log_likelihood(x), expected, rtol=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_parameters_are_found_again(name):
    """The likeliest parameters of 3,000 draws give the law that these came from."""
    head, law, *_ = LAWS[name]
    true = 0.7 * normal(head.params_dim, seed=7)
    y = ops.convert_to_numpy(head.sample(np.tile(true, (3000, 1)), 1))

    def loss(params):
        rows = np.tile(params.astype("float32"), (len(y), 1))
        return -ops.convert_to_numpy(head.log_prob(rows, y)).mean(dtype="float64")

    found = optimize.minimize(
        loss, true + 0.5 * normal(head.params_dim), method="Nelder-Mead", options={"maxiter": 150}
    ).x
    difference = log_density(law(found), y) - log_density(law(true), y)
    assert -0.001 < difference.mean() < 0.003
    grid = law(true).ppf(np.linspace(0.02, 0.98, 49))
    np.testing.assert_allclose(law(found).cdf(grid), law(true).cdf(grid), atol=0.03)


def test_the_mode_beside_a_density():
    """0 if it is likelier than all else; the law of the positive numbers decides nothing."""
    params = np.array([[0.1, 5, 0], [-0.1, 5, 0], [0.1, -5, 0], [-0.1, -5, 0]], "float32")
    mode = LogNormalHead(1).mode(params[:, 1:])
    np.testing.assert_array_equal(
        ZeroInflatedHead("log_normal", 1).mode(params), np.where([[0], [1], [0], [1]], mode, 0)
    )


def test_a_draw_beside_zero():
    head, params = ZeroInflatedHead("log_normal", 2), normal(50, 6)
    normals, uniform = head.noise((50,), 0)
    zero = ops.convert_to_numpy(uniform) < special.expit(params[:, :2] / 0.5)
    expected = np.where(zero, 0, LogNormalHead(2).draw(params[:, 2:], normals, None, 0.5))
    np.testing.assert_allclose(head.draw(params, normals, uniform, 0.5), expected, rtol=1e-5)


def test_what_is_inflated_has_independent_features():
    with pytest.raises(
        ValueError, match=r"`base` must be a head of independent features\. Received: a LogisticMixture"
    ):
        ZeroInflatedHead("logistic_mixture")
    model = RNN(3, ZeroInflatedHead(LogNormalHead(), hidden_units=4), seed=0)
    model.build((None, None, 2))
    assert model.head.base.features == 2 and model.head.hidden_units == 4
    model.generate(2, 3, temperature=0.5)


def test_16_bits():
    head = LogisticMixtureHead(1, 2, bits=16)
    values = np.arange(2.0**16)[:, None]
    for params in ([0, 1, -0.3, 0.2, -9, -4], [0, 1, -1.5, 0.5, -30, 0]):
        p = np.exp(ops.convert_to_numpy(head.log_prob(np.tile(np.float32(params), (2**16, 1)), values)))
        np.testing.assert_allclose(p.sum(dtype="float64"), 1, rtol=2e-4)
    head.check_values("targets", values)
    with pytest.raises(ValueError, match=r"16 bits needs `targets` of integers in \[0, 65536\)"):
        head.check_values("targets", values + 1)
    assert LogisticMixtureHead.from_config(head.get_config()).bits == 16
    with pytest.raises(ValueError, match=r"`bits` must be 8 or 16\. Received: bits=12"):
        LogisticMixtureHead(1, bits=12)


def test_a_mixture_of_frames():
    """One component for all features of a frame: the log p of each feature are not those of independent ones."""
    head = LogisticMixtureHead(2, 2)
    params = np.array([0, 0, -0.5, -0.5, 0.5, 0.5, -4, -4, -4, -4], "float32")
    frames = ops.convert_to_numpy(head.sample(np.tile(params, (500, 1)), 0))
    assert ((frames[:, 0] < 127) == (frames[:, 1] < 127)).all() and 150 < (frames[:, 0] < 127).sum() < 350
    together, apart = (
        ops.convert_to_numpy(x) for x in (head.log_prob(params, frames), head.log_prob_by_feature(params, frames))
    )
    np.testing.assert_allclose(together, apart.sum(-1) + np.log(2), rtol=1e-4)


def test_the_mean_of_narrow_logistics_at_an_edge():
    params = np.array([[0, 0, -1, -1, -20, -20], [0, 1, 1, 0.99, -20, -20]], "float32")
    np.testing.assert_allclose(LogisticMixtureHead(1, 2).mean(params), LogisticMixture(params).mean(), atol=2e-3)


def test_the_mode_of_wide_logistics_is_at_an_edge():
    head, wide = LogisticMixtureHead(1, 1), np.array([[0, 0.9, -0.5], [0, -0.9, -0.5], [0, 0.2, -4]], "float32")
    np.testing.assert_array_equal(head.mode(wide), [[255], [0], [153]])


def test_temperature_of_a_logistic():
    uniform = np.array([[0.5, 0.9]], "float32")
    params = np.array([[0, 0, 0, 0, -2, -2]], "float32")  # of two equal components
    warm, cold = (head_draw(params, uniform, temperature) - 127.5 for temperature in (1.0, 0.5))
    assert abs(warm - 127.5 * np.exp(-2) * np.log(9)) < 2 and abs(cold - warm / 2) < 2


def head_draw(params, uniform, temperature):
    return ops.convert_to_numpy(LogisticMixtureHead(1, 2).draw(params, None, uniform, temperature))[0, 0]


def test_large_counts_are_those_of_the_distribution_function():
    normals = np.linspace(-3, 3, 2001).astype("float32")
    for rate in (101, 150, 1000):
        log_rate = np.full(2001, np.log(rate), "float32")
        drawn = ops.convert_to_numpy(drawn_count(log_rate, normals, np.full(2001, 0.5, "float32")))
        exact = stats.poisson.ppf(stats.norm.cdf(normals.astype("float64")), rate)
        assert (drawn != exact).mean() < 0.01


def test_the_first_proposal_that_is_accepted():
    shape, normals = np.float32(0.7), np.linspace(-1, 1.5, NORMAL).astype("float32")
    d = 0.7 + 2 / 3
    for first in range(NORMAL):
        # 1 - 0 is above every acceptance.
        uniform = np.array([0.3] + [0.0] * first + [0.5] * (NORMAL - first), "float32")
        expected = np.log(d * (1 + normals[first] / np.sqrt(9 * d)) ** 3) + np.log(0.7) / 0.7
        np.testing.assert_allclose(log_gamma_draw(shape, normals, uniform), expected, rtol=1e-5)


def test_log_gamma():
    x = np.exp(np.linspace(-15, 15, 3001)).astype("float32")
    wide = x.astype("float64")
    np.testing.assert_allclose(
        stirling_rest(x), special.gammaln(wide) - (wide - 0.5) * np.log(wide) + wide, rtol=1e-6, atol=2e-6
    )
    for a in (0.0, 0.5, 3.0, 200.0):
        expected = special.gammaln(wide + a) - special.gammaln(wide)
        np.testing.assert_allclose(log_gamma_ratio(x, np.float32(a)), expected, rtol=1e-6, atol=5e-6 + 2e-7 * a)


def test_log1p_and_expm1():
    x = np.concatenate([-np.geomspace(1e-20, 0.9999, 500), np.geomspace(1e-20, 1e10, 500)]).astype("float32")
    np.testing.assert_allclose(log1p(x), np.log1p(x.astype("float64")), rtol=1e-6)
    x = np.concatenate([-np.geomspace(1e-20, 80, 500), np.geomspace(1e-20, 80, 500)]).astype("float32")
    np.testing.assert_allclose(expm1(x), np.expm1(x.astype("float64")), rtol=1e-5)
    variable = keras.Variable(np.array([-0.9, -1e-6, 0.0, 1e-6, 0.4, 0.6, 100.0], "float32"))
    (gradient,) = gradients(lambda: ops.sum(log1p(ops.convert_to_tensor(variable))), [variable])
    np.testing.assert_allclose(gradient, 1 / (1 + ops.convert_to_numpy(variable)), rtol=1e-5)
