"""What a trained run would have forecast from earlier origins, judged by what came."""

import numpy as np

from zf_keras.arguments import check_positive_int, check_seed, check_size
from zf_keras.data.sequences import TIMELESS
from zf_keras.datasets import series
from zf_keras.datasets.series_files import import_pandas
from zf_keras.datasets.series_survey import sequence_of
from zf_keras.files import whole_file
from zf_keras.inference.forecasts import Forecast
from zoo.evaluation import best_model
from zoo.forecasting import forecast_of, manifest_of
from zoo.runs import RunError

BACKTEST = "backtest.csv"


def backtest(run, source=None, windows=1, stride=None, horizon=None, num_samples=200, seed=0):
    """Scores forecasts of the best model of a run from origins that roll back from the end of each series.

    The first origin is `horizon` steps before the end, each further one `stride` steps before that. `backtest.csv` in
    the run has a row for each series and origin: `origin`, how many steps of the series were known, its scores, and
    `seen`: whether the run was trained or chosen by a step that was forecast. A series that is too short for an origin
    has none.

    Args:
        run: `Run`, of the data set `series`.
        source: path or `None`. As of `zoo.forecasting.forecast`. Defaults to `None`, the data of the run, of which the
            first origin is that of the test part.
        windows: int. Origins. Defaults to `1`.
        stride: int or `None`. Defaults to `None`, the horizon.
        horizon: int or `None`. Steps. Defaults to `None`, those of the data.
        num_samples: int. Paths of each series and origin that are drawn. Defaults to `200`.
        seed: int. The same seed gives the same forecasts. Defaults to `0`.

    Returns:
        Dict from "model" and "seasonal naive" to scores by name, of all origins together, as of `Forecast.scores`, of
        the naive forecast those of a point; and the data frame of the rows.

    Raises:
        FileNotFoundError: there is no file to read.
        RunError: the run is of other data, or all series are too short.
        ValueError: an argument is wrong, or names what is wrong with a series.
    """
    manifest = manifest_of(run)
    settings, season = manifest["identity"]["settings"], manifest["survey"]["season_length"]
    horizon = settings["horizon"] if horizon is None else check_positive_int("horizon", horizon)
    stride = horizon if stride is None else check_positive_int("stride", stride)
    check_positive_int("windows", windows)
    check_size("num_samples", num_samples)
    check_seed("seed", seed)
    wholes = list(_of_run(run) if source is None else _of_files(source, manifest))
    model, rows, paths, actual, history = best_model(run)[0], [], [], [], []
    for back in range(horizon, horizon + windows * stride, stride):
        parts = [(*each, len(each[1]["targets"]) - back) for each in wholes if len(each[1]["targets"]) > back]
        if not parts:
            continue
        sequences = [_cut(x, max(0, at - settings["context"]), at + horizon) for _, x, _, at in parts]
        paths.append(forecast_of(run, model, sequences, horizon, num_samples, seed).samples)
        actual += [x["targets"][at : at + horizon] for _, x, _, at in parts]
        history += [x["targets"][:at] for _, x, _, at in parts]
        rows += [{settings["series"]: name, "origin": at, "seen": at < unseen} for name, _, unseen, at in parts]
    if not rows:
        raise RunError(f"All series are too short: none has more than the {horizon} steps of the horizon.")
    drawn, actual = Forecast(np.concatenate(paths, axis=1)), np.stack(actual)
    options = {"history": history, "season": season}
    naive = Forecast(np.stack([_seasonal_naive(known, season, horizon) for known in history])[None])
    scores = {name: each.scores(actual, **options) for name, each in (("model", drawn), ("seasonal naive", naive))}
    for name in ("interval_score", "coverage"):
        del scores["seasonal naive"][name]
    pandas = import_pandas()
    frame = pandas.DataFrame(rows).assign(**drawn.scores(actual, **options, by_series=True))
    with whole_file(run.path(BACKTEST)) as partial:
        frame.to_csv(partial, index=False)
    return scores, frame


def _of_run(run):
    """The series of a run's data: name, whole sequence, and its first step that is neither of train nor of valid."""
    data = run.load_data()
    manifest = data.train.manifest
    horizon = manifest["identity"]["settings"]["horizon"]
    parts = zip(manifest["survey"]["series"], data.train.series, data.valid, data.test, strict=True)
    for about, train, *later in parts:
        train, *later = map(_as_dict, (train, *later))
        later = [_cut(part, -horizon, None) for part in later]
        whole = {
            key: x if key in TIMELESS else np.concatenate([x, *(part[key] for part in later)])
            for key, x in train.items()
        }
        yield about["name"], whole, len(whole["targets"]) - horizon


def _of_files(source, manifest):
    """Likewise of files."""
    pandas = import_pandas()
    settings, survey = manifest["identity"]["settings"], manifest["survey"]
    tests = {each["name"]: pandas.Timestamp(each["test"]) for each in survey["series"]}
    for each in series.read(source, manifest):
        each = each.part(0, each.first_and_last()[1])
        if len(each.times):
            unseen = each.times.searchsorted(tests[each.name]) if each.name in tests else 0
            yield each.name, _as_dict(sequence_of(each, settings, survey)), unseen


def _as_dict(sequence):
    return sequence if isinstance(sequence, dict) else {"targets": sequence}


def _cut(sequence, start, stop):
    return {key: x if key in TIMELESS else x[start:stop] for key, x in sequence.items()}


def _seasonal_naive(known, season, horizon):
    """The last season again and again, (horizon, targets); of a shorter series its last step."""
    known = import_pandas().DataFrame(known).ffill().bfill().fillna(0).to_numpy()
    last = known[-season:] if len(known) >= season else known[-1:]
    return last[np.arange(horizon) % len(last)]
