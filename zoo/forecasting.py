"""What a trained run says of series after their end, and of what came."""

from pathlib import Path

import numpy as np

from zf_keras import pictures
from zf_keras.arguments import check_positive_int, check_probability, check_seed, check_size
from zf_keras.data.batches import Batches
from zf_keras.datasets import series
from zf_keras.datasets.series_files import import_pandas
from zf_keras.datasets.series_grid import ahead
from zf_keras.datasets.series_survey import sequence_of
from zf_keras.files import whole_file
from zf_keras.inference.forecasts import Forecast
from zoo.evaluation import best_model
from zoo.runs import RunError

SHOWN = 8  # series in the figure


def forecast(run, source, output, horizon=None, quantiles=(0.1, 0.5, 0.9), num_samples=200, seed=0, figure=None):
    """Writes what the best model of a run expects after the end of each series of a file.

    Args:
        run: `Run`, of the data set `series`.
        source: path. A file or a folder, as that which the data was prepared from; with covariates its rows after the
            last value say what is known of the future.
        output: path. A .csv or .parquet file, a row a series, step and target: the names of the run's columns of series
            and dates, `target`, `mean`, and a column for each quantile, such as `0.1`.
        horizon: int or `None`. Steps. Defaults to `None`, those of the data.
        quantiles: sequence of numbers in [0, 1]. Defaults to `(0.1, 0.5, 0.9)`.
        num_samples: int. Paths of each series that are drawn. Defaults to `200`.
        seed: int. The same seed gives the same forecast. Defaults to `0`.
        figure: path or `None`. A picture of the first eight series. Defaults to `None`.

    Raises:
        FileNotFoundError: there is no file to read.
        RunError: the run is of other data, or the output of another kind.
        ValueError: an argument is wrong, or names what is wrong with a series.
    """
    manifest = manifest_of(run)
    settings, survey = manifest["identity"]["settings"], manifest["survey"]
    output = Path(output)
    if output.suffix.lower() not in (".csv", ".parquet"):
        raise RunError(f"The output must be a .csv or .parquet file. Received: {output}.")
    horizon = settings["horizon"] if horizon is None else check_positive_int("horizon", horizon)
    quantiles = [check_probability("quantiles", q) for q in quantiles]
    check_size("num_samples", num_samples)
    check_seed("seed", seed)
    found = [ahead(each, settings, survey, horizon) for each in series.read(source, manifest)]
    sequences = [sequence_of(each.part(max(0, n - settings["context"]), None), settings, survey) for each, n in found]
    drawn = forecast_of(run, best_model(run)[0], sequences, horizon, num_samples, seed)
    frame = _frame(drawn, found, quantiles, settings)
    with whole_file(output) as partial:
        frame.to_csv(partial, index=False) if output.suffix.lower() == ".csv" else frame.to_parquet(partial)
    if figure is not None:
        with whole_file(Path(figure)) as partial:
            _figure(drawn, found, settings).savefig(partial, format="png", dpi=100)


def manifest_of(run):
    """That of a run's series.

    Raises:
        RunError: its data is of another kind.
    """
    if run.recipe.values["data"]["dataset"] != "series":
        raise RunError(f"{run.directory} was trained on {run.recipe.values['data']['dataset']}, and not on series.")
    return run.load_data().train.manifest


def forecast_of(run, model, sequences, horizon, num_samples, seed):
    """The `Forecast` of sequences, whose last `horizon` steps are those that are forecast."""
    paths = []
    for i, batch in enumerate(Batches(sequences, run.evaluation["batch_size"], multiple=1)):
        targets = batch.pop("targets")[:, :-horizon]
        steps = np.arange(targets.shape[1] + horizon)
        mask = batch.pop("mask", np.ones((len(targets), len(steps)), bool))[:, horizon:]
        prompt = np.where(mask[..., None], targets, 0)
        options = {"seed": seed + i, "batch_size": run.evaluation["pairs"], "mask": mask, **batch}
        paths.append(model.forecast(prompt, horizon, num_samples, **options).samples)
    return Forecast(np.concatenate(paths, axis=1))


def _frame(drawn, found, quantiles, settings):
    """A row for each series, step and target."""
    pandas = import_pandas()
    _, count, horizon, width = drawn.shape
    columns = {
        settings["series"]: np.repeat([each.name for each, _ in found], horizon * width),
        settings["time"]: pandas.concat(
            [pandas.Series(each.times[-horizon:].repeat(width)) for each, _ in found], ignore_index=True
        ),
        "target": settings["target"] * (count * horizon),
        "mean": drawn.mean.ravel(),
    }
    return pandas.DataFrame(columns | {f"{q:g}": drawn.quantile(q).ravel() for q in quantiles})


def _figure(drawn, found, settings):
    """The first series and their forecasts, a panel each."""
    shown = [(i, j) for i in range(len(found)) for j in range(len(settings["target"]))][:SHOWN]
    history = np.full((settings["context"], len(shown)), np.nan)
    for column, (i, j) in zip(history.T, shown, strict=True):
        each, known = found[i]
        values = each.targets[:known, j][-len(column) :]
        column[len(column) - len(values) :] = values
    figure = pictures.forecast(np.stack([drawn.samples[:, i, :, j] for i, j in shown], axis=-1), history)
    for axis, (i, j) in zip(figure.axes, shown, strict=True):
        axis.set_title(" ".join([found[i][0].name, *settings["target"][j : j + 1][: len(settings["target"]) > 1]]))
    return figure
