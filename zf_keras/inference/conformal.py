"""Forecasts put right by how earlier ones erred: split conformal prediction."""

import numpy as np

from zf_keras.inference.scores import known_of


def recalibrated(forecast, past, actual, mask=None):
    """This forecast with quantiles moved by how far those of an earlier one were off, such as on the validation part.

    Each of the n paths stands for a level, k / (n - 1) in the order of its reading. That order statistic is moved, at
    each step and feature by itself, by an order statistic of its errors in the N earlier forecasts, relative to the
    spread of each: the conformalised quantile regression of Romano et al. (2019, theorem 2), for all levels. A path
    keeps its rank at each step, so that the dependence between steps stays the forecast's.

    If earlier and new series are exchangeable, such as drawn from one population at one time, then its
    `interval(level)` holds a new reading with probability `level` at least, whatever the model: over series and earlier
    forecasts, of each step by itself, at levels whose ends are multiples of 1 / (n - 1) and no nearer to 0 or 1 than
    1 / (N + 1). It is at most 2 / (N + 1) more, where no values coincide and no quantiles cross. Windows of one series
    that follow on each other are not exchangeable: where it drifts there is no guarantee.

    Args:
        past: `Forecast` of the same horizon and features, of any series and number of paths.
        actual: array (batch of `past`, horizon, features), what came then. NaN where a reading is missing.
        mask: array (batch of `past`, horizon), true where `actual` is known. Defaults to `None`, all that is not NaN.

    Returns:
        `Forecast` of as many paths.

    Raises:
        ValueError: names what is wrong with an argument, or the forecast is of tokens or of one path.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> actual = rng.normal(size=(400, 12, 1))
    >>> forecast = Forecast(0.5 * rng.normal(size=(101, 400, 12, 1)))  # too sure of itself
    >>> past, new = Forecast(forecast[:, :200]), Forecast(forecast[:, 200:])
    >>> better = new.recalibrated(past, actual[:200])
    >>> [round(each.scores(actual[200:])["coverage"], 1) for each in (new, better)]
    [0.6, 0.9]
    """
    forecast._check_numbers("recalibration")
    count = len(forecast)
    if count < 2:
        raise ValueError("A forecast of one path has no quantiles to be recalibrated.")
    if not isinstance(past, type(forecast)) or past.shape[2:] != forecast.shape[2:]:
        raise ValueError(
            f"`past` must be a Forecast of the horizon and features {forecast.shape[2:]}, as this one. "
            f"Received: {past!r}."
        )
    rank = np.arange(count)
    errors = (known_of(past, actual, mask) - past.quantile(rank / (count - 1))) / _spread(past)
    errors.sort(axis=1)  # NaN is last
    known = (~np.isnan(errors[0])).sum(axis=0)  # (horizon, features)
    if not known.all():
        raise ValueError("`actual` must hold a known reading of each step and feature.")
    shift = np.take_along_axis(errors, _chosen(rank.reshape(-1, 1, 1), known)[:, None], axis=1)
    moved = np.sort(forecast.samples, axis=0) + shift * _spread(forecast)
    # In order again, outwards from the middle: no interval gets narrower.
    middle = count // 2
    moved[middle:] = np.maximum.accumulate(moved[middle:])
    moved[middle::-1] = np.minimum.accumulate(moved[middle::-1])
    ranks = forecast.samples.argsort(axis=0).argsort(axis=0)
    return type(forecast)(np.take_along_axis(moved, ranks, axis=0))


def _chosen(rank, known):
    """Which of so many sorted errors moves a path of this rank, from 0, in integers: a level times (known + 1).

    From the middle up the level is rounded up, below down, so that intervals are wide enough.
    """
    last = len(rank) - 1
    product = (known + 1) * rank
    place = np.where(rank >= len(rank) // 2, -(-product // last), product // last)
    return np.clip(place, 1, known) - 1


def _spread(forecast):
    """Standard deviation of each reading; 1 where all paths are the same."""
    spread = forecast.samples.std(axis=0, dtype="float64")
    return np.where(spread > 0, spread, 1.0)
