"""Trials in this process: what is kept of each, and what fails one or ends the search."""

import json
import shutil

import keras_tuner
import pytest

from tests.tuning.written import SETTINGS
from tests.zoo.written import TINY
from tuning.searches import Search
from tuning.trials import Trials
from zf_keras import datasets
from zoo import recipes, runs, training

SPACE = """
def space(hp, recipe):
    return {"optimizer.learning_rate": hp.Choice("rate", [0.01, 1e38])}
"""


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A search of two trials, the first as the recipe has it, the second not finite."""
    folder = tmp_path_factory.mktemp("trials")
    (folder / "mine.toml").write_text(TINY)
    (folder / "mine.py").write_text(SPACE)
    settings = {**SETTINGS, "trials": 2, "space": f"{folder / 'mine.py'}:space"}
    search = Search.begin(folder / "search", recipes.load(str(folder / "mine.toml")), None, settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", train)
        Trials(search).search()
    return search


def train(run, verbose, until=None, samples=True):
    """In the place of training, which the tests of searches and of runs do."""
    if run.recipe.values["optimizer"]["learning_rate"] > 1:
        raise runs.NonFiniteError("Update 0: nll not finite.")
    before = len(run.rows())
    epochs = range(before + 1, (until or 3) + 1)
    new = [{"epoch": epoch, "elbo": -3.0, "val_elbo": -abs(epoch - 2.0)} for epoch in epochs]
    run.write_rows(run.rows() + new)
    run.path(runs.LAST).touch()


@pytest.fixture
def tuner(run_once, tmp_path):
    """The same, to be gone on with."""
    return Trials(Search(shutil.copytree(run_once.directory, tmp_path / "search")))


def trial_of(tuner, trial_id):
    tuner.get_trial_dir(trial_id)
    return keras_tuner.engine.trial.Trial(tuner.oracle.get_space(), trial_id, "RUNNING")


def test_what_is_kept_of_trials(run_once):
    completed, failed = run_once.trials()
    rows = runs.Run(run_once.path("tuner/trial_0/run")).rows()
    assert completed["status"] == "completed" and completed["settings"] == {"optimizer.learning_rate": 0.01}
    assert (
        completed["val_elbo"] == rows[1]["val_elbo"] == 0 and completed["best_epoch"] == 2 and completed["epochs"] == 3
    )
    assert failed["status"] == "failed" and failed["settings"] == {"optimizer.learning_rate": 1e38}
    assert failed["error"] == "Update 0: nll not finite." and failed["val_elbo"] is None and completed["error"] is None
    assert completed["seconds"] >= 0 and not list(run_once.directory.rglob("*.keras"))


def test_the_run_of_another_trial_is_refused(tuner):
    folder = tuner.search_folder.path("tuner")
    shutil.rmtree(folder / "trial_0" / "run")
    shutil.copytree(folder / "trial_1" / "run", folder / "trial_0" / "run")
    with pytest.raises(
        keras_tuner.errors.FatalRuntimeError, match=r"not the run of trial 0: it has other optimizer\.learn"
    ):
        tuner.run_trial(trial_of(tuner, "0"))


def test_what_fails_a_trial_and_what_ends_the_search(tuner, monkeypatch):
    def training_raises(error):
        def train(run, **options):
            raise error

        monkeypatch.setattr(training, "train", train)

    training_raises(MemoryError("too large"))
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="MemoryError: too large"):
        tuner.run_trial(trial_of(tuner, "2"))
    outcome = json.loads(tuner.search_folder.path("tuner/trial_2/outcome.json").read_text())
    assert "MemoryError: too large" in outcome["error"] and outcome["seconds"] >= 0
    training_raises(OSError("No space left"))
    with pytest.raises(keras_tuner.errors.FatalRuntimeError, match="No space left"):
        tuner.run_trial(trial_of(tuner, "3"))
    monkeypatch.setattr(runs.Run, "load_data", lambda run: (_ for _ in ()).throw(runs.RunError("no data")))
    with pytest.raises(keras_tuner.errors.FatalRuntimeError, match="no data"):
        tuner.run_trial(trial_of(tuner, "4"))


def test_data_that_was_prepared_anew_ends_the_search(tmp_path):
    text = recipes.from_text(
        "text.toml",
        """
[data]
dataset = "text"
[model]
class = "RNN"
units = 2
output = "categorical"
[optimizer]
class = "Adam"
learning_rate = 0.01
[training]
batch_size = 2
epochs = 3
[evaluation]
batch_size = 2
""",
    )

    def prepare(sentence, data):
        (tmp_path / "text.txt").write_text("\n".join([sentence] * 60))
        datasets.text.prepare(tmp_path / "text.txt", data, verbose=False)

    data = tmp_path / "data"
    prepare("one sentence", data)
    search = Search.begin(tmp_path / "search", text, data, {**SETTINGS, "trials": 2})
    shutil.rmtree(data)
    prepare("another sentence", data)
    tuner = Trials(search)
    with pytest.raises(keras_tuner.errors.FatalRuntimeError, match="holds other data than the search was begun with"):
        tuner.run_trial(trial_of(tuner, "0"))


def test_an_ended_search_has_no_more_trials(tuner):
    before = tuner.search_folder.trials()
    tuner.search()
    assert tuner.search_folder.trials() == before


def test_hyperband_goes_on_with_the_run_of_the_trial_before(run_once, tmp_path, monkeypatch):
    trained = []

    def counted(run, verbose, until, samples):
        assert not samples  # nobody looks at those of trials
        trained.append((len(run.rows()), until))
        train(run, verbose, until)
        rows = run.rows()
        rows[0]["val_elbo"] = run.recipe.values["optimizer"]["learning_rate"]  # the highest is best
        run.write_rows(rows)

    monkeypatch.setattr(training, "train", counted)
    (tmp_path / "mine.py").write_text(SPACE.replace("[0.01, 1e38]", "[0.01, 0.02, 0.03]"))
    settings = {**SETTINGS, "tuner": "hyperband", "trials": 4, "space": f"{tmp_path / 'mine.py'}:space"}
    search = Search.begin(tmp_path / "search", run_once.recipe, None, settings)
    Trials(search).search()
    assert trained == [(0, 1), (0, 1), (0, 1), (1, 3)]
    *short, went_on = search.trials()
    assert [trial["epochs"] for trial in short] == [1, 1, 1] and went_on["epochs"] == 3
    assert went_on["settings"] == {"optimizer.learning_rate": 0.03}
    assert len(list(search.directory.rglob(runs.LAST))) == 4  # to go on from


def test_a_training_that_goes_on_in_another_folder_is_the_whole(run_once, tmp_path):
    recipe = run_once.recipe
    for name, until in (("short", 1), ("whole", None)):
        training.train(runs.Run.begin(tmp_path / name, recipe, False, None), verbose=0, until=until)
    copy = runs.Run(shutil.copytree(tmp_path / "short", tmp_path / "copy"))
    assert len(copy.rows()) == 1
    training.train(copy, verbose=0)
    assert copy.path(runs.METRICS).read_text() == (tmp_path / "whole" / runs.METRICS).read_text()
