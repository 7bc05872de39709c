"""A search: the folder of one, from what was asked to its report.

    search.json        what was asked, on what, with which versions; the recipe as it was then
    recipe.toml        the recipe as resolved, which the first trial has
    clock.json         seconds that it has run, all starts together
    tuner/             Keras Tuner's state: oracle.json, and a folder a trial
      trial_07/        trial.json; outcome.json, its settings, seconds and error; run/, as `zoo train` makes it
    worker-0.log       what a worker said
    trials.csv         what `report` writes, with report.html and pictures

All files are whole at any moment, so that a search goes on after any of its processes, or all, were killed.
"""

import json
from pathlib import Path

import keras
import tomli_w

from tuning import metadata, spaces
from tuning.metadata import ASKED, CLOCK, ORACLE, OUTCOME, PROJECT, RECIPE, RUN, SEARCH, TRIAL, TUNERS, SearchError
from tuning.records import different, read_trial
from zf_keras import datasets
from zf_keras.files import write_whole
from zoo import components, recipes, runs


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
        self.settings = metadata.read(self.path(SEARCH), ASKED)
        self._check_settings()
        try:
            text = self.path(RECIPE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SearchError(f"{self.path(RECIPE)} can't be read: {error}.") from error
        self.recipe = recipes.from_text(str(self.path(RECIPE)), text)
        self.name = self.settings["recipe"]
        self._check_recipe()

    def _check_settings(self):
        path = self.path(SEARCH)
        tuner = self.settings["tuner"]
        if tuner not in TUNERS:
            raise SearchError(f"{path} is damaged: 'tuner' must be one of {', '.join(TUNERS)}. Received: {tuner!r}.")
        for key, least in (("trials", 1), ("workers", 0), ("seed", 0)):
            value = self.settings[key]
            if value < least:
                raise SearchError(f"{path} is damaged: {key!r} must be at least {least}. Received: {value}.")

    def _check_recipe(self):
        """What is searched round stays what it was. Older searches do not say what it was."""
        then, now = self.settings.get("values"), self.recipe.values
        if then is None:
            return
        metadata.check(self.path(SEARCH), "values", then, dict)
        changed = different(then, now)
        if changed:
            raise SearchError(
                f"{self.path(RECIPE)} was changed since the search began: {', '.join(changed)}. Change it back, or "
                "begin another search."
            )

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
            "data_checksum": runs.data_checksum(data_directory),
            **settings,
            **runs.machine(),
            "values": recipe.values,
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
        before = metadata.read(path, {}) if path.exists() else {}
        write_whole(path, json.dumps(before | known, indent=1))

    def check_backend(self):
        if self.settings["backend"] != keras.config.backend():
            raise SearchError(
                f"{self.directory} was begun on {self.settings['backend']}, this is {keras.config.backend()}: trials "
                f"of two backends are not to be compared. Set KERAS_BACKEND={self.settings['backend']}."
            )

    def check_data(self, run):
        """Raises a `RunError` unless a trial's run has the data that the search began with."""
        # Older searches do not say which.
        if self.settings.get("data_checksum") not in (None, run.environment["data_checksum"]):
            raise runs.RunError(f"{self.settings['data']} holds other data than the search was begun with.")

    def trial_recipe(self, trial):
        """The recipe of a trial, one of `trials()`, which its run has too.

        Raises:
            SearchError: its settings were changed.
        """
        recipe = spaces.recipe_with(self.recipe, trial["settings"])
        folder = self.path(PROJECT) / f"trial_{trial['trial']}"
        if (folder / RUN / runs.RECIPE).exists():
            changed = different(runs.Run(folder / RUN).recipe.values, recipe.values)
            if changed:
                raise SearchError(f"{folder / OUTCOME} is not of the run beside it: {', '.join(changed)}.")
        return recipe

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
        return metadata.read(self.path(CLOCK), {"seconds": float})["seconds"] if self.path(CLOCK).exists() else 0.0

    @seconds.setter
    def seconds(self, value):
        write_whole(self.path(CLOCK), json.dumps({"seconds": round(value, 1)}) + "\n")

    def trials(self):
        """What is known of each trial, in the order they began: a list of dicts.

        "trial", "status" ("completed", "failed" or "unfinished"), "val_elbo", the best so far, "best_epoch", "epochs",
        "seconds", "settings" and "error".
        """
        project = self.path(PROJECT)
        oracle = project / ORACLE
        # Before the folders: a trial has its own before the oracle has it.
        started = metadata.read(oracle, {"start_order": list})["start_order"] if oracle.exists() else []
        folders = {path.parent.name.removeprefix("trial_"): path.parent for path in project.glob(f"trial_*/{TRIAL}")}
        for trial_id in started:
            if trial_id not in folders:
                raise SearchError(
                    f"{oracle} has a trial {trial_id}, but {project / f'trial_{trial_id}' / TRIAL} is gone. Put it "
                    "back, or begin another search."
                )
        if folders and not oracle.exists():
            raise SearchError(f"{oracle} is gone, though there are trials. Put it back, or begin another search.")
        found = [read_trial(folder, trial_id) for trial_id, folder in folders.items()]
        return sorted(found, key=lambda trial: int(trial["trial"]))


def data_directory(recipe, folder):
    """Where the data of a recipe is below the folder of all data; `None` where it is bundled."""
    data = recipe.values["data"]
    bundled = not datasets.get(data["dataset"]).prepare
    return None if bundled else Path(folder) / data.get("directory", data["dataset"])
