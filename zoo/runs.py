"""A run: the folder of one training, from its recipe to its card.

    recipe.toml        the recipe as resolved
    environment.json   versions, machine, data
    metrics.csv        a row an epoch
    tensorboard/       the same, for TensorBoard
    last.keras         the model after the last epoch: weights, optimizer, schedules, random state
    best.keras         the model of the best validation ELBO
    train.log          what happened when
    results.json       what `evaluate` measured
    card.md            all of it to read, with curves.png

After each epoch the row is written first, then last.keras, then best.keras: each file is whole at any moment, and
last.keras has the number of epochs with it, which says what rows count. Everything that training goes on from is a
function of these files, so that a run that was stopped, however and however often, ends as if it had not been.
"""

import csv
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import zipfile
from pathlib import Path

import keras
import tomli_w

from zf_keras import datasets
from zf_keras.data import shards
from zf_keras.datasets import Batches
from zoo import components, recipes
from zoo.files import whole_file, write_whole

RECIPE, ENVIRONMENT, METRICS, LAST, BEST = "recipe.toml", "environment.json", "metrics.csv", "last.keras", "best.keras"
EPOCHS = "epochs"  # in a .keras file
LOG, RESULTS, CARD, CURVES = "train.log", "results.json", "card.md", "curves.png"


class RunError(Exception):
    """A run can't go on; the message says why and what to do."""


class NonFiniteError(RunError):
    """An update or a validation was not finite."""


class Run:
    """A run's folder, and what its recipe makes of the data.

    Args:
        directory: path. Of a run that was begun.
        data_directory: path. Where the prepared data is now. Defaults to `None`, where it was.

    Raises:
        RunError: there is no run, or its recipe is not that which it was begun with.
    """

    def __init__(self, directory, data_directory=None):
        self.directory = Path(directory)
        if not (self.directory / RECIPE).is_file():
            raise RunError(f"{directory} is not the folder of a run: it has no {RECIPE}.")
        try:
            self.environment = json.loads((self.directory / ENVIRONMENT).read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{self.directory / ENVIRONMENT} can't be read: {error}.") from error
        text = (self.directory / RECIPE).read_text(encoding="utf-8")
        self.recipe = recipes.from_text(str(self.directory / RECIPE), text)
        self.name = self.environment["recipe"]
        if data_directory is not None:
            self.environment["data"] = str(data_directory)
        self._check_recipe()

    def _check_recipe(self):
        """What was trained stays what it was; more epochs may be asked for."""
        then, now = (fixed_settings(values) for values in (self.environment["settings"], self.recipe.values))
        changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        if changed:
            raise RunError(
                f"{self.directory / RECIPE} was changed since the run began: {', '.join(changed)}. "
                "Change it back, or begin another run."
            )

    @classmethod
    def begin(cls, directory, recipe, small, data_directory):
        """Makes the folder.

        Args:
            directory: path. New, or empty.
            recipe: `Recipe`.
            small: bool. Whether it is the small form.
            data_directory: path. Of the prepared data, `None` for bundled data.

        Raises:
            RunError: there is something in the folder.
        """
        check_new(directory)
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        environment = {
            "recipe": recipe.name + (" (small)" if small else ""),
            "data": None if data_directory is None else str(Path(data_directory).resolve()),
            "data_checksum": None if data_directory is None else _data_checksum(data_directory),
            "settings": recipe.values,
            **machine(),
        }
        write_whole(directory / ENVIRONMENT, json.dumps(environment, indent=1) + "\n")
        write_whole(directory / RECIPE, tomli_w.dumps(recipe.values))  # last: with it the run is there
        return cls(directory)

    def path(self, name):
        return self.directory / name

    @property
    def training(self):
        return components.table(self.recipe, "training")

    @property
    def evaluation(self):
        return components.table(self.recipe, "evaluation")

    @property
    def dataset(self):
        """The `Dataset`."""
        return datasets.get(self.recipe.values["data"]["dataset"])

    @property
    def key(self):
        """What the sequences are to a model: "inputs" where the first frame is given, else "targets"."""
        return self.dataset.key

    def load_data(self):
        """`Splits` of the recipe's data.

        Raises:
            RunError: the data is not that which the run was begun with.
        """
        directory = self.environment["data"]
        if directory is None:
            return load_data(self.recipe, None)
        try:
            checksum = _data_checksum(directory)
        except FileNotFoundError as error:
            raise RunError(f"There is no data in {directory}. Say where it is now by --data DIR.") from error
        if checksum != self.environment["data_checksum"]:
            raise RunError(f"{directory} holds other data than the run was begun with.")
        return load_data(self.recipe, directory)

    def batches(self, sequences, training=False):
        """`Batches` of a split: shuffled for training, else in order."""
        settings = self.training
        shared = {"key": self.key, "multiple": settings["multiple"]}
        if training:
            order = {"shuffle": True, "window": settings["window"], "seed": settings["seed"]}
            return Batches(sequences, settings["batch_size"], **order, **shared)
        return Batches(sequences, self.evaluation["batch_size"], **shared)

    def steps_per_epoch(self, batches):
        return self.training["steps_per_epoch"] or len(batches)

    def new_model(self, data, steps_per_epoch):
        """The compiled model before its first update."""
        keras.utils.set_random_seed(self.training["seed"])
        model = components.new_model(self.recipe, steps_per_epoch, _model_arguments(self.recipe, data))
        model.compile(optimizer=components.new_optimizer(self.recipe, steps_per_epoch))
        return model

    def last_model(self, data, steps_per_epoch):
        """The model to go on with, and how many epochs it has been trained."""
        if not self.path(LAST).exists():
            return self.new_model(data, steps_per_epoch), 0
        return self.load_model(LAST)

    def load_model(self, name):
        """A saved model, and after how many epochs it was.

        Raises:
            RunError: the file can't be read.
        """
        path = self.path(name)
        try:
            with zipfile.ZipFile(path) as file:
                epochs = int(file.read(EPOCHS))
            return keras.saving.load_model(path), epochs
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise RunError(f"{path} can't be read: {error}. It is damaged, or not of this run.") from error

    def save_model(self, model, epochs):
        """Writes `last.keras`."""
        with whole_file(self.path(LAST)) as partial:
            model.save(partial)
            with zipfile.ZipFile(partial, "a") as file:
                file.writestr(EPOCHS, str(epochs))

    def rows(self):
        """Metrics of the epochs that were trained: a list of dicts."""
        if not self.path(METRICS).exists():
            return []
        with self.path(METRICS).open(newline="") as file:
            return [
                {name: int(value) if name == "epoch" else float(value) for name, value in row.items()}
                for row in csv.DictReader(file)
            ]

    def write_rows(self, rows):
        with whole_file(self.path(METRICS)) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["epoch"])
            writer.writeheader()
            writer.writerows(rows)

    def results(self):
        """What `evaluate` measured, or `None`."""
        return json.loads(self.path(RESULTS).read_text()) if self.path(RESULTS).exists() else None


def check_new(directory):
    """Raises a `RunError` if there is something in a folder."""
    directory = Path(directory)
    if directory.exists() and any(directory.iterdir()):
        begun = (directory / RECIPE).is_file()
        what = "Go on with it by `resume`, or choose" if begun else "Choose"
        raise RunError(f"{directory} is not empty. {what} another folder by --run-dir.")


def check_data(recipe, data):
    """Raises a `RunError` if data can't be trained on by a recipe: a part is empty, or the model refuses a batch."""
    for split in ("train", "valid", components.table(recipe, "evaluation")["split"]):
        if not len(getattr(data, split)):
            raise RunError(f"The {split} part holds no sequence: prepare the data with a larger share for it.")
    model = components.new_model(recipe, 1, _model_arguments(recipe, data))
    key = datasets.get(recipe.values["data"]["dataset"]).key
    try:
        model.check_data(Batches(data.train, 1, key=key)[0])
    except ValueError as error:
        raise RunError(f"The model does not take the data: {error}") from error


def fixed_settings(values):
    """What of a recipe a run can't change: "table.key" -> value."""
    fixed = {
        f"{table}.{key}": value
        for table in ("data", "model", "optimizer", "schedule", "training")
        for key, value in values.get(table, {}).items()
    }
    fixed.pop("training.patience", None)
    if fixed.get("schedule.learning_rate") != {"decay": "cosine"}:
        fixed.pop("training.epochs", None)
    return fixed


def _model_arguments(recipe, data):
    """What the data says of a model."""
    return datasets.get(recipe.values["data"]["dataset"]).model_arguments(getattr(data.train, "manifest", None))


def load_data(recipe, directory):
    """`Splits` of a recipe's data, prepared in `directory`.

    Raises:
        RunError: it is not there, or was prepared with other settings than the recipe's.
    """
    data = recipe.values["data"]
    arguments = {key: data[key] for key in components.data_arguments(data["dataset"], "load_data") if key in data}
    if directory is None:
        return datasets.get(data["dataset"]).load_data(**arguments)
    try:
        splits = datasets.get(data["dataset"]).load_data(directory, **arguments)
    except FileNotFoundError as error:
        raise RunError(
            f"{error} Prepare it by `python -m zoo prepare {recipe.given} --source DIR`, or train with --source DIR."
        ) from error
    settings = splits.train.manifest["identity"]["settings"]
    wanted = components.data_arguments(data["dataset"], "prepare") | data
    for key, found in settings.items():
        if key in wanted and found != wanted[key]:
            raise recipe.error(
                f"data.{key}",
                f"the data in {directory} was prepared with {key} = {found!r}, the recipe has {wanted[key]!r}.",
            )
    return splits


def _data_checksum(directory):
    return shards.checksum(Path(directory) / shards.MANIFEST)


def machine():
    """What a run ran on, and when."""
    backend = keras.config.backend()
    names = ("zf_keras", "keras", backend, "tensorflow-probability", "numpy")
    devices = keras.distribution.list_devices() if backend == "jax" else _tensorflow_devices()
    return {
        "backend": backend,
        "versions": {name: importlib.metadata.version(name) for name in names},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "devices": devices,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _tensorflow_devices():
    import tensorflow as tf

    return [device.device_type for device in tf.config.list_logical_devices()]
