"""Series in equal steps: their frequency, what is missing, and what comes after them."""

from collections import Counter

import numpy as np

from zf_keras.datasets.series_files import import_pandas

_PIECE = 8  # dates of which a frequency is told, where a series has gaps
#: Steps of a season, by the first part of pandas's name of the frequency: of a day, a week or a year.
_SEASONS = {"s": 3600, "min": 1440, "h": 24, "D": 7, "B": 5, "W": 1, "MS": 12, "ME": 12, "QS": 4, "QE": 4}


def frequency_of(series):
    """pandas's name of the frequency of the first of some series that tells it; `None` where none does."""
    for each in series:
        pieces = [each.times[i : i + _PIECE] for i in range(min(max(1, len(each.times) - _PIECE + 1), 100))]
        found = _inferred(each.times) or Counter(filter(None, map(_inferred, pieces))).most_common(1)
        if found:
            return found if isinstance(found, str) else found[0][0]
    return None


def check_frequency(frequency):
    """Raises a `ValueError` for what is no frequency of pandas."""
    try:
        import_pandas().tseries.frequencies.to_offset(frequency)
    except ValueError as error:
        raise ValueError(
            f"`frequency` must be one of pandas, such as 'h', 'D' or 'MS'. Received: frequency={frequency!r}."
        ) from error


def season_length(frequency):
    """Steps of the season that is usual for a frequency, 1 for none.

    Example:

    >>> [season_length(frequency) for frequency in ("h", "15min", "D", "MS", "QE-DEC", "YS")]
    [24, 96, 7, 12, 4, 1]
    """
    offset = import_pandas().tseries.frequencies.to_offset(frequency)
    season = _SEASONS.get(offset.name.partition("-")[0], 1)
    return season if season % offset.n else season // offset.n


def on_grid(series, frequency, gaps="error"):
    """A series with all its steps; those that had no row are NaN.

    Args:
        series: `Series`.
        frequency: str. pandas's name.
        gaps: `"error"` or `"missing"`. Defaults to `"error"`.

    Raises:
        ValueError: the series is not of the frequency, a covariate is not there, or with `"error"` a target.
    """
    first, last = series.first_and_last()
    series = series.part(first, None)  # the rows after the last target say what is known of the future
    name, times = f"series {series.name!r}", series.times
    grid = import_pandas().date_range(times[0], times[-1], freq=frequency) if len(times) else times
    place = grid.get_indexer(times)
    if (place < 0).any() or len(times) < len(grid):
        own = _inferred(times)
        if own and own != frequency:
            raise ValueError(f"{name} is of frequency {own!r}, where {frequency!r} is expected of all")
    if (place < 0).any():
        raise ValueError(f"{name}: {times[place < 0][0]} is no step of frequency {frequency!r} from {times[0]}")
    if len(times) < len(grid):
        absent = grid[~np.isin(np.arange(len(grid)), place)]
        if gaps == "error":
            raise ValueError(
                f"{name} has no row for {absent[0]}, nor for {len(absent) - 1} other steps of frequency {frequency!r}: "
                "add them, or take them as missing by gaps='missing'"
            )
        if series.covariates.shape[1]:
            raise ValueError(f"{name} has no row for {absent[0]}: covariates must be known at every step")
    if np.isnan(series.covariates).any():
        row, column = np.argwhere(np.isnan(series.covariates))[0]
        raise ValueError(f"{name}: covariate {column + 1} has no value at {times[row]}: it must be known at every step")
    whole = {
        key: np.full((len(grid), values.shape[1]), np.nan)
        for key, values in (("targets", series.targets), ("covariates", series.covariates))
    }
    for key, values in whole.items():
        values[place] = getattr(series, key)
    known = whole["targets"][: grid.searchsorted(times[last - first - 1]) + 1] if last else whole["targets"][:0]
    if gaps == "error" and np.isnan(known).any():
        row, column = np.argwhere(np.isnan(known))[0]
        raise ValueError(f"{name} has no value of target {column + 1} at {grid[row]}: fill it, or take gaps='missing'")
    return series._replace(times=grid, **whole)


def dates_after(time, frequency, count):
    """The `count` dates that follow one, a `DatetimeIndex`."""
    return import_pandas().date_range(time, periods=count + 1, freq=frequency)[1:]


def ahead(series, settings, survey, horizon):
    """A series up to `horizon` steps after its last value, with targets of NaN there, and the steps of its values.

    Args:
        series: `Series`, of `read`.
        settings: dict. Of the manifest.
        survey: dict. Likewise.
        horizon: int.

    Raises:
        ValueError: it has no value, or its covariates do not reach so far.
    """
    known = series.first_and_last()[1]
    if not known:
        raise ValueError(f"series {series.name!r} has no value")
    there = len(series.times) - known
    if settings["covariates"] and there < horizon:
        raise ValueError(
            f"series {series.name!r} has {there} rows after its last value, and its covariates must be known for the "
            f"{horizon} steps of the forecast: add rows with a blank target"
        )
    past, future = series.part(0, known), dates_after(series.times[known - 1], survey["frequency"], horizon)
    covariates = series.covariates[known : known + horizon] if settings["covariates"] else np.zeros((horizon, 0))
    targets = np.full((horizon, past.targets.shape[1]), np.nan)
    return (
        past._replace(
            times=past.times.append(future),
            targets=np.concatenate([past.targets, targets]),
            covariates=np.concatenate([past.covariates, covariates]),
        ),
        known,
    )


def _inferred(times):
    """The frequency of all of some dates, `None` where they have none."""
    return import_pandas().infer_freq(times) if len(times) > 2 else None
