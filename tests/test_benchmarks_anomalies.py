"""The benchmark of anomaly scores, on small plants of its own; and its table, which is that of its file."""

import json
import pathlib

import numpy as np
import pytest

from benchmarks import anomalies, faults
from benchmarks.results import Results

ROOT = pathlib.Path(__file__).parents[1]
RNG = np.random.default_rng(0)


def spans(kinds, kind):
    """First and last + 1 hour of each fault of a kind."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kinds == 1 + list(faults.KINDS).index(kind), [0]])))
    return edges.reshape(-1, 2)


def test_simulate(monkeypatch):
    """Each fault is what its label says, in one sensor; all else is what the plant gave."""
    recorded, readings = [], faults.readings
    monkeypatch.setattr(faults, "readings", lambda *args: recorded.append(readings(*args)) or recorded[-1])
    plant = faults.simulate(3, 2, 1, 20, each=2)
    whole, other = recorded
    assert [len(x) for x in plant] == [336, 168, 3360, 3360] and plant.test.shape[1] == len(faults.SENSORS)
    unit = plant.clean.std(axis=0) / whole[:504].std(axis=0)
    offset = plant.clean.mean(axis=0) - unit * whole[:504].mean(axis=0)
    test, before, other = (plant.test - offset) / unit, whole[504:], other[504:]
    moved = np.abs(test - before) > 1e-6
    assert not moved[plant.kinds == 0].any() and set(moved.sum(axis=1)) == {0, 1}
    season = faults.by_hour_of_week(whole[:504])[0]
    usual = np.resize(season, whole.shape)
    sd = (whole - usual)[:504].std(axis=0)
    for kind, (least, longest) in faults.KINDS.items():
        found = spans(plant.kinds, kind)
        assert len(found) == 2
        for start, stop in found:
            assert least <= stop - start <= longest
            (sensor,) = np.flatnonzero(moved[start:stop].any(axis=0))
            at = slice(start, stop), sensor
            change = (test - before)[at] / sd[sensor]
            match kind:
                case "spike":
                    assert np.abs(change).min() >= 3 and np.ptp(change) < 1e-6
                case "level shift":
                    assert 1.5 <= abs(change[0]) <= 3 and np.ptp(change) < 1e-6
                case "drift":
                    np.testing.assert_allclose(np.diff(change, 2), 0, atol=1e-6)
                    assert abs(change[0]) < 1e-6 and 2 <= abs(change[-1]) <= 4
                case "stuck":
                    np.testing.assert_allclose(test[at], before[start, sensor], atol=1e-6)
                case "broken coupling":
                    np.testing.assert_allclose(test[at], other[at], atol=1e-6)
                case "variance":
                    assert 0.3 < change.std() < 2 and abs(np.corrcoef(change[1:], change[:-1])[0, 1]) < 0.5
                case "missing season":
                    assert np.ptp((test - before + usual[504:])[at]) < 1e-6


def test_a_seed_is_a_plant():
    once, again, another = (faults.simulate(seed, 1, 1, 8, each=1) for seed in (0, 0, 1))
    for x, y, z in zip(once, again, another, strict=True):
        np.testing.assert_array_equal(x, y)
        assert not np.array_equal(x, z)


def test_clock():
    found = anomalies.clock(np.arange(2 * faults.WEEK))
    np.testing.assert_allclose(found[: faults.WEEK], found[faults.WEEK :], atol=1e-6)
    assert len(np.unique(found[: faults.WEEK].round(5), axis=0)) == faults.WEEK
    assert found[:, -1].reshape(-1, 24)[:, 0].tolist() == 2 * [0, 0, 0, 0, 0, 1, 1]


def test_lagged():
    x = np.arange(6.0).reshape(3, 2)
    assert anomalies.lagged(x, 2).tolist() == [[0, 1, 0, 1], [0, 1, 2, 3], [2, 3, 4, 5]]
    np.testing.assert_array_equal(anomalies.lagged(x, 1), x)


def test_areas():
    kinds = np.concatenate([[0, 1, 0, 2, 2, 0], range(3, 8)])
    found = anomalies.areas(np.array([0, 9, 1, 8, 0.5, 0, 0, -1, -1, -1, -1]), kinds)
    assert found["spike"] == 1 and found["level shift"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert found["drift"] == pytest.approx(1 / 4) and found["stuck"] == pytest.approx(1 / 4)
    assert found["all"] == pytest.approx((1 + 1 + 3 / 4 + 4 / 7 + 4 * 8 / 11) / 8, abs=1e-4)
    assert anomalies.areas(np.zeros(11), kinds)["all"] == pytest.approx(8 / 11, abs=1e-4)


@pytest.fixture(scope="module")
def plant():
    return faults.simulate(0, 5, 2, 6, each=1)


@pytest.mark.parametrize("name", [name for name in anomalies.BASELINES if name != "chance"])
def test_baselines(plant, name, monkeypatch):
    """What comes later changes no score; what is far from everything has a large one."""
    monkeypatch.setattr(anomalies, "TREES", 30)
    later = plant.test.copy()
    later[-24:] += 20 * plant.clean.std(axis=0)
    found = anomalies.BASELINES[name](plant, 0)
    for score, values in anomalies.BASELINES[name](plant._replace(test=later), 0).items():
        np.testing.assert_allclose(values[:-24], found[score][:-24], rtol=1e-9)
        assert values[-24:].max() > np.quantile(values[:-24], 0.99)


def test_seasonal_z(plant):
    clean, test = anomalies.seasonal_z(plant)
    np.testing.assert_allclose(clean[5 :: faults.WEEK].mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(clean[5 :: faults.WEEK].std(axis=0, ddof=1), 1, rtol=1e-9)
    rows = plant.clean[faults.WEEK - 1 :: faults.WEEK]
    np.testing.assert_allclose(test[167], (plant.test[167] - rows.mean(axis=0)) / rows.std(axis=0, ddof=1))


@pytest.mark.parametrize("name", ["RNN", "ZForcing"])
def test_a_model_is_trained_and_asked(name, monkeypatch):
    for key, value in {"STEPS": 6, "STRIDE": 6, "PARTICLES": 3}.items():
        monkeypatch.setattr(anomalies, key, value)
    monkeypatch.setattr(anomalies, "SETTINGS", anomalies.SETTINGS | {"units": 3, "latent_dim": 2, "hidden_units": 3})
    x = np.array([100.0, 0.0]) + RNG.normal(size=(26, 2))
    small = faults.Plant(x[:12], x[12:18], x[18:], np.zeros(8, int))
    model, history = anomalies.fitted(name, small, seed=0, epochs=1)
    assert np.isfinite(history["val_elbo"]).all()
    later = small.test.copy()
    later[-3:] += 50
    found = anomalies.by_model(model, small, seed=0)
    for score, values in anomalies.by_model(model, small._replace(test=later), seed=0).items():
        np.testing.assert_allclose(values[:-3], found[score][:-3], rtol=1e-4, atol=1e-4)
        assert values[-3] > 10 * values[:-3].max()


def test_what_is_measured_is_not_measured_again(plant, monkeypatch, tmp_path):
    path, asked = tmp_path / "found.json", []

    def fitted(name, plant, seed, epochs):
        asked.append((name, seed, epochs))
        return name, {"val_elbo": [-anomalies.STEPS, 2 * anomalies.STEPS]}

    monkeypatch.setattr(anomalies, "simulate", lambda seed: plant)
    monkeypatch.setattr(anomalies, "fitted", fitted)
    monkeypatch.setattr(
        anomalies, "by_model", lambda *args: {"frame": plant.kinds, "largest": np.zeros(len(plant.kinds))}
    )
    commands = (
        ["baselines", "--models", "chance", "--seeds", "0", "1", "--output", str(path)],
        ["train", "--models", "RNN", "VRNN", "--seeds", "5", "6", "--epochs", "9", "--output", str(path)],
    )
    for command in 2 * commands:
        anomalies.main(command)
    runs = json.loads(path.read_text())["runs"]
    assert asked == [("RNN", 5, 9), ("VRNN", 5, 9), ("RNN", 6, 9), ("VRNN", 6, 9)]
    assert [len(run["rows"]) for run in runs] == [2, 8] and "scikit-learn" in runs[0]["machine"]["versions"]
    assert runs[1]["command"] == f"python -m benchmarks.anomalies {' '.join(commands[1])}"
    row = runs[1]["rows"][0]
    assert (row["all"], row["valid_elbo"], row["epochs"]) == (1.0, 2.0, 2)
    assert runs[0]["rows"][0]["all"] == pytest.approx((plant.kinds > 0).mean(), abs=1e-4)


def test_table():
    kinds = dict.fromkeys(faults.KINDS, 0.25)
    rows = [{"model": "a", "score": "", "seed": seed, "all": 0.1 + seed, **kinds} for seed in (0, 1)]
    *_, first, last = anomalies.table([*rows, {"model": "b", "score": "frame", "seed": 0, "all": 0.5, **kinds}])
    assert first == "| a | 0.600 | 0.100 to 1.100 |" + 7 * " 0.250 |"
    assert last.startswith("| b, frame | 0.500 | 0.500 to 0.500 |")


def test_results_are_those_of_the_file():
    table = anomalies.table(Results("anomalies", ROOT / "benchmarks" / "anomalies.json", []).rows())
    assert "\n".join(["", *table, ""]) in (ROOT / "zoo" / "results.md").read_text()
