"""A search: the folder of one, from what was asked to its report.

    search.json        what was asked, on what, with which versions
    recipe.toml        the recipe as resolved, which the first trial has
    clock.json         seconds that it has run, all starts together
    tuner/             Keras Tuner's state: oracle.json, and a folder a trial
      trial_07/        trial.json; outcome.json, its settings, seconds and error; run/, as `zoo train` makes it
    worker-0.log       what a worker said
    trials.csv         what `report` writes, with report.html and pictures

All files are whole at any moment, so that a search goes on after any of its processes, or all, were killed.
"""

import datetime
import json
from pathlib import Path

import keras
import tomli_w

from tuning import spaces
from zf_keras import datasets
from zoo import components, recipes, runs
from zoo.files import write_whole

SEARCH, RECIPE, CLOCK, OUTCOME, RUN = "search.json", "recipe.toml", "clock.json", "outcome.json", "run"
STOP, LOCK, PROJECT, WORKERS = "stop", "lock", "tuner", "workers"
OBJECTIVE = "val_elbo"
TUNERS = ("random", "bayesian", "hyperband")


class SearchError(ValueError):
    """A search can't go on; the message says why and what to do."""


class Search:
    """A search's folder.

    Args:
        directory: path. Of a search that was begun.

    Raises:
        SearchError: there is no search, or it was begun on another backend.
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        if not self.path(SEARCH).is_file():
            raise SearchError(f"{directory} is not the folder of a search: it has no {SEARCH}.")
        self.settings = json.loads(self.path(SEARCH).read_text())
        self.recipe = recipes.from_text(str(self.path(RECIPE)), self.path(RECIPE).read_text(encoding="utf-8"))
        self.name = self.settings["recipe"]

    @classmethod
    def begin(cls, directory, recipe, data_directory, settings):
        """Makes the folder, once the recipe, its data and the space are known to go together.

        Args:
            directory: path. New, or empty.
            recipe: `Recipe`.
            data_directory: path. Of the prepared data, `None` for bundled data.
            settings: dict. "tuner", "trials", "seed", "space" and what else was asked.

        Raises:
            SearchError, RunError, RecipeError, SpaceError: what is wrong.
        """
        directory = Path(directory)
        if directory.exists() and any(directory.iterdir()):
            begun = (directory / SEARCH).is_file()
            what = "Go on with it by `resume`, or choose" if begun else "Choose"
            raise SearchError(f"{directory} is not empty. {what} another folder by --search-dir.")
        spaces.check_space(spaces.find(settings["space"], recipe), recipe)
        runs.check_data(recipe, runs.load_data(recipe, data_directory))
        directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "recipe": recipe.name,
            "data": None if data_directory is None else str(Path(data_directory).resolve()),
            **settings,
            **runs.machine(),
        }
        write_whole(directory / RECIPE, tomli_w.dumps(recipe.values))
        write_whole(directory / SEARCH, json.dumps(settings, indent=1) + "\n")  # last: with it the search is there
        return cls(directory)

    def path(self, name):
        return self.directory / name

    def change(self, **settings):
        """Writes other settings; `None` leaves one as it is."""
        self.settings |= {name: value for name, value in settings.items() if value is not None}
        write_whole(self.path(SEARCH), json.dumps(self.settings, indent=1) + "\n")

    def write_outcome(self, trial_id, **known):
        """Writes what is known of a trial beside Keras Tuner's own: settings, seconds, error."""
        path = self.path(PROJECT) / f"trial_{trial_id}" / OUTCOME
        before = json.loads(path.read_text()) if path.exists() else {}
        write_whole(path, json.dumps(before | known, indent=1))

    def check_backend(self):
        if self.settings["backend"] != keras.config.backend():
            raise SearchError(
                f"{self.directory} was begun on {self.settings['backend']}, this is {keras.config.backend()}: trials "
                f"of two backends are not to be compared. Set KERAS_BACKEND={self.settings['backend']}."
            )

    @property
    def epochs(self):
        """Of a whole training."""
        return components.table(self.recipe, "training")["epochs"]

    def space(self, hp):
        """The settings that hyperparameters stand for."""
        return spaces.find(self.settings["space"], self.recipe)(hp, self.recipe)

    @property
    def seconds(self):
        """How long the search has run, all starts together."""
        return json.loads(self.path(CLOCK).read_text())["seconds"] if self.path(CLOCK).exists() else 0.0

    @seconds.setter
    def seconds(self, value):
        write_whole(self.path(CLOCK), json.dumps({"seconds": round(value, 1)}) + "\n")

    def trials(self):
        """What is known of each trial, in the order they began: a list of dicts.

        "trial", "status" ("completed", "failed" or "unfinished"), "val_elbo", the best so far, "best_epoch", "epochs",
        "seconds", "settings" and "error".
        """
        paths = self.path(PROJECT).glob("trial_*/trial.json")
        states = {path.parent: json.loads(path.read_text()) for path in paths}
        return [
            _record(folder, state)
            for folder, state in sorted(states.items(), key=lambda item: int(item[1]["trial_id"]))
        ]


def _record(folder, state):
    outcome = json.loads((folder / OUTCOME).read_text()) if (folder / OUTCOME).exists() else {}
    rows = runs.Run(folder / RUN).rows() if (folder / RUN / runs.RECIPE).exists() else []
    best = max(rows, key=lambda row: row[OBJECTIVE], default={})
    status = {"COMPLETED": "completed", "FAILED": "failed"}.get(state["status"], "unfinished")
    return {
        "trial": state["trial_id"],
        "status": status,
        OBJECTIVE: state["score"] if status == "completed" else best.get(OBJECTIVE),
        "best_epoch": best.get("epoch"),
        "epochs": len(rows),
        "seconds": outcome.get("seconds"),
        "settings": outcome.get("settings", {}),
        "error": outcome.get("error"),
    }


def data_directory(recipe, folder):
    """Where the data of a recipe is below the folder of all data; `None` where it is bundled."""
    data = recipe.values["data"]
    bundled = not datasets.get(data["dataset"]).prepare
    return None if bundled else Path(folder) / data.get("directory", data["dataset"])


def ranked(trials):
    """The trials that were completed, the best first."""
    completed = [trial for trial in trials if trial["status"] == "completed"]
    return sorted(completed, key=lambda trial: -trial[OBJECTIVE])


def today():
    return datetime.datetime.now(datetime.UTC).date().isoformat()
