"""A run: the folder of one training, from its recipe to its card.

    recipe.toml        the recipe as resolved
    environment.json   versions, machine, data
    metrics.csv        a row an epoch
    tensorboard/       the same, for TensorBoard; in samples/ what the model drew meanwhile
    last.keras         the model after the last epoch: weights, optimizer, schedules, random state
    best.keras         the model of the best validation ELBO
    train.log          what happened when
    results.json       what `evaluate` measured
    card.md            all of it to read, with curves.png

After each epoch the row is written first, then last.keras, then best.keras: each file is whole at any moment, and
last.keras has the number of epochs with it, which says what rows count. Training goes on from these files alone, so
that a run that was stopped, however often, ends as if it had not been.
"""

import json
import uuid
import zipfile
from pathlib import Path

import keras
import tomli_w

from zf_keras import datasets
from zf_keras.data import shards
from zf_keras.datasets import Batches, Pieces
from zf_keras.files import write_whole
from zoo import checkpoints, components, metrics, recipes
from zoo.machine import machine
from zoo.metadata import read_environment, read_results

RECIPE, ENVIRONMENT, METRICS, LAST, BEST = "recipe.toml", "environment.json", "metrics.csv", "last.keras", "best.keras"
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
            self.environment = read_environment(self.directory / ENVIRONMENT)
        except (OSError, ValueError) as error:
            raise RunError(f"{self.directory / ENVIRONMENT} can't be read: {error}.") from error
        text = (self.directory / RECIPE).read_text(encoding="utf-8")
        self.recipe = recipes.from_text(str(self.directory / RECIPE), text)
        self.small = self.environment["small"]
        self.name = self.environment["recipe"] + (" (small)" if self.small else "")
        if data_directory is not None:
            self.environment["data"] = str(data_directory)
        self._check_recipe()

    def _check_recipe(self):
        """What was trained stays what it was; more epochs may be asked for."""
        then, now = (recipes.fixed_settings(values) for values in (self.environment["settings"], self.recipe.values))
        changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
        if changed:
            raise RunError(
                f"{self.directory / RECIPE} was changed since the run began: {', '.join(changed)}. "
                "Change it back, or begin another run."
            )

    @classmethod
    def begin(cls, directory, recipe, small, data_directory, devices=1, processes=1):
        """Makes the folder.

        Args:
            directory: path. New, or empty.
            recipe: `Recipe`.
            small: bool. Whether it is the small form.
            data_directory: path. Of the prepared data, `None` for bundled data.
            devices: int. Of each process that trains it. Defaults to `1`.
            processes: int. Defaults to `1`.

        Raises:
            RunError: there is something in the folder.
        """
        check_new(directory)
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        environment = {
            "id": uuid.uuid4().hex,
            "recipe": recipe.name,
            "small": small,
            "data": None if data_directory is None else str(Path(data_directory).resolve()),
            "data_checksum": data_checksum(data_directory),
            "settings": recipe.values,
            "devices_each": devices,
            "processes": processes,
            **machine(),
        }
        try:
            with (directory / ENVIRONMENT).open("x", encoding="utf-8") as file:  # of two at once, one makes it
                file.write(json.dumps(environment, indent=1) + "\n")
        except FileExistsError:
            raise RunError(f"{directory} was taken by another process. Choose another folder by --run-dir.") from None
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
            checksum = data_checksum(directory)
        except FileNotFoundError as error:
            raise RunError(f"There is no data in {directory}. Say where it is now by --data DIR.") from error
        if checksum != self.environment["data_checksum"]:
            raise RunError(f"{directory} holds other data than the run was begun with.")
        return load_data(self.recipe, directory)

    def batches(self, sequences, training=False, devices=None):
        """`Batches` of a split: shuffled for training, else in order; `Pieces` where the recipe trains on them.

        devices: `Devices`, where each takes a share of every batch.
        """
        shares = {}
        if devices:
            shares = {"replicas": devices.replicas, "rows": (devices.index, devices.processes)}
        if training:
            return training_batches(self.recipe, sequences, **shares)
        shares |= {"key": self.key, "multiple": self.training["multiple"]}
        return Batches(sequences, self.evaluation["batch_size"], **shares)

    def steps_per_epoch(self, batches):
        return self.training["steps_per_epoch"] or len(batches)

    def new_model(self, data, steps_per_epoch):
        """The compiled model before its first update."""
        keras.utils.set_random_seed(self.training["seed"])
        model = components.new_model(self.recipe, steps_per_epoch, _model_arguments(self.recipe, data))
        if model.scaling is not None and not model.scaling.by_sequence:
            model.adapt(self.batches(data.train))
        model.compile(optimizer=components.new_optimizer(self.recipe, steps_per_epoch))
        return model

    def last_model(self, data, steps_per_epoch):
        """The model to go on with, and how many epochs it has been trained.

        Raises:
            RunError: its file is gone or damaged.
        """
        if self.path(LAST).exists():
            return self.load_model(LAST)
        # Stopped in the first epoch, a run may have its row, and no model.
        epochs = len(self.rows())
        if epochs > 1 or self.path(BEST).exists():
            what = f"{self.path(LAST)} is gone, and {epochs} epochs were trained"
            raise RunError(f"{what}: put it back, or begin another run.")
        return self.new_model(data, steps_per_epoch), 0

    def load_model(self, name):
        """A saved model, and after how many epochs it was.

        Raises:
            RunError: the file can't be read, or is not of this run and its rows.
        """
        epochs = self.epochs_of(name)
        try:
            return checkpoints.load(self.path(name)), epochs
        except ValueError as error:
            raise RunError(f"{self.path(name)} can't be read: {error}. It is damaged.") from error

    def epochs_of(self, name):
        """After how many epochs a model was saved.

        Raises:
            RunError: the file can't be read, or is not of this run and its rows.
        """
        try:
            return checkpoints.epochs_of(self.path(name), self.environment.get("id"), self.rows())
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{self.path(name)} can't be used: {error}. Put back the file, or begin another run."
            ) from error

    def save_model(self, model, epochs):
        """Writes `last.keras`."""
        checkpoints.save(self.path(LAST), model, self.environment.get("id"), self.rows()[:epochs])

    def rows(self):
        """Metrics of the epochs that were trained: a list of dicts.

        Raises:
            RunError: the file was damaged.
        """
        try:
            return metrics.read(self.path(METRICS))
        except ValueError as error:
            raise RunError(f"{self.path(METRICS)} can't be read: {error}.") from error

    def write_rows(self, rows):
        metrics.write(self.path(METRICS), rows)

    def results(self):
        """What `evaluate` measured, or `None`.

        Raises:
            RunError: the file was damaged.
        """
        if not self.path(RESULTS).exists():
            return None
        try:
            return read_results(self.path(RESULTS), len(self.rows()))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path(RESULTS)} can't be read: {error}. `evaluate` makes it again.") from error


def training_batches(recipe, sequences, replicas=1, rows=(0, 1)):
    """`Batches` or `Pieces` that a recipe trains on. replicas, rows: as for `Batches`.

    Raises:
        ValueError: there are fewer pieces than streams, or several devices for them.
    """
    settings, dataset = components.table(recipe, "training"), datasets.get(recipe.values["data"]["dataset"])
    shared = {"key": dataset.key, "shuffle": True, "seed": settings["seed"]}
    if settings["piece_length"]:
        if replicas > 1:
            raise recipe.error("training.piece_length", "training.piece_length: one device trains on pieces.")
        arguments = dataset.model_arguments(getattr(sequences, "manifest", None)) | recipe.values["model"]
        token = arguments.get("start_token", 0)
        return Pieces(sequences, settings["batch_size"], settings["piece_length"], start_token=token, **shared)
    return Batches(
        sequences,
        settings["batch_size"],
        window=settings["window"],
        multiple=settings["multiple"],
        replicas=replicas,
        rows=rows,
        **shared,
    )


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
        training_batches(recipe, data.train)
    except ValueError as error:
        raise RunError(f"The model does not take the data: {error}") from error


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
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in wanted.items()}  # as JSON does
    for key, found in settings.items():
        if key in wanted and found != wanted[key]:
            raise recipe.error(
                f"data.{key}",
                f"the data in {directory} was prepared with {key} = {found!r}, the recipe has {wanted[key]!r}.",
            )
    return splits


def data_checksum(directory):
    """Of prepared data, `None` for bundled data."""
    return None if directory is None else shards.checksum(Path(directory) / shards.MANIFEST)
