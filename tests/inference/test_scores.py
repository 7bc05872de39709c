"""Scores of forecasts against closed forms, and against what is written by hand."""

import sys

import numpy as np
import pytest
from scipy import stats

from zf_keras import Forecast

RNG = np.random.default_rng(0)
PATHS, ACTUAL, HISTORY = RNG.normal(size=(20, 3, 4, 2)), RNG.normal(size=(3, 4, 2)), RNG.normal(size=(3, 9, 2))


def test_a_gaussian():
    """Gneiting and Raftery 2007, eq. 21."""
    mean, scale, y = np.array([0.0, 1.0, -3.0]), np.array([1.0, 0.5, 2.0]), np.array([0.3, 2.0, -3.0])
    uniform = (np.arange(1000) + 0.5) / 1000
    paths = mean + scale * stats.norm.ppf(uniform)[:, None]
    found = Forecast(paths[:, :, None, None]).scores(y[:, None, None], by_series=True, level=0.5)
    z = (y - mean) / scale
    crps = scale * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    np.testing.assert_allclose(found["crps"], crps, rtol=5e-3)
    np.testing.assert_allclose(found["energy_score"], found["crps"], rtol=1e-6)  # of one reading
    half = scale * stats.norm.ppf(0.75)
    outside = np.maximum(np.abs(y - mean) - half, 0)
    np.testing.assert_allclose(found["interval_score"], 2 * half + 2 / 0.5 * outside, rtol=5e-3)
    np.testing.assert_array_equal(found["coverage"], outside == 0)


def by_hand(paths, y, history, season, level, quantiles):
    """Of one series and feature, with loops."""
    count, horizon = paths.shape
    ordered = [sorted(paths[:, t]) for t in range(horizon)]

    def quantile(t, q):
        place = q * (count - 1)
        low = int(place)
        high = min(low + 1, count - 1)
        return ordered[t][low] + (place - low) * (ordered[t][high] - ordered[t][low])

    def pinball(t, q):
        error = y[t] - quantile(t, q)
        return max(q * error, (q - 1) * error)

    def winkler(t):
        low, high = quantile(t, (1 - level) / 2), quantile(t, (1 + level) / 2)
        return high - low + 2 / (1 - level) * (max(low - y[t], 0) + max(y[t] - high, 0))

    def crps(t):
        pairs = [abs(a - b) for a in paths[:, t] for b in paths[:, t]]
        return np.mean([abs(a - y[t]) for a in paths[:, t]]) - sum(pairs) / (2 * count * (count - 1))

    def covered(t):
        return quantile(t, (1 - level) / 2) <= y[t] <= quantile(t, (1 + level) / 2)

    steps = range(horizon)
    median = [quantile(t, 0.5) for t in steps]
    scale = np.mean([abs(history[t] - history[t - season]) for t in range(season, len(history))])
    return {
        "crps": np.mean([crps(t) for t in steps]),
        "interval_score": np.mean([winkler(t) for t in steps]),
        "quantile_score": np.mean([pinball(t, q) for t in steps for q in quantiles]),
        "wql": np.mean([2 * sum(pinball(t, q) for t in steps) for q in quantiles]) / sum(map(abs, y)),
        "coverage": np.mean([covered(t) for t in steps]),
        "smape": np.mean([abs(y[t] - median[t]) / (abs(y[t]) + abs(median[t])) for t in steps]),
        "mase": np.mean([abs(y[t] - median[t]) for t in steps]) / scale,
    }


def test_by_hand():
    settings = {"season": 3, "level": 0.6, "quantiles": [0.1, 0.5, 0.85]}
    found = Forecast(PATHS).scores(ACTUAL, HISTORY, **settings)
    by_series = Forecast(PATHS).scores(ACTUAL, HISTORY, by_series=True, **settings)
    expected = np.array(
        [
            [[*by_hand(PATHS[:, i, :, k], ACTUAL[i, :, k], HISTORY[i, :, k], **settings).values()] for k in (0, 1)]
            for i in range(3)
        ]
    )
    names = list(by_hand(PATHS[:, 0, :, 0], ACTUAL[0, :, 0], HISTORY[0, :, 0], **settings))
    assert found.keys() == by_series.keys() == {*names, "energy_score"}
    for place, name in enumerate(names):
        weights = np.abs(ACTUAL).sum(axis=1) if name == "wql" else np.ones((3, 2))
        values = expected[..., place]
        np.testing.assert_allclose(found[name], np.average(values, weights=weights), err_msg=name)
        np.testing.assert_allclose(by_series[name], np.average(values, 1, weights), err_msg=name)
        assert isinstance(found[name], float) and found[name] > 0 and by_series[name].shape == (3,)


def test_energy_score_is_of_whole_paths():
    found = Forecast(PATHS).scores(ACTUAL, by_series=True)["energy_score"]
    flat = PATHS.transpose(1, 0, 2, 3).reshape(3, 20, 8)
    to_actual = np.linalg.norm(flat - ACTUAL.reshape(3, 1, 8), axis=-1).mean(axis=1)
    pairs = np.linalg.norm(flat[:, None] - flat[:, :, None], axis=-1).sum(axis=(1, 2)) / (20 * 19)
    np.testing.assert_allclose(found, to_actual - pairs / 2)
    assert Forecast(PATHS).scores(ACTUAL)["energy_score"] == pytest.approx(found.mean())


def test_what_is_missing_is_left_out():
    """As if it had never been asked for."""
    actual = ACTUAL.copy()
    actual[0, 2:] = actual[1] = np.nan
    found = Forecast(PATHS).scores(actual, HISTORY, by_series=True)
    first = Forecast(PATHS[:, :1, :2]).scores(ACTUAL[:1, :2], HISTORY[:1])
    last = Forecast(PATHS[:, 2:]).scores(ACTUAL[2:], HISTORY[2:])
    for name, values in found.items():
        np.testing.assert_allclose(values, [first[name], np.nan, last[name]], err_msg=name)
    both = Forecast(PATHS).scores(actual, HISTORY)
    for name in ("crps", "interval_score", "quantile_score", "coverage", "smape"):
        assert both[name] == pytest.approx((4 * first[name] + 8 * last[name]) / 12), name  # by readings
    assert both["energy_score"] == pytest.approx((first["energy_score"] + last["energy_score"]) / 2)
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    assert Forecast(PATHS).scores(ACTUAL, HISTORY, mask=mask) == both
    actual = ACTUAL.copy()
    actual[0, 2:, 1] = np.nan  # one feature
    assert np.isfinite(list(Forecast(PATHS).scores(actual).values())).all()


def test_histories_that_end_apart():
    histories = [HISTORY[0], HISTORY[1, :5], HISTORY[2, :7]]
    alone = [
        Forecast(PATHS[:, i : i + 1]).scores(ACTUAL[i : i + 1], [histories[i]], season=2)["mase"] for i in range(3)
    ]
    found = Forecast(PATHS).scores(ACTUAL, histories, season=2, by_series=True)["mase"]
    np.testing.assert_allclose(found, alone)
    histories[1] = np.ones((5, 2))  # errs by nothing itself
    found = Forecast(PATHS).scores(ACTUAL, histories, season=2)["mase"]
    assert found == pytest.approx((alone[0] + alone[2]) / 2)


def test_one_path_is_a_point_forecast():
    found = Forecast(PATHS[:1]).scores(ACTUAL)
    error = np.abs(PATHS[0] - ACTUAL)
    assert found["crps"] == pytest.approx(error.mean())
    assert found["wql"] == pytest.approx(error.sum() / np.abs(ACTUAL).sum())
    assert found["energy_score"] == pytest.approx(np.sqrt((error**2).sum(axis=(1, 2))).mean())


def test_where_nothing_came():
    found = Forecast(PATHS).scores(0 * ACTUAL, 0 * HISTORY)
    assert np.isnan([found.pop("wql"), found.pop("mase")]).all() and np.isfinite(list(found.values())).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actual": ACTUAL[:2]}, r"`actual` must be of shape \(3, 4, 2\).*\(2, 4, 2\)"),
        ({"actual": np.where(ACTUAL > 1, np.inf, ACTUAL)}, "`actual` must be finite"),
        ({"actual": np.full((3, 4, 2), np.nan)}, "`actual` must hold at least one"),
        ({"mask": np.ones((3, 3))}, r"`mask` must hold .*\(3, 4\).*\(3, 3\)"),
        ({"mask": np.full((3, 4), 2)}, "`mask` must hold 0 and 1"),
        ({"history": HISTORY[:2]}, r"`history` must hold 3 series.*2 of shapes"),
        ({"history": HISTORY[..., :1]}, r"`history` .*features=2.*\(9, 1\)"),
        ({"season": 0}, "`season`"),
        ({"level": 1.0}, r"`level` must be in \(0, 1\)"),
        ({"quantiles": [0.5, 2]}, "`quantiles`"),
        ({"quantiles": []}, "`quantiles` must hold at least one"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Forecast(PATHS).scores(**({"actual": ACTUAL} | arguments))


def test_tokens_have_no_score():
    with pytest.raises(ValueError, match="no score"):
        Forecast(np.ones((2, 3, 4), int)).scores(np.ones((3, 4)))


def test_without_the_libraries(monkeypatch):
    for name in ("scoringrules", "utilsforecast.losses"):
        with monkeypatch.context() as patch, pytest.raises(ImportError, match=r'pip install "zf_keras\[series\]"'):
            patch.setitem(sys.modules, name, None)
            Forecast(PATHS).scores(ACTUAL)
