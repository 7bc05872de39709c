"""A search's folder: what was edited, damaged or deleted in it is noticed, with the file and the cause."""

import json

import pytest

from tests.tuning.written import write_trial, write_trials
from tuning.__main__ import main
from tuning.metadata import ASKED, SearchError
from tuning.records import different
from tuning.searches import Search


@pytest.fixture
def searched(search):
    write_trials(search)
    return search


def edit(path, **changed):
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def refused(capsys, search, *arguments):
    """The one sentence of a command on the search that fails."""
    command, *options = arguments
    assert main([command, str(search.directory), *options]) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err and len(captured.err.strip().splitlines()) == 1
    return captured.err


def test_a_changed_recipe_is_refused(searched, capsys):
    path = searched.path("recipe.toml")
    text = path.read_text()
    path.write_text(text.replace("units = 32", "units = 33", 1))
    assert path.read_text() != text
    for command in ("resume", "report", "best"):
        error = refused(capsys, searched, command)
        assert f"{path} was changed since the search began: model." in error and "units" in error
    path.write_text(text)
    assert main(["report", str(searched.directory)]) == 0
    path.unlink()
    assert f"{path} can't be read" in refused(capsys, searched, "report")


def test_a_search_of_before_recipes_were_kept_in_it_goes_on(searched):
    path = searched.path("search.json")
    values = json.loads(path.read_text())
    del values["values"]
    path.write_text(json.dumps(values))
    assert len(Search(searched.directory).trials()) == 5


def test_different():
    then = {"title": "a", "model": {"units": 3, "clip": float("nan")}, "training": {"epochs": 1}}
    assert different(then, json.loads(json.dumps(then))) == []
    now = {"title": "b", "model": {"units": 3.0, "clip": float("nan"), "alpha": 0.1}}
    assert different(then, now) == ["model.alpha", "model.units", "title", "training.epochs"]


@pytest.mark.parametrize("key", ASKED)
def test_what_must_be_in_search_json(searched, capsys, key):
    path = searched.path("search.json")
    values = json.loads(path.read_text())
    edit(path, **{key: ["wrong"]})
    assert f"{path} is damaged: {key!r} must be" in refused(capsys, searched, "report")
    del values[key]
    path.write_text(json.dumps(values))
    assert f"{path} is damaged: it has no {key!r}" in refused(capsys, searched, "resume")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "\x00", '{"a": ' * 10_000])
@pytest.mark.parametrize(
    "name",
    ["search.json", "clock.json", "tuner/oracle.json", "tuner/trial_1/trial.json", "tuner/trial_1/outcome.json"],
)
def test_damaged_json(searched, capsys, name, text):
    path = searched.path(name)
    path.write_text(text)
    error = refused(capsys, searched, "resume")
    assert f"{path} can't be read" in error or f"{path} is damaged" in error


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("search.json", {"budget_minutes": float("inf")}, "'budget_minutes' must be a number or null. Received: inf"),
        ("search.json", {"trials": True}, "'trials' must be an integer. Received: True"),
        ("search.json", {"tuner": "grid"}, "'tuner' must be one of random, bayesian, hyperband. Received: 'grid'"),
        ("search.json", {"trials": 0}, "'trials' must be at least 1. Received: 0"),
        ("tuner/trial_1/trial.json", {"trial_id": "2"}, "is of another trial: its 'trial_id' is '2'"),
        ("tuner/trial_1/trial.json", {"status": "DONE"}, "'status' must be one of COMPLETED, "),
        ("tuner/trial_1/trial.json", {"score": None}, "'score' must be a number. Received: None"),
        ("tuner/trial_1/trial.json", {"score": float("nan")}, "'score' must be a number or null. Received: nan"),
        (
            "tuner/trial_1/trial.json",
            {"score": -17.5},
            "metrics.csv is not of its trial: the best val_elbo in it is -18.0",
        ),
        ("tuner/trial_1/outcome.json", {"settings": 3}, "'settings' must be a table. Received: 3"),
        ("tuner/trial_1/outcome.json", {"seconds": "3"}, "'seconds' must be a number or null"),
    ],
)
def test_values_that_can_not_be(searched, capsys, name, changed, message):
    path = searched.path(name)
    edit(path, **changed)
    for command in ("report", "resume", "best"):
        error = refused(capsys, searched, command)
        assert str(path.parent) in error and message in error


@pytest.mark.parametrize(
    "text",
    [
        "epoch,elbo,val_elbo\n1,-2,\n",
        "epoch,elbo,val_elbo\n1\n",
        "epoch,elbo\n1,2\n",
        "epoch,elbo,val_elbo\n1,-2,nan\n",
        "epoch,elbo,val_elbo\n2,-2,-3\n",
    ],
)
def test_damaged_metrics_of_a_trial(searched, capsys, text):
    path = searched.path("tuner/trial_1/run/metrics.csv")
    path.write_text(text)
    assert str(path) in refused(capsys, searched, "report")


def test_a_deleted_trial_is_named(searched, capsys):
    edit(searched.path("tuner/oracle.json"), start_order=["0", "1", "2", "3", "4"])
    path = searched.path("tuner/trial_3/trial.json")
    path.unlink()
    for command in ("report", "resume"):
        assert f"has a trial 3, but {path} is gone" in refused(capsys, searched, command)


def test_a_deleted_oracle_is_named(searched, capsys):
    path = searched.path("tuner/oracle.json")
    path.unlink()
    assert f"{path} is gone" in refused(capsys, searched, "resume")


def test_best_is_not_written_from_the_settings_of_another_trial(searched, capsys):
    edit(searched.path("tuner/trial_1/outcome.json"), settings={"model.units": 64})
    error = refused(capsys, searched, "best")
    assert "outcome.json is not of the run beside it: model." in error and "model.units" in error
    assert not searched.path("best.toml").exists()


def test_unfinished_and_failed_trials_need_no_outcome(search):
    write_trial(search, 0, {"model.units": 4}, -17.0, "RUNNING")
    search.path("tuner/trial_0/outcome.json").unlink()
    assert search.trials()[0] | {"epochs": 3} == {
        "trial": "0",
        "status": "unfinished",
        "val_elbo": -17.0,
        "best_epoch": 2,
        "epochs": 3,
        "seconds": None,
        "settings": {},
        "error": None,
    }


def test_one_search_in_a_folder(searched):
    with pytest.raises(SearchError, match="Go on with it by `resume`"):
        Search.begin(searched.directory, searched.recipe, None, searched.settings)
