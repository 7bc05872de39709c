"""Series of CSV and Parquet files, as they come: each error names the series, the row and what is accepted."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zf_keras.extras import optional_import

SUFFIXES = (".csv", ".parquet")
LAYOUTS = ("long", "wide", "files")
_ZONED = r"\d:\d\d.*(?:Z|[+-]\d\d:?\d\d)$"


class Columns(NamedTuple):
    """The layout of files, and which of their columns is what: as of `zf_keras.datasets.series.prepare`."""

    layout: str
    series: str
    time: str
    target: list
    covariates: list
    static: list
    categories: list


class Series(NamedTuple):
    name: str
    times: Any  # pandas.DatetimeIndex
    targets: Any  # (time, targets), NaN where a value is missing
    covariates: Any  # (time, covariates), as they are in the file
    static: list  # of floats
    categories: list  # of str

    def part(self, start, stop):
        """The steps from `start` to before `stop`."""
        steps = slice(start, stop)
        return self._replace(times=self.times[steps], targets=self.targets[steps], covariates=self.covariates[steps])

    def first_and_last(self):
        """Index of the first step with a target, and of that after the last; 0 and 0 where there is none."""
        (there,) = np.nonzero(~np.isnan(self.targets).all(axis=1))
        return (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)


def import_pandas():
    return optional_import("pandas", "series", "A file of series")


def read_series(path, columns, time_zone=None):
    """The series of a file, in the order of their names' first rows, each in the order of its dates.

    Args:
        path: path. Of a CSV or Parquet file, which is read whole.
        columns: `Columns`.
        time_zone: str or `None`. As of `prepare`. Defaults to `None`.

    Returns:
        List of `Series`.

    Raises:
        ImportError: pandas, or for Parquet pyarrow, is not there.
        ValueError: names the series and the row, and says what is accepted. The first row after the header is row 1.
    """
    frame = _read(Path(path), columns)
    if frame.empty:
        raise ValueError("it has no rows")
    if columns.layout == "files":
        frame[columns.series] = Path(path).stem
    wide = columns.layout == "wide"
    if wide:
        numbers = [name for name in frame.columns if name != columns.time]
        if not numbers:
            raise ValueError(f"no column beside {columns.time!r} holds a series")
    else:
        numbers = [*columns.target, *columns.covariates, *columns.static]
        blank = frame[columns.series].isna()
        if blank.any():
            raise ValueError(f"row {blank.to_numpy().argmax() + 1} names no series in the column {columns.series!r}")
    name_of = (lambda row: "") if wide else lambda row: f"series {str(frame[columns.series].iloc[row])!r}, "
    times = _times(frame[columns.time], time_zone, name_of)
    for name in numbers:
        frame[name] = _numbers(frame[name], name, name_of)
    if wide:
        return [
            _series(name, times, frame[[name]].rename(columns={name: columns.target[0]}), columns, wide)
            for name in numbers
        ]
    names, first = np.unique(frame[columns.series].astype(str), return_index=True)
    rows = frame.groupby(frame[columns.series].astype(str), sort=False).indices
    return [_series(str(name), times, frame, columns, rows=rows[name]) for name in names[np.argsort(first)]]


def _read(path, columns):
    pandas = import_pandas()
    texts = [columns.time, columns.series, *columns.categories]
    try:
        if path.suffix.lower() == ".csv":
            frame = pandas.read_csv(path, converters=dict.fromkeys(texts, str.strip))  # which leave the name NA be
            names = [name for name in frame if name in texts]
            frame[names] = frame[names].where(frame[names] != "")
        else:
            optional_import("pyarrow", "series", "A Parquet file")
            frame = pandas.read_parquet(path)
    except (ValueError, OSError, pandas.errors.ParserError) as error:  # pyarrow's own errors are of these
        raise ValueError(f"it can't be read: {error}") from error
    if columns.time not in frame and frame.index.name == columns.time:
        frame = frame.reset_index()
    wanted = {"time": [columns.time]}
    if columns.layout != "wide":
        wanted |= {name: getattr(columns, name) for name in ("target", "covariates", "static", "categories")}
    if columns.layout == "long":
        wanted["series"] = [columns.series]
    there = [*frame.columns, *([columns.series] if columns.layout == "files" else [])]
    for argument, names in wanted.items():
        for name in names:
            if name not in there:
                raise ValueError(
                    f"there is no column {name!r}, which `{argument}` says. There are {', '.join(map(repr, frame))}"
                )
    return frame.reset_index(drop=True)


def _series(name, times, frame, columns, wide=False, rows=None):
    """The series in some rows of a file, in the order of its dates."""
    rows = np.arange(len(frame)) if rows is None else rows
    rows = rows[np.argsort(times[rows], kind="stable")]
    times = times[rows]
    same = np.flatnonzero(times[1:] == times[:-1])
    if len(same):
        which = " and ".join(str(row + 1) for row in sorted(rows[same[0] : same[0] + 2]))
        raise ValueError(f"series {name!r}: the rows {which} have one date, {times[same[0]]}: each may come once")
    part = frame.iloc[rows]
    targets = part[columns.target].to_numpy("float64")
    if wide:
        return Series(name, times, targets, np.zeros((len(part), 0)), [], [name for _ in columns.categories])
    for column in (*columns.static, *columns.categories):
        values = part[column]
        if values.isna().any() or values.nunique() > 1:
            what = "is blank in a row" if values.isna().any() else f"holds {', '.join(map(str, values.unique()[:3]))}"
            raise ValueError(f"series {name!r}: column {column!r} must be one value in all its rows, but it {what}")
    static = [float(part[column].iloc[0]) for column in columns.static]
    categories = [str(part[column].iloc[0]) for column in columns.categories]
    return Series(name, times, targets, part[columns.covariates].to_numpy("float64"), static, categories)


def _numbers(values, name, name_of):
    """A column as float64; blank ones are NaN."""
    numbers = import_pandas().to_numeric(values, errors="coerce").to_numpy("float64")
    wrong = (np.isnan(numbers) & values.notna().to_numpy()) | np.isinf(numbers)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name_of(row)}row {row + 1}: {str(values.iloc[row])!r} in the column {name!r} is no finite number"
        )
    return numbers


def _times(values, time_zone, name_of):
    """A column as a `DatetimeIndex`, with a time zone if it says one."""
    pandas = import_pandas()

    def check(wrong, message):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"{name_of(row)}row {row + 1}: {str(values.iloc[row])!r} {message}")

    check(values.isna(), "is no date")
    if pandas.api.types.is_datetime64_any_dtype(values):
        times = pandas.DatetimeIndex(values).as_unit("ns")
    else:
        texts = values.astype(str).str.strip()
        zoned = texts.str.contains(_ZONED).to_numpy()
        if zoned.any():
            check(~zoned, "has no time zone, though other rows do: write all with their offset from UTC, or none")
        times = pandas.to_datetime(texts, format="ISO8601", errors="coerce", utc=bool(zoned.any()))
        check(times.isna(), "is no date of ISO 8601, such as 2024-01-31 or 2024-01-31 14:00")
        times = pandas.DatetimeIndex(times).as_unit("ns")
        if zoned.any():
            offsets = texts.str.extract(r"(Z|[+-]\d\d:?\d\d)$")[0].str.replace(":", "").replace("Z", "+0000")
            other = offsets != offsets.iloc[0]
            if time_zone is None:
                check(
                    other,
                    f"is {offsets[other.argmax()]} from UTC, where row 1 is {offsets.iloc[0]}: say by `time_zone` "
                    "which clocks they are of, such as 'Europe/Berlin', or 'UTC'",
                )
                time_zone = pandas.Timestamp(f"2000-01-01 00:00{offsets.iloc[0]}").tz
    if time_zone is None:
        return times
    if times.tz is not None:
        return times.tz_convert(time_zone)
    times = times.tz_localize(time_zone, ambiguous="NaT", nonexistent="NaT")
    check(times.isna(), f"comes twice or never in {time_zone}, where clocks change: write dates with their offset")
    return times
