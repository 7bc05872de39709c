"""Series by the command line: from a CSV file to forecasts of new ones, and how good they were."""

import types

import numpy as np
import pytest

from tests.zoo.command_line import done, inside, refused
from zf_keras.datasets import Batches, series
from zf_keras.datasets.series_grid import ahead
from zf_keras.inference.forecasts import Forecast
from zoo import backtesting, recipes
from zoo.evaluation import best_model
from zoo.runs import Run

pandas = pytest.importorskip("pandas")
RECIPE = """
title = "Tiny series"
[data]
dataset = "series"
horizon = 3
context = 5
stride = 2
target = ["y", "y2"]
covariates = ["price"]
static = ["size"]
categories = ["shop"]
calendar = ["weekday"]
gaps = "missing"
[model]
class = "RNN"
units = 3
output = "gaussian"
scaling = "mean_abs"
missing = "skip"
[optimizer]
class = "Adam"
[training]
batch_size = 4
steps_per_epoch = 2
epochs = 1
samples_every = 1
[evaluation]
batch_size = 2
pairs = 40
"""
LENGTHS = {"b": 20, "a": 7, "c": 12}
SETTINGS = "--num-samples", 6, "--seed", 3


def table(future=3):
    """A long table with so many rows after the last values of each series."""
    parts = []
    for i, (name, count) in enumerate(LENGTHS.items()):
        rng = np.random.default_rng(i)
        times = pandas.date_range("2024-01-01", periods=count + future, freq="D")
        y = np.where(np.arange(count + future) < count, 10.0**i * rng.normal(5, 1, count + future), np.nan)
        columns = {"unique_id": name, "ds": times, "y": y, "y2": -y, "price": rng.normal(10, 3, count + future)}
        parts.append(pandas.DataFrame({**columns, "size": 2.0 + i, "shop": ["north", "south"][i % 2]}))
    frame = pandas.concat(parts, ignore_index=True)
    frame.loc[6, "y"] = np.nan
    return frame


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    table().to_csv(folder / "new.csv", index=False)
    (folder / "tiny.toml").write_text(RECIPE)
    with inside(folder):
        said = done("train", "tiny.toml", "--source", "new.csv", "--run-dir", "run")
    return types.SimpleNamespace(folder=folder, run=Run(folder / "run"), said=said)


def test_train(trained):
    model, _ = best_model(trained.run)
    assert model.features == {
        "inputs": 2,
        "targets": 2,
        "covariates": 2,
        "static": 1,
        "categories": 1,
    } and model.cardinalities == (2,)
    assert "test: 3 sequences, 23 frames" in trained.said and trained.run.results()["frames"] == 23


def test_forecast(trained, monkeypatch):
    """What the model draws after the last five steps of each series, two series at a time, and its dates."""
    monkeypatch.chdir(trained.folder)
    out = done("forecast", "run", "--source", "new.csv", *SETTINGS, "--quantiles", 0.25, 0.5, "--figure", "f.png")
    assert out.split() == ["forecast.csv", "f.png"] and (trained.folder / "f.png").read_bytes().startswith(b"\x89PNG")
    found = pandas.read_csv("forecast.csv")
    assert list(found) == ["unique_id", "ds", "target", "mean", "0.25", "0.5"] and len(found) == 3 * 3 * 2
    assert found.unique_id.tolist() == list(np.repeat(["b", "a", "c"], 6))
    assert found.ds.tolist()[::2] == [f"2024-01-{day:02d}" for day in (21, 22, 23, 8, 9, 10, 13, 14, 15)]
    assert found.target.tolist() == ["y", "y2"] * 9
    model, _ = best_model(trained.run)
    frame, manifest = table(), trained.run.load_data().train.manifest
    scale = manifest["survey"]["scales"]
    paths = []
    for i, names in enumerate((["b", "a"], ["c"])):
        prompts, covariates = np.zeros((len(names), 5, 2), "float32"), np.zeros((len(names), 8, 2), "float32")
        static = np.array([[2.0 + list(LENGTHS).index(name)] for name in names])
        for row, name in enumerate(names):
            part = frame[frame.unique_id == name][LENGTHS[name] - 5 :]
            prompts[row] = part[["y", "y2"]][:5]
            covariates[row, :, 0] = (part.price - scale["price"]["mean"]) / scale["price"]["std"]
            covariates[row, :, 1] = part.ds.dt.weekday / 6 - 0.5
        static = (static - scale["size"]["mean"]) / scale["size"]["std"]
        shops = [[list(LENGTHS).index(name) % 2] for name in names]
        options = {"covariates": covariates, "static": static.astype("float32"), "categories": np.array(shops)}
        paths.append(model.forecast(prompts, 3, 6, seed=3 + i, batch_size=40, **options).samples)
    expected = Forecast(np.concatenate(paths, axis=1))
    np.testing.assert_allclose(found["mean"], expected.mean.ravel(), rtol=1e-4)
    np.testing.assert_allclose(found["0.25"], expected.quantile(0.25).ravel(), rtol=1e-4, atol=1e-4)
    done("forecast", "run", "--source", "new.csv", *SETTINGS, "--horizon", 2, "--output", "two.parquet")
    assert len(pandas.read_parquet("two.parquet")) == 3 * 2 * 2


def test_a_series_shorter_than_the_context(trained, monkeypatch):
    """It is padded, with its own future covariates: what it gives does not depend on the series beside it."""
    monkeypatch.chdir(trained.folder)
    frame = table()
    short = frame[(frame.unique_id != "a") | (frame.index >= 28)]  # of a, the last two values
    short[short.unique_id != "c"].to_csv("short.csv", index=False)
    short[short.unique_id == "a"].to_csv("alone.csv", index=False)
    model, _ = best_model(trained.run)
    manifest = trained.run.load_data().train.manifest
    settings, survey = manifest["identity"]["settings"], manifest["survey"]
    drawn = {}

    def forecast(model, *args, **options):
        drawn.update(options, args=args)
        raise ZeroDivisionError

    monkeypatch.setattr(type(model), "forecast", forecast)
    for source, row in (("short.csv", 1), ("alone.csv", 0)):
        with pytest.raises(ZeroDivisionError):
            done("forecast", "run", "--source", source)
        prompt, mask = drawn["args"][0], drawn["mask"]
        each, known = ahead(series.read(source, manifest)[row], settings, survey, 3)
        assert known == 2 and mask[row].sum() == 2 and drawn["covariates"].shape[1] == prompt.shape[1] + 3
        np.testing.assert_allclose(prompt[row, :2], each.targets[:2], rtol=1e-6)
        price = (each.covariates[:, 0] - survey["scales"]["price"]["mean"]) / survey["scales"]["price"]["std"]
        np.testing.assert_allclose(drawn["covariates"][row, :5, 0], price, rtol=1e-5)
        assert not prompt[row, 2:].any() and drawn["args"][1:] == (3, 200)


def test_what_is_refused(trained, monkeypatch, tiny):
    monkeypatch.chdir(trained.folder)
    table(2).to_csv("two.csv", index=False)
    assert "series 'b' has 2 rows after its last value" in refused("forecast", "run", "--source", "two.csv")
    table().assign(shop="west").to_csv("west.csv", index=False)
    assert "shop 'west' is none of the training part's: north" in refused("forecast", "run", "--source", "west.csv")
    assert "must be a .csv or .parquet file" in refused("forecast", "run", "--source", "two.csv", "--output", "x.txt")
    assert "does not exist" in refused("forecast", "run", "--source", "absent.csv")
    for command in ("forecast", "backtest"):
        assert "was trained on digits" in refused(command, tiny.directory, "--source", "new.csv")
    assert "draw it by `forecast`" in refused("generate", "run", "--prompt", "new.csv")
    assert "All series are too short" in refused("backtest", "run", "--horizon", 20)
    message = refused("prepare", "series", "--source", "new.csv", "--set", "horizon=3")
    assert "data.context" in message


def test_a_file_is_whole_or_as_it_was(trained, monkeypatch):
    monkeypatch.chdir(trained.folder)
    (trained.folder / "kept.csv").write_text("before")

    def full(frame, path, **options):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_csv", full)
    assert "No space left" in refused("forecast", "run", "--source", "new.csv", "--output", "kept.csv")
    assert (trained.folder / "kept.csv").read_text() == "before"
    assert not list(trained.folder.glob("partial-*"))


def test_backtest(trained, monkeypatch):
    """From the data of the run as from its file; the first origin is the test part's."""
    monkeypatch.chdir(trained.folder)
    out = done("backtest", "run", *SETTINGS, "--windows", 3, "--stride", 2)
    assert "3 of these" not in out and "5 of these are of steps that the run was trained or chosen by" in out
    rows = pandas.read_csv("run/backtest.csv")
    assert rows.unique_id.tolist() == ["b", "a", "c", "b", "a", "c", "b", "c"]  # a has 7 steps: too few for the third
    assert rows.origin.tolist() == [17, 4, 9, 15, 2, 7, 13, 5] and rows.seen.tolist() == [False] * 3 + [True] * 5
    done("backtest", "run", "--source", "new.csv", *SETTINGS, "--windows", 3, "--stride", 2)
    pandas.testing.assert_frame_equal(pandas.read_csv("run/backtest.csv"), rows, rtol=1e-3)
    model, _ = best_model(trained.run)
    scores, frame = backtesting.backtest(trained.run, num_samples=6, seed=3)
    test = trained.run.load_data().test
    paths, actual = [], []
    for i, batch in enumerate(Batches(test, 2, multiple=1)):
        targets, mask = batch.pop("targets"), batch.pop("mask", None)
        mask = np.ones(targets.shape[:2], bool) if mask is None else mask
        lengths = mask.sum(axis=1)
        actual += [x[n - 3 : n] for x, n in zip(targets, lengths, strict=True)]
        drawn = model.forecast(targets[:, :-3], 3, 6, seed=3 + i, batch_size=40, mask=mask[:, 3:], **batch)
        paths.append(drawn.samples)
    expected = Forecast(np.concatenate(paths, axis=1)).scores(np.stack(actual))
    for name, value in expected.items():
        assert scores["model"][name] == pytest.approx(value, rel=1e-4)
    assert frame.origin.tolist() == [17, 4, 9] and not frame.seen.any() and frame.mase.notna().any()
    # The last season, of 7 steps, again; a has none before.
    whole = {name: x[["y", "y2"]].to_numpy() for name, x in table(0).groupby("unique_id")}
    naive = [whole["b"][10:13], np.repeat(whole["a"][3:4], 3, axis=0), whole["c"][2:5]]
    by_hand = np.abs(np.stack(naive) - np.stack(actual)).mean()
    assert scores["seasonal naive"]["crps"] == pytest.approx(by_hand, rel=1e-4)
    assert "coverage" not in scores["seasonal naive"]


def test_generate_and_report(trained, monkeypatch):
    monkeypatch.chdir(trained.folder)
    out = done("generate", "run", "--count", 2)
    assert out.split() == ["run/samples/samples.npz", "run/samples/samples.png"]
    with np.load("run/samples/samples.npz") as file:
        assert file["samples"].shape == (2, 8, 2)
    done("report", "run", "--count", 2)
    assert (trained.folder / "report.html").stat().st_size > 10_000


def test_one_number_a_step(tmp_path, monkeypatch):
    """A recipe of the zoo, on wide data without anything beside."""
    monkeypatch.chdir(tmp_path)
    times = pandas.date_range("2024-01-01", periods=30, freq="h")
    values = {name: np.random.default_rng(i).normal(100, 3, 30) for i, name in enumerate("ab")}
    pandas.DataFrame({"ds": times, **values}).to_csv("wide.csv", index=False)
    pandas.DataFrame({"ds": times, "c": values["a"]}).to_csv("c.csv", index=False)
    settings = {
        "data.layout": '"wide"',
        "data.horizon": 2,
        "data.context": 4,
        "model.units": 3,
        "training.epochs": 1,
        "training.steps_per_epoch": 1,
        "training.batch_size": 2,
        "training.samples_every": 1,
        "evaluation.num_samples": 2,
    }
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done("train", "series/rnn", "--small", "--source", "wide.csv", *given)
    run = Run("runs/series/rnn-small")
    assert list(run.path("tensorboard/samples").glob("*tfevents*"))
    done("generate", run.directory, "--prompt", "c.csv", "--count", 1, "--length", 6)
    with np.load("runs/series/rnn-small/samples/samples.npz") as file:
        np.testing.assert_allclose(file["samples"][0, :4, 0], values["a"][-4:], rtol=1e-6)
        assert file["samples"].shape == (1, 6, 1)
    assert "must hold one series" in refused("generate", run.directory, "--prompt", "wide.csv")
    done("forecast", run.directory, "--source", "c.csv", "--num-samples", 3)
    assert pandas.read_csv("forecast.csv").ds.tolist() == ["2024-01-02 06:00:00", "2024-01-02 07:00:00"]


def test_standard_scaling_is_that_of_the_training_part(trained):
    text = RECIPE.replace('"mean_abs"', '"standard"')
    (trained.folder / "standard.toml").write_text(text)
    with inside(trained.folder):
        recipe = recipes.load("standard.toml")
        run = Run.begin("standard", recipe, False, trained.run.environment["data"])
        data = run.load_data()
        model = run.new_model(data, 2)
    values = np.concatenate([data.train[i]["targets"] for i in range(len(data.train))])
    np.testing.assert_allclose(np.ravel(model.scaling.shift), np.nanmean(values, axis=0), rtol=1e-4)
