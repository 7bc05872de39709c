"""What a date says of itself, as covariates: hour, weekday, holidays, and how long it was since the date before."""

import numpy as np

from zf_keras.arguments import check_choice
from zf_keras.extras import optional_import

#: Name -> the value of each date as a number from 0, and the largest that it takes.
FEATURES = {
    "minute": (lambda times: times.minute, 59),
    "hour": (lambda times: times.hour, 23),
    "weekday": (lambda times: times.weekday, 6),
    "day_of_month": (lambda times: times.day - 1, 30),
    "day_of_year": (lambda times: times.dayofyear - 1, 365),
    "week": (lambda times: times.isocalendar().week.to_numpy() - 1, 52),
    "month": (lambda times: times.month - 1, 11),
    "quarter": (lambda times: times.quarter - 1, 3),
}
NAMES = (*FEATURES, "holiday")


def calendar_features(times, names, country=None):
    """Features of dates that are known for the future too, each from -0.5 to 0.5.

    As DeepAR has them (Salinas et al. 2020): the first hour, weekday (Monday) or month is -0.5, the last 0.5, and a
    holiday is 0.5 where another day is -0.5. Of dates with a time zone they are those of its clocks.

    Args:
        times: dates, as `pandas.DatetimeIndex` takes them.
        names: sequence of str: `"minute"`, `"hour"`, `"weekday"`, `"day_of_month"`, `"day_of_year"`, `"week"` (of
            ISO 8601), `"month"`, `"quarter"` and `"holiday"`.
        country: str or `None`. Whose holidays, such as `"DE"`, or `"DE-BY"` for a part of it, as the package
            `holidays` knows them. Defaults to `None`.

    Returns:
        NumPy array (time, len(names)), float32.

    Raises:
        ImportError: pandas or, for holidays, `holidays` is not there.
        ValueError: a name or country is not known, or `"holiday"` is asked for without a country.

    Example:

    >>> calendar_features(["2024-01-01 00:00", "2024-12-25 23:00"], ["hour", "weekday", "month"]).tolist()
    [[-0.5, -0.5, -0.5], [0.5, -0.1666666716337204, 0.5]]
    >>> calendar_features(["2024-12-24", "2024-12-25"], ["holiday"], country="DE").tolist()
    [[-0.5], [0.5]]
    """
    times = _dates(times)
    for name in names:
        check_choice("names", name, NAMES)
    columns = [_holidays(times, country) if name == "holiday" else _scaled(times, *FEATURES[name]) for name in names]
    return np.stack(columns, axis=1).astype("float32") if columns else np.zeros((len(times), 0), "float32")


def time_delta(times, unit=None):
    """How far each date is from the one before, for series of irregular steps: the logarithm of its multiple of a unit.

    Args:
        times: dates in order, as `pandas.DatetimeIndex` takes them.
        unit: what `pandas.Timedelta` takes, such as `"1h"`: a step of it is 0, one e times as long 1. Defaults to
            `None`, the median distance of these dates. Name it where several series, or a future, go with them.

    Returns:
        NumPy array (time, 1), float32. The first, which has none before it, is 0.

    Raises:
        ImportError: pandas is not there.
        ValueError: two dates are the same, or not in order, or `unit` is no positive time.

    Example:

    >>> time_delta(["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 03:00"], unit="1h").round(3).tolist()
    [[0.0], [0.0], [0.6930000185966492]]
    """
    times = _dates(times)
    steps = np.diff(times.asi8) / 1e9
    if (steps <= 0).any():
        at = int(np.argmax(steps <= 0))
        raise ValueError(f"`times` must rise. Received: {times[at + 1]} at index {at + 1}, after {times[at]}.")
    if unit is None:
        seconds = np.median(steps) if len(steps) else 1.0
    else:
        seconds = optional_import("pandas", "series", "A time").Timedelta(unit).total_seconds()
        if not seconds > 0:
            raise ValueError(f"`unit` must be a positive time, such as '1h'. Received: unit={unit!r}.")
    return np.concatenate([np.zeros(min(1, len(times))), np.log(steps / seconds)])[:, None].astype("float32")


def check_country(country):
    """Raises a `ValueError` for a country whose holidays are not known."""
    _country_holidays(country, [])


def _dates(times):
    return optional_import("pandas", "series", "A date").DatetimeIndex(times).as_unit("ns")


def _scaled(times, function, most):
    return np.asarray(function(times), "float64") / most - 0.5


def _holidays(times, country):
    if country is None:
        raise ValueError('The feature "holiday" needs a country, such as "DE". Received: None.')
    found = _country_holidays(country, range(times.year.min(), times.year.max() + 1) if len(times) else [])
    return np.fromiter((day in found for day in times.date), bool, len(times)) - 0.5


def _country_holidays(country, years):
    holidays = optional_import("holidays", "series", "A calendar of holidays")
    name, _, part = country.partition("-")
    try:
        return holidays.country_holidays(name, subdiv=part or None, years=years)
    except NotImplementedError as error:
        raise ValueError(
            f"The package `holidays` must know the country, such as 'DE' or 'DE-BY'. Received: {country!r}."
        ) from error
