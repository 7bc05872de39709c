"""Gaussians between any bounds against SciPy, in the middle and far in the tails; and what they are made of."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import integrate, special, stats

from tests.support import gradients, normal
from zf_keras import TruncatedGaussianHead
from zf_keras.tails import log_mills, tail_integral, tail_quantile

#: Bounds that are wide, one-sided, narrow beside every scale, and without 0, which is padding.
BOUNDS = ((-1.0, 2.0), (None, 1.0), (0.0, 2**-10), (3.0, 4.0))
#: Location and log-scale: inside, beyond either end, by a few scales and by thousands.
PARAMS = np.array([[0.5, 0], [-2, 0.3], [6, -0.5], [-300, 1], [900, 0], [3.5, 5], [0.9, -6]], "float32")


def law(params, low, high):
    location, scale = params[:, :1].astype("float64"), np.exp(30 * np.tanh(params[:, 1:] / 30.0)).astype("float64")
    low, high = (-np.inf if low is None else low), (np.inf if high is None else high)
    return stats.truncnorm((low - location) / scale, (high - location) / scale, location, scale)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_law(bounds):
    head, (low, high) = TruncatedGaussianHead(1, *bounds), bounds
    exact = law(PARAMS, *bounds)
    grid = np.linspace(high - 3 if low is None else low, high, 9).astype("float32")
    params, values = np.repeat(PARAMS, 9, 0), np.tile(grid, len(PARAMS))[:, None]
    expected = law(params, *bounds).logpdf(values.astype("float64"))
    np.testing.assert_allclose(head.log_prob_by_feature(params, values), expected, rtol=1e-4, atol=1e-4)
    with np.errstate(invalid="ignore", divide="ignore"):  # in SciPy's skewness of a Gaussian's tail
        mean = np.array(
            [[stats.truncnorm.stats(*(x[i, 0] for x in exact.args), moments="m")] for i in range(len(PARAMS))]
        )
    np.testing.assert_allclose(head.mean(PARAMS), mean, rtol=1e-4, atol=1e-5)
    mode = np.clip(PARAMS[:, :1], low, high)
    np.testing.assert_array_equal(head.mode(PARAMS), mode)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_draws(bounds):
    head, uniform = TruncatedGaussianHead(1, *bounds), np.linspace(0, 1 - 2**-24, 1001).astype("float32")
    for params in PARAMS:
        params = params[None]
        drawn = ops.convert_to_numpy(head.draw(np.repeat(params, 1001, 0), None, uniform[:, None]))
        head.check_values("targets", drawn)
        assert (np.diff(drawn[:, 0]) >= 0).all()
        # Where the law is hardly wider than the steps of float32, a step away.
        below, above = (law(params, *bounds).cdf(np.nextafter(drawn, side).astype("float64")) for side in (-9, 9))
        assert (below[:, 0] - 1e-4 <= uniform).all() and (uniform <= above[:, 0] + 1e-4).all()


@pytest.mark.parametrize("bounds", BOUNDS)
def test_padding(bounds):
    """Scored as the nearest value."""
    head, params, padding = TruncatedGaussianHead(1, *bounds), keras.Variable(PARAMS), np.zeros((len(PARAMS), 1))
    (gradient,) = gradients(lambda: ops.sum(head.log_prob(params, padding)), [params])
    assert np.isfinite(gradient).all()
    nearest = head.log_prob(PARAMS, np.clip(padding, *bounds))
    np.testing.assert_array_equal(head.log_prob(PARAMS, padding), nearest)


def test_scale():
    """Half-lines from 0 alone stay what they are."""
    params = normal(4, 2)
    for bounds, scales in (((0, None), "positive"), ((None, 0), "positive"), ((0, 5), None), ((-1, None), None)):
        head = TruncatedGaussianHead(1, *bounds)
        assert head.scales == scales
        if scales is None:
            with pytest.raises(ValueError, match="A TruncatedGaussianHead has no scale"):
                head.at_scale(params, 0.0, 2.0)
    head, values = TruncatedGaussianHead(1, None, 0.0), -np.abs(normal(4, 1))
    expected = ops.convert_to_numpy(head.log_prob(params, values)) - np.log(1e4)
    np.testing.assert_allclose(head.log_prob(head.at_scale(params, 0.0, 1e4), 1e4 * values), expected, rtol=1e-4)


def test_arguments():
    head = TruncatedGaussianHead(2, 0, 1)
    again = TruncatedGaussianHead.from_config(head.get_config())
    assert (again.low, again.high, again.features) == (0, 1, 2)
    for bounds in ((None, None), (1, 1), (2, 1), (np.inf, None), ("0", None), (0, np.nan)):
        with pytest.raises(ValueError, match="`low` and `high` must be numbers, the first below the second"):
            TruncatedGaussianHead(2, *bounds)
    for value in (-0.5, 1.5):
        with pytest.raises(ValueError, match=rf"low=0\.0 and high=1\.0 needs `targets` between them.*value {value}"):
            head.check_values("targets", np.array([[0, value]]))
    head.check_values("targets", np.array([[0.0, 1.0]]))


def test_tails():
    x = np.concatenate([[0], np.geomspace(1e-4, 1e15, 500)]).astype("float32")
    expected = np.log(special.erfcx(x.astype("float64") / np.sqrt(2)) * np.sqrt(np.pi / 2))
    np.testing.assert_allclose(log_mills(x), expected, rtol=5e-7, atol=5e-7)
    for distance in (0, 0.1, 3, 9.9, 10.1, 1e4):
        for width in (1e-5, 0.3, 1.4, 5, None):
            for power in (0, 1):
                end = min(width or np.inf, 60 / (distance + 1))
                expected, _ = integrate.quad(
                    lambda s, power=power, distance=distance: s**power * np.exp(-s * (s / 2 + distance)),
                    *(0, end),
                    epsabs=0,
                    epsrel=1e-9,
                )
                given = [None if v is None else ops.convert_to_tensor(v, "float32") for v in (distance, width)]
                np.testing.assert_allclose(tail_integral(*given, power), expected, rtol=5e-5)
    share = np.concatenate([np.geomspace(1e-6, 0.5, 30), 1 - np.geomspace(0.5, 1e-7, 30)]).astype("float32")
    for distance in (0, 3, 1e4):
        s = ops.convert_to_numpy(tail_quantile(np.full_like(share, distance), share)).astype("float64")
        ratio = special.erfcx((distance + s) / np.sqrt(2)) / special.erfcx(distance / np.sqrt(2))
        np.testing.assert_allclose(
            s * (s / 2 + distance) - np.log(ratio), -np.log1p(-share.astype("float64")), rtol=5e-5
        )
