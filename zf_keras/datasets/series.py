"""Time series: CSV and Parquet files of one's own, with covariates, calendar features, and a split by time.

Source, licence and citation: those of the files.

Layout: a file, a folder with files (.csv, .parquet) anywhere below it, or an archive of such a folder. By `layout`,

    "long"     a row a series and step: columns `unique_id`, `ds`, `y` and further ones, under any names
    "wide"     a row a step and a column a series, beside the dates; before a series begins and after it ends, blank
    "files"    a file a series, which has its name; otherwise as "long", without `unique_id`

Dates are those of ISO 8601, with or without an offset from UTC. Rows may be in any order. Each series must have equal
steps, the same for all; what is missing between its first and its last value is an error, or a missing value. Rows
after its last value are not read: they may hold what is known of the future.

The parts are split by time, with n steps of a series and a horizon h:

    train    steps 1 to n - 2h of every series, read in windows of context + h steps
    valid    steps to n - h: the h steps to forecast, and `context` steps before them
    test     steps to n, likewise

So nothing of the training part, its statistics and names of categories included, is of a later date than its series'
cutoff, which the manifest has. A log-likelihood of valid or test counts the steps of the context too.
A file is read whole; of a folder one file at a time is in memory.
"""

import contextlib
from pathlib import Path

from zf_keras import pictures
from zf_keras.arguments import check_choice, check_positive_int
from zf_keras.data.files import file_state
from zf_keras.data.shard_writer import write_shards
from zf_keras.data.windows import Windows
from zf_keras.datasets import calendar as calendars
from zf_keras.datasets import sources
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.series_files import LAYOUTS, SUFFIXES, Columns, import_pandas, read_series
from zf_keras.datasets.series_grid import check_frequency, on_grid
from zf_keras.datasets.series_survey import Survey
from zf_keras.datasets.splits import Splits, load_splits
from zf_keras.files import whole_file


def prepare(
    source,
    directory,
    *,
    horizon,
    context,
    layout="long",
    series="unique_id",
    time="ds",
    target=("y",),
    covariates=(),
    static=(),
    categories=(),
    calendar=(),
    holidays=None,
    frequency=None,
    season=None,
    time_zone=None,
    gaps="error",
    short="error",
    on_error="stop",
    verbose=True,
):
    """Writes series to shards, split by time.

    Args:
        source: path. A file, or a folder as in the layout, or an archive of it.
        directory: path. Where the shards go.
        horizon: int. Steps that are forecast.
        context: int. Steps before them that a model sees.
        layout: `"long"`, `"wide"` or `"files"`, as above. Defaults to `"long"`.
        series: str. The column with the name of a row's series, of `"long"`. Defaults to `"unique_id"`.
        time: str. The column with the date. Defaults to `"ds"`.
        target: str or sequence of str. The columns that are forecast; of `"wide"` the name of what the columns hold.
            Defaults to `("y",)`.
        covariates: sequence of str. Columns of numbers that are known for the future too, such as prices. They are
            standardised by the training part. Defaults to `()`.
        static: sequence of str. Columns of numbers, one for all rows of a series; standardised likewise. Defaults to
            `()`.
        categories: sequence of str. Columns of names, one for all rows of a series, such as its shop; also that of
            `series` itself. Models get their numbers in the manifest's `"vocabularies"`. Defaults to `()`.
        calendar: sequence of str. Names of `zf_keras.datasets.calendar.calendar_features`, covariates behind those of
            columns. Defaults to `()`.
        holidays: str or `None`. A country, such as `"DE"`, whose holidays are one covariate more. Defaults to `None`.
        frequency: str or `None`. pandas's name of a step, such as `"h"`, `"D"` or `"MS"`. Defaults to `None`, what the
            dates of the first series tell.
        season: int or `None`. Steps of a season, for forecasts to compare with. Defaults to `None`, a day of hours,
            a week of days, a year of months and so on.
        time_zone: str or `None`. Whose clocks the dates are of, such as `"Europe/Berlin"`: those with an offset are
            brought to it. Defaults to `None`, as they are.
        gaps: what is made of steps without a value: `"error"`, or `"missing"`, NaN, for a model with
            `missing="skip"`. Defaults to `"error"`.
        short: what is made of a series of less than 2 `horizon` + 1 steps: `"error"`, or `"drop"`, it is left out and
            named in the manifest. Defaults to `"error"`.
        on_error: `"stop"` or `"skip"`, as for `write_shards`, for each file. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        The manifest, a dict. Its `"survey"` has the frequency, the season, the columns, and of each series its name,
        first date, last date, and the first dates of valid and test.

    Raises:
        FileNotFoundError: there is no file to read.
        ImportError: pandas, pyarrow for Parquet, or `holidays` is not installed.
        ValueError: an argument is wrong, or names the file, the series and the row of what is not as it should be.
    """
    for name, value in (("horizon", horizon), ("context", context)):
        check_positive_int(name, value)
    for name, value, choices in (
        ("layout", layout, LAYOUTS),
        ("gaps", gaps, ("error", "missing")),
        ("short", short, ("error", "drop")),
    ):
        check_choice(name, value, choices)
    lists = {"target": target, "covariates": covariates, "static": static, "categories": categories}
    columns = Columns(layout, series, time, **{name: _names(name, value) for name, value in lists.items()})
    _check_columns(columns)
    calendar = [*_names("calendar", calendar), *(["holiday"] if holidays is not None else [])]
    for name in calendar:
        check_choice("calendar", name, calendars.NAMES)
    import_pandas()
    if holidays is not None:
        calendars.check_country(holidays)
    if frequency is not None:
        check_frequency(frequency)
    if season is not None:
        check_positive_int("season", season)
    settings = columns._asdict() | {
        "horizon": horizon,
        "context": context,
        "calendar": calendar,
        "holidays": holidays,
        "frequency": frequency,
        "season": season,
        "time_zone": time_zone,
        "gaps": gaps,
        "short": short,
    }
    source = Path(source)
    one = source.is_file() and source.suffix.lower() in SUFFIXES
    with contextlib.nullcontext(source.parent) if one else sources.opened(source, directory) as folder:
        files = [source.name] if one else sources.files(folder, SUFFIXES)
        paths = {file: folder / file for file in files}
        survey = Survey(paths, columns, settings, on_error)
        return write_shards(
            directory,
            "series",
            {split: {file: (file, split) for file in files} for split in Splits._fields},
            lambda source, found: survey.sequences(*source, found),
            settings=settings,
            survey=survey,
            on_error=on_error,
            verbose=verbose,
            state=lambda source: file_state(paths[source[0]]),
            missing=gaps == "missing",
        )


def _names(argument, value):
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"`{argument}` must be a sequence of names. Received: {argument}={value!r}.")
    return list(names)


def _check_columns(columns):
    if not columns.target:
        raise ValueError("`target` must name a column. Received: target=[].")
    if columns.layout == "wide":
        for name in ("covariates", "static", "categories"):
            if getattr(columns, name) not in ([], [columns.series] if name == "categories" else []):
                raise ValueError(f"`{name}` need layout='long': of 'wide', all columns are series.")
        if len(columns.target) > 1:
            raise ValueError(f"Series of layout='wide' have one target. Received: target={columns.target}.")
    used = [columns.time, *columns.target, *columns.covariates, *columns.static]
    twice = next((name for name in used if used.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"Column {twice!r} is named twice among `time`, `target`, `covariates` and `static`.")


def load_data(directory, stride=1, verify=False):
    """The prepared series, in the units of the files.

    Args:
        directory: path. As given to `prepare`.
        stride: int. Steps from one training window to the next. Defaults to `1`.
        verify: bool. Whether to compare the checksums. Defaults to `False`.

    Returns:
        `Splits(train, valid, test)`: `Windows` of the training part, and of each series its window of the other parts.
        Random access to arrays (time, targets) float32, or to dicts of `"targets"`, `"covariates"`, `"static"` and
        `"categories"`, those that there are. Without `stride` steps to spare, a window is as long as its series.

    Raises:
        FileNotFoundError: nothing complete is there.
        ValueError: it is another data set, or a file is not as it was written.
    """
    splits = load_splits(directory, "series", verify)
    settings = splits.train.manifest["identity"]["settings"]
    return splits._replace(train=Windows(splits.train, settings["context"] + settings["horizon"], stride))


def read(source, manifest):
    """The series of other files, as those of a data set were read: all their steps, and what is known of the future.

    Args:
        source: path. A file or a folder, of the layout and columns of the data set.
        manifest: dict. Of the data set.

    Returns:
        List of `Series` in the units of the files. Rows after the last value have targets of NaN. Dates are those of
        the clocks of the data set.

    Raises:
        FileNotFoundError: there is no file to read.
        ValueError: names the file, the series and the row of what is not as it should be.
    """
    settings, survey = manifest["identity"]["settings"], manifest["survey"]
    columns = Columns(**{name: settings[name] for name in Columns._fields})
    source, found = Path(source), {}
    one = source.is_file()
    if not source.exists():
        raise FileNotFoundError(f"`source` {source} does not exist.")
    for file in [source.name] if one else sources.files(source, SUFFIXES):
        path = source if one else source / file
        try:
            for each in read_series(path, columns, survey["time_zone"]):
                if each.times.tz is not None and survey["time_zone"] is None:
                    raise ValueError(f"series {each.name!r} has the time zone {each.times.tz}, where the data has none")
                if each.name in found:
                    raise ValueError(f"series {each.name!r} is in another file too")
                found[each.name] = on_grid(each, survey["frequency"], settings["gaps"])
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    return list(found.values())


def model_arguments(manifest):
    """The cardinalities of the categories, where there are any."""
    sizes = tuple(map(len, manifest["survey"]["vocabularies"].values()))
    return {"cardinalities": sizes} if sizes else {}


def read_prompt(given, manifest):
    """The last steps of a series to be continued, as many as the context of the data set has: (time, targets) float32.

    Args:
        given: path. Of a file with one series.
        manifest: dict. Of the data set.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it holds several series, or none, or what is wrong with it.
    """
    found = read(given, manifest)
    if len(found) != 1:
        raise ValueError(f"{given} must hold one series, to be continued. It holds {len(found)}.")
    stop = found[0].first_and_last()[1]
    if not stop:
        raise ValueError(f"{given} holds no value.")
    start = max(0, stop - manifest["identity"]["settings"]["context"])
    return found[0].targets[start:stop].astype("float32")


def write_samples(samples, directory, manifest):
    """Draws generated series: `samples.png`.

    Args:
        samples: array (count, time, targets).
        directory: path.
        manifest: dict. Of the data set.

    Returns:
        List of the paths written.
    """
    path = Path(directory) / "samples.png"
    with whole_file(path) as partial:
        figure(samples, manifest).savefig(partial, format="png", dpi=100)
    return [path]


def figure(groups, manifest, columns=None):
    """The series of groups: as `zf_keras.pictures.series`."""
    return pictures.series(groups)


DATASET = Dataset(
    load_data,
    prepare,
    model_arguments=model_arguments,
    read_prompt=read_prompt,
    write_samples=write_samples,
    figure=figure,
)
