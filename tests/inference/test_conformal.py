"""Forecasts recalibrated by earlier ones: their coverage, and which error moves which path."""

import numpy as np
import pytest

from zf_keras import Forecast

RNG = np.random.default_rng(0)


def coverage(forecast, actual, level):
    lower, upper = forecast.interval(level)
    return ((lower <= actual) & (actual <= upper)).mean(axis=(0, 1))


def test_intervals_hold_what_they_say():
    """Of 20,000 steps, each with 19 earlier readings of its own: the ends are their first and last, 18 / 20 between."""
    steps = 20_000
    actual, scale = RNG.normal(size=(20, steps, 1)), RNG.uniform(0.5, 2, size=(20, steps, 1))
    actual *= scale
    paths = 0.3 + 0.4 * scale * np.linspace(-1.6, 1.6, 21)[:, None, None, None]  # off, and too narrow
    past, new = Forecast(paths[:, :19]), Forecast(paths[:, 19:])
    better = new.recalibrated(past, actual[:19])
    assert coverage(new, actual[19:], 0.9) < 0.5
    assert coverage(better, actual[19:], 0.9) == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / steps))
    assert (actual[19:] <= better.quantile(0.75)).mean() == pytest.approx(0.75, abs=3 * np.sqrt(0.19 / steps))


def test_many_series():
    actual = RNG.normal(size=(3000, 4, 2)) * [1.0, 10.0]
    forecast = Forecast(RNG.normal(size=(101, 3000, 4, 2)) * [2.0, 4.0])
    past, new = Forecast(forecast[:, :1000]), Forecast(forecast[:, 1000:])
    better = new.recalibrated(past, actual[:1000])
    for level in (0.5, 0.8):
        one, other = coverage(new, actual[1000:], level)
        assert one > level + 0.1 and other < level - 0.1
        np.testing.assert_allclose(coverage(better, actual[1000:], level), level, atol=0.02)
    assert better.scores(actual[1000:])["wql"] < new.scores(actual[1000:])["wql"]


def test_by_hand():
    """The errors of each path are moved by the one at (N + 1) times its level, rounded outwards, within the N."""
    past = Forecast(np.arange(5.0).reshape(5, 1, 1, 1) + np.zeros((5, 6, 1, 1)))
    actual = np.array([0.0, 1.0, 3.0, 4.0, 6.0, 8.0]).reshape(6, 1, 1)
    new = Forecast(np.array([30.0, 10.0, 20.0, 50.0, 40.0]).reshape(5, 1, 1, 1))
    # Paths 0..4 are of levels 0, 1/4, ... 1; 7 times these, outwards, are 0, 1, 4, 6 and 7: errors 1, 1, 4, 6 and 6.
    by_rank = [actual[0] - 0, actual[0] - 1, actual[3] - 2, actual[5] - 3, actual[5] - 4]
    moved = np.arange(10.0, 51, 10) + 10 * np.ravel(by_rank)  # ten times the spread
    np.testing.assert_allclose(np.sort(new.recalibrated(past, actual).samples.ravel()), moved)
    np.testing.assert_allclose(new.recalibrated(past, actual).samples.ravel(), moved[[2, 0, 1, 4, 3]])
    more = np.concatenate([actual, np.full((2, 1, 1), 100.0)])
    past = Forecast(np.concatenate([past, past[:, :2]], axis=1))
    more[6] = np.nan
    masked = new.recalibrated(past, more, mask=np.arange(8)[:, None] < 7)
    np.testing.assert_allclose(np.sort(masked.samples.ravel()), moved)


def test_what_is_missing_at_a_step():
    """The extremes are moved by the extreme errors that there are."""
    past, actual = Forecast(np.zeros((5, 3, 2, 1))), np.array([[1.0, 1.0], [2.0, np.nan], [4.0, np.nan]])[..., None]
    better = Forecast(np.zeros((5, 1, 2, 1))).recalibrated(past, actual)
    np.testing.assert_array_equal(np.sort(better.samples[:, 0, :, 0], axis=0).T, [[1, 1, 2, 4, 4], [1] * 5])


def test_where_quantiles_cross():
    """The middle stays, and the others give way outwards."""
    past, new = (Forecast(np.array(x).reshape(5, 1, 1, 1)) for x in ([0.0, 4, 5, 6, 10], [0.0, 1, 5, 9, 10]))
    better = new.recalibrated(past, np.full((1, 1, 1), 5.0))
    ratio = np.sqrt(82 / 52)  # of the spreads; the errors are 5, 1, 0, -1 and -5
    np.testing.assert_allclose(better.samples.ravel(), [1 + ratio, 1 + ratio, 5, 9 - ratio, 9 - ratio])


def test_paths_keep_their_ranks():
    paths = RNG.normal(size=(11, 3, 5, 2))
    new = Forecast(paths)
    past = Forecast(RNG.normal(size=(7, 4, 5, 2)))
    better = new.recalibrated(past, 5 * RNG.normal(size=(4, 5, 2)))
    order = paths.argsort(axis=0)
    assert (np.diff(np.take_along_axis(better.samples, order, axis=0), axis=0) >= 0).all()
    assert better.shape == new.shape


@pytest.mark.parametrize(
    ("past", "actual", "message"),
    [
        (np.zeros((5, 2, 3, 1)), np.zeros((2, 3, 1)), "`past` must be a Forecast"),
        (Forecast(np.zeros((5, 2, 4, 1))), np.zeros((2, 4, 1)), r"`past` .*\(3, 1\).*\(5, 2, 4, 1\)"),
        (Forecast(np.zeros((5, 2, 3, 1))), np.zeros((1, 3, 1)), r"`actual` must be of shape \(2, 3, 1\)"),
        (
            Forecast(np.zeros((5, 2, 3, 1))),
            np.array([[0, np.nan, 0], [0, np.nan, 0]])[..., None],
            "`actual` must hold a known reading of each",
        ),
    ],
)
def test_errors(past, actual, message):
    with pytest.raises(ValueError, match=message):
        Forecast(np.zeros((5, 2, 3, 1))).recalibrated(past, actual)


def test_what_has_no_quantiles():
    one = Forecast(np.zeros((1, 2, 3, 1)))
    with pytest.raises(ValueError, match="one path"):
        one.recalibrated(one, np.zeros((2, 3, 1)))
    tokens = Forecast(np.zeros((4, 2, 3), int))
    with pytest.raises(ValueError, match="no recalibration"):
        tokens.recalibrated(tokens, np.zeros((2, 3)))
