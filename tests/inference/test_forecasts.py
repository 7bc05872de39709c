"""Forecasts: an array to NumPy, and what they say of each step."""

import sys
import types

import numpy as np
import pytest

from tests.models.table import FEATURES, make, sequences
from zf_keras import Forecast

PATHS = np.random.default_rng(0).normal(size=(40, 2, 3, 4)).astype("float32")
TOKENS = np.random.default_rng(0).integers(0, 5, size=(6, 2, 3))


def test_a_model_gives_one():
    forecast = make("z_forcing").forecast(sequences(count=2), horizon=3, num_samples=4, seed=0)
    assert isinstance(forecast, Forecast)
    assert forecast.samples.shape == (4, 2, 3, FEATURES) and forecast.mean.shape == (2, 3, FEATURES)


def test_an_array_to_numpy():
    forecast = Forecast(PATHS)
    assert (forecast.shape, forecast.ndim, forecast.dtype, len(forecast)) == (PATHS.shape, 4, "float32", 40)
    assert repr(forecast) == "Forecast(samples of shape (40, 2, 3, 4), float32)"
    for ours, of_array in (
        (np.asarray(forecast), PATHS),
        (np.asarray(forecast, "float64"), PATHS.astype("float64")),
        (forecast[1, :, -1], PATHS[1, :, -1]),
        (list(forecast)[-1], PATHS[-1]),
        (np.mean(forecast, axis=0), PATHS.mean(axis=0)),
        (np.concatenate([forecast, PATHS]), np.concatenate([PATHS, PATHS])),
        (np.exp(forecast), np.exp(PATHS)),
        (np.add(forecast, 1, out=np.empty_like(PATHS)), PATHS + 1),
        (2 * forecast - forecast, PATHS),
        (PATHS + forecast, 2 * PATHS),
        (forecast > 0, PATHS > 0),
    ):
        assert type(ours) is np.ndarray and ours.dtype == of_array.dtype
        np.testing.assert_array_equal(ours, of_array)
    assert np.asarray(forecast) is PATHS
    copy = np.array(forecast)
    copy[:] = 0
    np.testing.assert_array_equal(forecast, PATHS)


def test_what_it_says_of_each_step():
    forecast = Forecast(np.arange(101.0)[:, None, None, None] + np.arange(6.0).reshape(1, 2, 3, 1))
    first = forecast.samples[0]
    np.testing.assert_allclose(forecast.mean, 50 + first)
    np.testing.assert_allclose(forecast.median, 50 + first)
    np.testing.assert_allclose(forecast.quantile(0.1), 10 + first)
    np.testing.assert_allclose(forecast.quantile([0.1, 0.75]), [10 + first, 75 + first])
    assert forecast.quantile((0.5,)).shape == (1, 2, 3, 1) and Forecast(PATHS).median.dtype == "float64"
    lower, upper = forecast.interval(0.9)
    np.testing.assert_allclose(lower, 5 + first)
    np.testing.assert_allclose(upper, 95 + first)


def test_the_mean_of_many_float32():
    assert Forecast(np.full((200_000, 1, 1, 1), 0.1, "float32")).mean.item() == pytest.approx(
        np.float32(0.1), abs=1e-12
    )


@pytest.fixture
def as_dict(monkeypatch):
    """In pandas' place, what gives the columns as they come."""
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=dict))


def test_columns_of_a_frame(as_dict):
    forecast = Forecast(PATHS)
    columns = forecast.to_frame([0.05, 0.5])
    assert list(columns) == ["series", "step", "feature", "mean", "0.05", "0.5"]
    for series, step, feature, mean, low, median in zip(*columns.values(), strict=True):
        place = (series, step - 1, feature)
        assert (mean, low, median) == (forecast.mean[place], forecast.quantile(0.05)[place], forecast.median[place])
    assert len(mean := columns["mean"]) == 24 and len(np.unique(mean)) == 24
    assert list(forecast.to_frame())[4:] == ["0.1", "0.5", "0.9"]
    assert list(forecast.to_frame(0.25))[4:] == ["0.25"] and len(forecast.to_frame([])) == 4
    with pytest.raises(ValueError, match=r"`quantiles` .*1\.2"):
        forecast.to_frame([0.1, 1.2])
    columns = Forecast(TOKENS).to_frame()
    assert list(columns) == ["series", "step", "sample", "token"] and len(columns["token"]) == TOKENS.size
    np.testing.assert_array_equal(TOKENS[columns["sample"], columns["series"], columns["step"] - 1], columns["token"])


def test_a_frame_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = Forecast(PATHS).to_frame()
    assert isinstance(frame, pandas.DataFrame) and frame.shape == (24, 7)
    np.testing.assert_allclose(frame.groupby(["series", "step"])["mean"].mean(), PATHS.mean((0, 3)).ravel(), rtol=1e-5)


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'pandas: pip install "zf_keras\[series\]"'):
        Forecast(PATHS).to_frame()


def test_plot_shows_the_series_that_is_asked_for():
    forecast = Forecast(PATHS)
    known = [np.full((3 + i, 4), float(i)) for i in range(2)]  # which end apart
    figure = forecast.plot(known, series=1, features=[2])
    (axis,) = figure.axes
    history, median = axis.lines
    np.testing.assert_array_equal(history.get_ydata(), [1.0] * 4)
    np.testing.assert_allclose(median.get_ydata(), [1.0, *forecast.median[1, :, 2]], rtol=1e-6)
    assert len(forecast.plot().axes) == 4


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda f: Forecast(PATHS[0, 0]), r"`samples` .*\(3, 4\)"),
        (lambda f: Forecast(PATHS[:0]), "not empty"),
        (lambda f: f.quantile(1.5), "`q` .*1.5"),
        (lambda f: f.quantile([0.5, "a"]), "`q` .*'a'"),
        (lambda f: f.interval(-1), "`level` .*-1"),
        (lambda f: f.interval([0.5]), "`level`"),
        (lambda f: f.plot(series=2), "`series` must be less than the 2"),
        (lambda f: f.plot(series=-1), "`series`"),
        (lambda f: f.plot(PATHS[0, :1]), "`history` must hold 2 series"),
        (lambda f: f.plot(PATHS[0, ..., :3]), r"`history` .*features=4"),
    ],
)
def test_errors(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(Forecast(PATHS))


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (lambda f: f.mean, "mean"),
        (lambda f: f.median, "median"),
        (lambda f: f.quantile(0.5), "quantile"),
        (lambda f: f.interval(0.5), "interval"),
        (lambda f: f.plot(), "picture"),
    ],
)
def test_tokens_have_samples_alone(ask, name):
    forecast = make("rnn", "categorical").forecast(sequences("categorical", 2), horizon=3, num_samples=4, seed=0)
    assert forecast.shape == (4, 2, 3) and np.issubdtype(forecast.dtype, np.integer)
    with pytest.raises(ValueError, match=f"is of tokens, .*no {name}"):
        ask(forecast)
