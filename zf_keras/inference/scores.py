"""How good a forecast was, judged by libraries made for it: scoringrules and utilsforecast."""

import numpy as np

from zf_keras.arguments import check_positive_int, check_probability
from zf_keras.extras import optional_import

#: The levels of the weighted quantile loss of GluonTS and AutoGluon.
DECILES = tuple(k / 10 for k in range(1, 10))


def scores(forecast, actual, history=None, season=1, level=0.9, quantiles=DECILES, mask=None, by_series=False):
    """How good the forecast was, now that it is known what came. Less is better, but for `coverage`.

    A mean is over all readings that are known, of a step and a feature each. What is missing is left out.

    - `crps`: continuous ranked probability score, in the units of the readings: the absolute error of a forecast
      that is one path. It and `energy_score` are estimated without bias, whatever the number of paths (Ferro 2014).
    - `energy_score`: that of whole paths, all steps and features together (Gneiting and Raftery 2007, eq. 22); a
      mean over series.
    - `interval_score`: Winkler's, of `interval(level)`: its width, and what it misses by times 2 / (1 - level).
    - `quantile_score`: pinball loss, the mean over `quantiles`.
    - `wql`: weighted quantile loss, 2 * the sum of pinball losses / the sum of |actual|, the mean over `quantiles`, as
      in GluonTS and AutoGluon.
    - `coverage`: how often the reading lay in `interval(level)`; `level` is what it should be.
    - `smape`: |actual - median| / (|actual| + |median|), in [0, 1]; GluonTS's is twice that.
    - `mase`, with a `history`: absolute error of the median by that of the seasonal naive forecast within the history
      (Hyndman and Koehler 2006), for each series and feature. Where the latter is 0 or unknown, it is left out.

    Args:
        actual: array (batch, horizon, features). NaN where a reading is missing.
        history: array (batch, time, features), or a list of (time, features) if they end apart: what was known, in the
            order of the forecast, NaN where missing. Defaults to `None`: no `mase`.
        season: int. Steps of a season, for `mase`. Defaults to `1`.
        level: number in (0, 1), of `interval_score` and `coverage`. Defaults to `0.9`.
        quantiles: sequence of numbers in [0, 1], of `quantile_score` and `wql`. Defaults to the deciles.
        mask: array (batch, horizon), true where `actual` is known. Defaults to `None`, all that is not NaN.
        by_series: bool. Whether each score is an array (batch,) rather than one number, NaN of a series of which
            nothing is known. Defaults to `False`.

    Returns:
        Dict of floats, or of NumPy arrays (batch,), by name. NaN where a score has no value, such as `wql` where all
        that came is 0.

    Raises:
        ImportError: scoringrules or utilsforecast is not there.
        ValueError: names what is wrong with an argument, or the forecast is of tokens.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> forecast = Forecast(rng.normal(size=(500, 64, 12, 1)))
    >>> found = forecast.scores(rng.normal(size=(64, 12, 1)), history=rng.normal(size=(64, 48, 1)), season=12)
    >>> {name: round(value, 2) for name, value in found.items() if name in ("crps", "coverage", "mase")}
    {'crps': 0.55, 'coverage': 0.91, 'mase': 0.7}
    """
    forecast._check_numbers("score")
    actual = known_of(forecast, actual, mask)
    check_positive_int("season", season)
    if not 0 < check_probability("level", level) < 1:
        raise ValueError(f"`level` must be in (0, 1). Received: level={level}.")
    levels = np.array([check_probability("quantiles", q) for q in np.atleast_1d(quantiles).tolist()])
    if not len(levels):
        raise ValueError("`quantiles` must hold at least one level. Received: none.")
    rules = optional_import("scoringrules", "series", "A score")
    known = ~np.isnan(actual)
    y, counts = actual[known], known.sum(axis=1)
    paths = forecast.samples[:, known].astype("float64")
    ends = forecast.interval(level)

    def by_feature(values):
        """The mean over steps of values by reading, (batch, features)."""
        whole = np.zeros(actual.shape)
        whole[known] = values
        return _ratio(whole.sum(axis=1), counts)

    pinball = by_feature(rules.quantile_score(y, forecast.quantile(levels)[:, known], levels[:, None]).mean(axis=0))
    interval = rules.interval_score(y, *(end[known] for end in ends), 1 - level)
    means = {
        "crps": by_feature(rules.crps_ensemble(y, paths, m_axis=0, estimator="pwm" if len(paths) > 1 else "nrg")),
        "interval_score": by_feature(interval),
        "quantile_score": pinball,
    } | _means_by_utilsforecast(forecast, actual, history, season, ends)
    axis = 1 if by_series else None
    found = {name: _mean(values, counts, axis) for name, values in means.items()}
    size = np.where(known, np.abs(actual), 0).sum(axis=1)
    found["wql"] = _ratio(2 * (np.nan_to_num(pinball) * counts).sum(axis), size.sum(axis))
    energy = _energy(rules, forecast.samples, actual)
    found["energy_score"] = energy if by_series else np.nanmean(energy)
    return found if by_series else {name: float(value) for name, value in found.items()}


def known_of(forecast, actual, mask=None):
    """The argument `actual` as float64 of the shape of a path of the forecast, NaN where it is missing or masked.

    Raises:
        ValueError: it has another shape, is infinite, or is missing altogether.
    """
    shape = forecast.shape[1:]
    actual = np.array(actual, "float64")
    if actual.shape != shape:
        raise ValueError(f"`actual` must be of shape {shape}, as the forecast. Received: shape={actual.shape}.")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != shape[:2] or not np.isin(mask, (0, 1)).all():
            raise ValueError(
                f"`mask` must hold 0 and 1 (or booleans), of shape {shape[:2]}. Received: shape={mask.shape}."
            )
        actual[~mask.astype(bool)] = np.nan
    if np.isinf(actual).any():
        raise ValueError("`actual` must be finite, or NaN where it is missing. It holds infinity.")
    if np.isnan(actual).all():
        raise ValueError("`actual` must hold at least one known reading. All are missing.")
    return actual


def _means_by_utilsforecast(forecast, actual, history, season, ends):
    """Scores by name, (batch, features) each, the mean over the steps that are known."""
    pandas, losses = (optional_import(name, "series", "A score") for name in ("pandas", "utilsforecast.losses"))
    batch, _, width = actual.shape

    def frame(**columns):
        """A row for each reading; a series of utilsforecast is one feature of one of ours."""
        series, step, feature = np.indices(columns["y"].shape).reshape(3, -1)
        ids = {"unique_id": series * width + feature, "ds": step}
        return pandas.DataFrame(ids | {name: column.ravel() for name, column in columns.items()})

    level = 90  # a name; the ends are given
    lower, upper = ends
    rows = frame(y=actual, f=forecast.median, **{f"f-lo-{level}": lower, f"f-hi-{level}": upper}).dropna()
    found = {
        "coverage": losses.coverage(rows, ["f"], level=level),
        "smape": losses.smape(rows, ["f"]),
    }
    if history is not None:
        known = frame(y=_padded(history, batch, width))
        found["mase"] = losses.mase(rows, ["f"], seasonality=season, train_df=known)
    ids = np.arange(batch * width)
    return {
        name: each.set_index("unique_id")["f"].reindex(ids).to_numpy("float64").reshape(batch, width)
        for name, each in found.items()
    }


def _padded(history, batch, width):
    """The argument `history` as one array, with NaN behind those that are shorter."""
    history = [np.asarray(x, "float64") for x in history]
    shapes = [x.shape for x in history]
    if len(history) != batch or any(len(shape) != 2 or shape[1] != width for shape in shapes):
        raise ValueError(
            f"`history` must hold {batch} series of shape (time, features={width}), as the forecast. "
            f"Received: {len(history)} of shapes {sorted(set(shapes))}."
        )
    whole = np.full((batch, max(map(len, history)), width), np.nan)
    for row, x in zip(whole, history, strict=True):
        row[: len(x)] = x
    return whole


def _energy(rules, samples, actual):
    """The energy score of each series, (batch,); NaN where nothing is known."""
    estimator = "fair" if len(samples) > 1 else "nrg"
    found = np.full(len(actual), np.nan)
    for i, y in enumerate(actual):  # one at a time: all pairs of paths are compared
        if (known := ~np.isnan(y)).any():
            found[i] = rules.es_ensemble(y[known], samples[:, i][:, known].astype("float64"), estimator=estimator)
    return found


def _mean(values, counts, axis):
    """The mean of means of so many readings each, without those that are not finite."""
    there = np.isfinite(values)
    weights = np.where(there, counts, 0)
    return _ratio((np.where(there, values, 0) * weights).sum(axis), weights.sum(axis))


def _ratio(numerator, denominator):
    """NaN where the denominator is 0."""
    return numerator / np.where(denominator > 0, denominator, np.nan)
