"""Searches by several processes, some of which are killed: each trial is there once, and is what it would have been."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import keras_tuner
import pytest

from tuning.__main__ import main
from tuning.oracles import new_oracle
from tuning.records import ranked
from tuning.searches import Search
from zoo import recipes, training
from zoo.runs import LAST, METRICS, Run

ROOT = Path(__file__).parents[2]
RECIPE = """
title = "a test"
[data]
dataset = "digits"
frames = "rows"
[model]
class = "RNN"
units = 4
output = "bernoulli"
[optimizer]
class = "Adam"
learning_rate = 0.01
[schedule]
learning_rate = { decay = "cosine" }
[training]
batch_size = 200
epochs = 5
[evaluation]
batch_size = 250
"""
#: Fails in workers where the rate is high.
SPACE = """
import os

def space(hp, recipe):
    rate = hp.Float("rate", 0.01, 0.05, default=0.01)
    if rate > HIGH and os.environ.get("KERASTUNER_TUNER_ID"):
        raise ValueError("too high")
    return {"optimizer.learning_rate": rate, "model.units": hp.Choice("units", [4, 5])}
"""
HIGH = 0.035
pytestmark = pytest.mark.usefixtures("lean_children")
one_backend = pytest.mark.skipif(keras.config.backend() != "jax", reason="nothing in it depends on the backend")


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    (tmp_path / "mine.py").write_text(SPACE.replace("HIGH", str(HIGH)))
    return tmp_path / "mine.toml"


def start(*arguments):
    command = [sys.executable, "-m", "tuning", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    out = process.communicate(timeout=300)[0]
    assert process.returncode == 0, out
    return out


def wait_for(condition, process=None):
    end = time.monotonic() + 300
    while not (found := condition()):
        assert time.monotonic() < end and (process is None or process.poll() is None), process.communicate()[0]
        time.sleep(0.01)
    return found


def epochs(folder):
    """Rows that are written, of all trials."""
    return sum(len(path.read_text().splitlines()) - 1 for path in folder.glob(f"tuner/trial_*/run/{METRICS}"))


def workers(folder):
    return [int(path.read_text() or 0) for path in (folder / "workers").glob("local-*")]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def drawn(folder, trials):
    """The settings that a search without kills and with one worker would try."""
    search = Search(folder)
    oracle = new_oracle(
        "random", keras_tuner.Objective("val_elbo", "max"), trials, search.settings["seed"], search.epochs
    )
    oracle.verbose = 0
    oracle._set_project_dir(str(folder.parent), "drawn")
    hp = oracle.get_space()
    search.space(hp)
    oracle.update_space(hp)
    return [search.space(oracle.create_trial(str(n)).hyperparameters) for n in range(trials)]


def check(folder, trials):
    """Each trial is there once, with the settings that it was to have and all of its epochs."""
    search = Search(folder)
    state = json.loads((folder / "tuner" / "oracle.json").read_text())
    found = search.trials()
    assert sorted(state["end_order"]) == [trial["trial"] for trial in found] == [str(n) for n in range(trials)]
    for trial, settings in zip(found, drawn(folder, trials), strict=True):
        failed = settings["optimizer.learning_rate"] > HIGH
        assert trial["status"] == ("failed" if failed else "completed")
        if not failed:
            assert trial["settings"] == settings
            rows = Run(folder / "tuner" / f"trial_{trial['trial']}" / "run").rows()
            assert [row["epoch"] for row in rows] == list(range(1, search.epochs + 1))
            assert (
                trial["val_elbo"] == max(row["val_elbo"] for row in rows) == rows[trial["best_epoch"] - 1]["val_elbo"]
            )
    with (folder / "trials.csv").open(newline="") as file:
        assert sorted(row["trial"] for row in csv.DictReader(file)) == [str(n) for n in range(trials)]
    return found


def check_best(folder, tmp_path):
    """The recipe that is written for the best trial gives what the trial gave."""
    assert main(["best", str(folder)]) == 0
    best = ranked(Search(folder).trials())[0]
    run = Run.begin(tmp_path / "run", recipes.load(str(folder / "best.toml")), False, None)
    training.train(run, verbose=0)
    assert run.path(METRICS).read_text() == (folder / "tuner" / f"trial_{best['trial']}" / "run" / METRICS).read_text()


@pytest.mark.skipif(keras.config.backend() == "jax", reason="the next does more of it")
def test_a_search(recipe, tmp_path):
    folder = tmp_path / "search"
    options = ["--trials", "1", "--epochs", "2", "--search-dir", str(folder)]
    assert main(["search", str(recipe), *options]) == 0
    (trial,) = Search(folder).trials()
    assert (trial["status"], trial["epochs"]) == ("completed", 2) and trial["seconds"] > 0
    check_best(folder, tmp_path)


@one_backend
def test_a_killed_worker_and_trials_that_fail(recipe, tmp_path):
    folder = tmp_path / "search"
    space = f"{tmp_path / 'mine.py'}:space"
    options = ("--tuner", "random", "--trials", 5, "--workers", 2, "--seed", 21, "--search-dir", folder)
    process = start("search", recipe, "--space", space, *options)
    wait_for(lambda: epochs(folder) >= 2, process)
    os.kill(workers(folder)[0], signal.SIGKILL)
    out = finish(process)
    found = check(folder, 5)
    failed = [trial for trial in found if trial["status"] == "failed"]
    assert [trial["trial"] for trial in failed] == ["1", "2", "3"]  # which is where Keras Tuner stops
    assert all(trial["error"] == "The space: ValueError: too high" for trial in failed)
    assert "5 of 5 trials done" in out and "Worker local-" in out and "3 failed, 0 unfinished" in out
    assert all(gone(pid) for pid in workers(folder))
    assert not list(folder.glob(f"tuner/*/run/{LAST}"))
    check_best(folder, tmp_path)


@one_backend
def test_killed_chief_and_everything_killed(recipe, tmp_path, monkeypatch):
    folder = tmp_path / "search"
    options = ("--tuner", "random", "--trials", 2, "--search-dir", folder)
    process = start("search", recipe, *options)
    wait_for(lambda: epochs(folder) >= 2, process)
    before = workers(folder)
    for pid in (process.pid, *before):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    process = start("resume", folder)
    wait_for(lambda: epochs(folder) >= 4, process)
    process.kill()
    process.wait()
    after = workers(folder)
    assert not set(before) & set(after)
    wait_for(lambda: all(gone(pid) for pid in after))
    assert epochs(folder) < 10
    # And by a worker that is started elsewhere.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", port)
    process = start("resume", folder, "--workers", 0)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "second")
    worker = start("worker", folder)
    out = finish(process)
    assert worker.wait(timeout=60) == 0
    assert "2 trials: 2 completed, 0 failed, 0 unfinished." in out
    check(folder, 2)


@one_backend
def test_budget(recipe, tmp_path, capsys):
    folder = tmp_path / "search"
    assert main(["search", str(recipe), "--budget-minutes", "0.02", "--search-dir", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "0 of 30 trials done" in out and "1 s left" in out and "Out of time" in out
    assert all(gone(pid) for pid in workers(folder)) and 1.2 <= Search(folder).seconds < 10
    assert main(["resume", str(folder)]) == 1
    assert "minutes of the search are over. Say how many more" in capsys.readouterr().err
    assert main(["search", str(recipe), "--search-dir", str(folder)]) == 1
    assert "Go on with it by `resume`" in capsys.readouterr().err


@one_backend
def test_a_worker_that_does_not_start_ends_the_search(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "nonsense")  # for workers; here the backend is chosen
    folder = tmp_path / "search"
    assert main(["search", str(recipe), "--search-dir", str(folder)]) == 1
    assert "ended 3 times, with status 1" in (error := capsys.readouterr().err) and "nonsense" in error
