"""Calendar features against dates worked out by hand."""

import numpy as np
import pytest

from zf_keras.datasets.calendar import NAMES, calendar_features, time_delta

pandas = pytest.importorskip("pandas")


def test_by_hand():
    """Thursday, 29 February 2024, 13:45: day 60 of the year, in week 9 and in the first quarter."""
    features = calendar_features(["2024-02-29 13:45"], NAMES[:-1])
    by_hand = [45 / 59, 13 / 23, 3 / 6, 28 / 30, 59 / 365, 8 / 52, 1 / 11, 0 / 3]
    np.testing.assert_allclose(features, np.array([by_hand]) - 0.5, rtol=1e-6)
    assert features.dtype == "float32" and calendar_features(["2024-01-01"], []).shape == (1, 0)


def test_ends_are_half():
    """The first and the last that there are: of weeks, 2020 has 53, and 1 January 2021 is still in it."""
    first = calendar_features(["2024-01-01 00:00"], NAMES[:-1])
    last = calendar_features(["2020-12-31 23:59", "2021-01-01"], NAMES[:-1])
    assert (first == -0.5).all()
    expected = [0.5, 0.5, 3 / 6 - 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    np.testing.assert_allclose(last[0], expected, rtol=1e-6)
    assert last[1, NAMES.index("week")] == 0.5


def test_hours_are_those_of_the_clocks():
    """In Berlin, 31 March 2024 had no hour 2, and 27 October had it twice."""
    for start, hours in (("2024-03-31", [0, 1, 3, 4]), ("2024-10-27", [0, 1, 2, 2])):
        times = pandas.date_range(start, periods=4, freq="h", tz="Europe/Berlin")
        np.testing.assert_allclose((calendar_features(times, ["hour"])[:, 0] + 0.5) * 23, hours, atol=1e-5)


def test_holidays():
    pytest.importorskip("holidays")
    days = ["2024-10-03", "2024-11-01", "2024-11-02", "2025-10-03 17:00"]  # of unity, All Saints' in the south, none
    assert (calendar_features(days, ["holiday"], "DE")[:, 0] > 0).tolist() == [True, False, False, True]
    assert (calendar_features(days, ["weekday", "holiday"], "DE-BY")[:, 1] > 0).tolist() == [True, True, False, True]
    for country, message in ((None, "needs a country"), ("XX", "must know the country")):
        with pytest.raises(ValueError, match=message):
            calendar_features(days, ["holiday"], country)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"`names` must be one of 'minute', .*Received: names='hours'"):
        calendar_features(["2024-01-01"], ["hours"])


def test_time_delta():
    times = ["2024-01-01 00:00", "2024-01-01 00:30", "2024-01-01 01:30", "2024-01-01 03:30"]
    np.testing.assert_allclose(time_delta(times)[:, 0], [0, np.log(0.5), 0, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(time_delta(times, "30min")[:, 0], [0, 0, np.log(2), np.log(4)], rtol=1e-6)
    assert time_delta(times[:1]).tolist() == [[0]] and time_delta([]).shape == (0, 1)
    # An hour that clocks skip is not there.
    night = pandas.date_range("2024-03-31 01:00", periods=2, freq="h", tz="Europe/Berlin")
    assert time_delta(night, "1h").tolist() == [[0], [0]]
    with pytest.raises(ValueError, match=r"`times` must rise\. Received: 2024-01-01 00:30:00 at index 2, after 2024"):
        time_delta([times[0], times[1], times[1]])
    with pytest.raises(ValueError, match="`unit` must be a positive time"):
        time_delta(times, "-1h")
