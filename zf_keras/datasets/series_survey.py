"""What is known of series before they are written, by their training parts alone, and what a model reads of each."""

import contextlib
import functools

import numpy as np

from zf_keras.data.moments import Moments
from zf_keras.datasets.calendar import calendar_features
from zf_keras.datasets.series_files import read_series
from zf_keras.datasets.series_grid import frequency_of, on_grid, season_length


class Survey:
    """What is known of all files before they are written; called, a dict for the manifest."""

    def __init__(self, paths, columns, settings, on_error):
        self.paths = paths
        self.columns = columns
        self.settings = settings
        self.on_error = on_error
        self.as_read = functools.lru_cache(1)(self.as_read)
        self.whole = functools.lru_cache(1)(self.whole)

    def as_read(self, file):
        return read_series(self.paths[file], self.columns, self.settings["time_zone"])

    def whole(self, file, frequency):
        """The series of a file, all steps from the first to the last value."""
        found = [on_grid(each, frequency, self.settings["gaps"]) for each in self.as_read(file)]
        return [each.part(0, each.first_and_last()[1]) for each in found]

    def __call__(self):
        frequency = self.settings["frequency"] or self._frequency()
        known, numbers = {}, {name: Moments() for name in (*self.columns.covariates, *self.columns.static)}
        values = {name: set() for name in self.columns.categories}
        short, unreadable, zones = [], {}, {}
        for file in self.paths:
            try:
                of_file = self._usable(file, frequency, known, zones)
            except ValueError as error:
                if self.on_error == "stop":
                    raise ValueError(f"{file}: {error}") from error
                unreadable[file] = str(error)
                continue
            for each in of_file:
                if not self._long_enough(each):
                    short.append(each.name)
                    continue
                known[each.name] = self._dates(each)
                # Nothing but the training part is looked at.
                train = self.part(each, "train")
                for name, column in zip(self.columns.covariates, train.covariates.T, strict=True):
                    numbers[name].add(column)
                for name, value in zip(self.columns.static, train.static, strict=True):
                    numbers[name].add([value])
                for name, value in zip(self.columns.categories, train.categories, strict=True):
                    values[name].add(value)
        return {
            "frequency": frequency,
            "season_length": self.settings["season"] or season_length(frequency),
            "time_zone": next(iter(zones), None),
            "covariates": [*self.columns.covariates, *self.settings["calendar"]],
            "scales": {name: moments.statistics() for name, moments in numbers.items()},
            "vocabularies": {name: sorted(names) for name, names in values.items()},
            "series": [{"name": name, **dates} for name, dates in known.items()],
            "short": short,
            "unreadable": unreadable,
        }

    def _frequency(self):
        def readable():
            for file in self.paths:
                with contextlib.suppress(ValueError):  # said as it is read again
                    yield from self.as_read(file)

        found = frequency_of(readable())
        if found is None:
            for file in self.paths:
                try:
                    self.as_read(file)
                except ValueError as error:
                    raise ValueError(f"{file}: {error}") from error
            raise ValueError("No dates tell their frequency: give `frequency`, such as 'h', 'D' or 'MS'.")
        return found

    def _usable(self, file, frequency, known, zones):
        """The series of a file, checked against those before."""
        found = self.whole(file, frequency)
        for each in found:
            if each.name in known:
                raise ValueError(f"series {each.name!r} is in another file too")
            zone = None if each.times.tz is None else str(each.times.tz)
            if zone not in zones and zones:
                raise ValueError(
                    f"series {each.name!r} has the time zone {zone}, where others have {next(iter(zones))}"
                )
            zones[zone] = True
            if self.settings["short"] == "error" and not self._long_enough(each):
                raise ValueError(
                    f"series {each.name!r} has {len(each.times)} steps, where horizon={self.settings['horizon']} needs "
                    f"{self._least}: leave such series out by short='drop'"
                )
        return found

    @property
    def _least(self):
        return 2 * self.settings["horizon"] + 1

    def _long_enough(self, series):
        return len(series.times) >= self._least

    def _dates(self, series):
        times, horizon = series.times, self.settings["horizon"]
        dates = {"start": times[0], "valid": times[-2 * horizon], "test": times[-horizon], "end": times[-1]}
        return {name: date.isoformat() for name, date in dates.items()}

    def part(self, series, split):
        """What a split holds of a series."""
        horizon, context, count = self.settings["horizon"], self.settings["context"], len(series.times)
        stop = count - {"train": 2, "valid": 1, "test": 0}[split] * horizon
        return series.part(0 if split == "train" else max(0, stop - horizon - context), stop)

    def sequences(self, file, split, found):
        """The sequences of a file that go into a split."""
        if file in found["unreadable"]:
            if split == "train":  # skipped, and counted once
                raise ValueError(found["unreadable"][file])
            return
        for each in self.whole(file, found["frequency"]):
            if self._long_enough(each):
                yield sequence_of(self.part(each, split), self.settings, found)


def sequence_of(series, settings, survey):
    """A series as a model reads it: targets (time, targets), or a dict of them and what stands beside.

    Args:
        series: `Series`, of equal steps.
        settings: dict. Of the manifest.
        survey: dict. Likewise.

    Raises:
        ValueError: a category is not one of the training part.
    """
    scales = survey["scales"]
    known = _standardised(series.covariates, settings["covariates"], scales)
    features = calendar_features(series.times, settings["calendar"], settings["holidays"])
    ids = []
    for name, value in zip(settings["categories"], series.categories, strict=True):
        names = survey["vocabularies"][name]
        if value not in names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise ValueError(f"series {series.name!r}: {name} {value!r} is none of the training part's: {shown}")
        ids.append(names.index(value))
    beside = {
        "covariates": np.concatenate([known, features], axis=1),
        "static": _standardised(np.array([series.static]), settings["static"], scales)[0],
        "categories": np.array(ids, "int32"),
    }
    beside = {key: value for key, value in beside.items() if value.shape[-1]}
    targets = series.targets.astype("float32")
    return {"targets": targets, **beside} if beside else targets


def _standardised(values, names, scales):
    means, stds = (np.array([scales[name][key] for name in names]) for key in ("mean", "std"))
    return ((values - means) / np.where(stds > 0, stds, 1)).astype("float32")
