"""What may stand in a recipe: an unknown key, a wrong type or a wrong value is an error that says where it is.

The checks are ours and not pydantic's: the accepted keys and their defaults come from the signatures of models,
optimizers and data sets, the values are checked by their constructors, and each error names file, line and key.
"""

import difflib
import math
from typing import NamedTuple

from zf_keras import datasets
from zoo.components import (
    BOUNDS,
    EVALUATION,
    MODELS,
    OPTIMIZERS,
    PUBLISHED,
    TABLES,
    TRAINING,
    arguments_of,
    data_arguments,
    new_model,
    new_optimizer,
    table,
)

#: Arguments that a model can't be made without -> a right value.
REQUIRED = {"model.units": 1, "model.latent_dim": 1, "model.output": "gaussian"}
#: Types of the keys whose default does not say them.
TYPES = {
    "title": str,
    "extends": str,
    "data.dataset": str,
    "data.directory": str,
    "data.horizon": int,
    "data.context": int,
    "data.holidays": str,
    "data.frequency": str,
    "data.season": int,
    "data.time_zone": str,
    "model.class": str,
    "model.units": int,
    "model.latent_dim": int,
    "model.output": str,
    "model.dtype": str,
    "model.hidden_units": int,
    "model.embedding_dim": int,
    "model.num_components": int,
    "model.num_classes": int,
    "model.output_network": str,
    "model.clip": float,
    "model.segment_length": int,
    "model.missing": str,
    "model.scaling": str,
    "optimizer.class": str,
    "optimizer.learning_rate": float,
    "optimizer.global_clipnorm": float,
    "optimizer.clipnorm": float,
    "optimizer.clipvalue": float,
    "optimizer.weight_decay": float,
    "schedule.kl_weight": float,
    "schedule.kl_weight.initial": float,
    "schedule.kl_weight.increment": float,
    "schedule.kl_weight.epochs": int,
    "schedule.learning_rate.decay": str,
    "schedule.learning_rate.by": float,
    "schedule.learning_rate.after": int,
    "training.piece_length": int,
    "training.steps_per_epoch": int,
    "training.patience": int,
    "training.multiple": int,
    "published.metric": str,
    "published.value": float,
    "published.bound": str,
    "published.source": str,
}


class RecipeError(ValueError):
    """A recipe says something that can't be; the message names file, line and key."""


class Recipe(NamedTuple):
    """A recipe as resolved: with what it extends, its small form where asked for, and what was set."""

    name: str
    values: dict  # nested, as TOML
    origins: dict  # dotted key -> where it was said: "file, line 3" or "--set"
    given: str  # what it was asked for by: a name of the zoo, or a path

    def error(self, key, message):
        """A `RecipeError` that says where `key`, or the nearest table above it, was given."""
        return RecipeError(f"{origin(self.origins, key, self.name)}: {message}")


def origin(origins, key, path):
    """Where a key, or the nearest table above it, was given."""
    while key not in origins and "." in key:
        key = key.rpartition(".")[0]
    return origins.get(key, str(path))


def check(recipe):
    """Raises a `RecipeError` where a recipe has an unknown key, a wrong type or a wrong value."""
    values = recipe.values
    for key, value in values.items():
        if key in TABLES:
            if not isinstance(value, dict):
                raise recipe.error(key, f"{key} must be a table.")
        elif key != "title":
            raise recipe.error(key, f"unknown key {key!r}.{nearest(key, ('title', *TABLES))}")
    if not isinstance(values.get("title", ""), str):
        raise recipe.error("title", f"title must be a string. Received: {values['title']!r}.")
    for key in ("data.dataset", "model.class", "optimizer.class"):
        if lookup(values, key) is None:
            raise RecipeError(f"{recipe.name}: {key} is missing.")
    _check_choice(recipe, "data.dataset", datasets.NAMES)
    _check_choice(recipe, "model.class", MODELS)
    _check_choice(recipe, "optimizer.class", OPTIMIZERS)
    model = {
        name: default
        for name, default in arguments_of(MODELS[values["model"]["class"]]).items()
        if name not in ("kl_weight", "seed", "num_streams")
    }
    optimizer = arguments_of(OPTIMIZERS[values["optimizer"]["class"]])
    accepted = {
        "data": {"dataset": "", "directory": None, **data_arguments(values["data"]["dataset"])},
        "model": {"class": "", "dtype": None, **model},
        "optimizer": {"class": "", **optimizer},
        "schedule": {"kl_weight": None, "learning_rate": None},
        "training": TRAINING,
        "evaluation": EVALUATION,
        "published": PUBLISHED,
    }
    for section, keys in accepted.items():
        for key, value in values.get(section, {}).items():
            check_key(recipe, f"{section}.{key}", keys)
            if section != "schedule":
                check_type(recipe, f"{section}.{key}", value, keys[key])
    _check_schedule(recipe)
    _check_values(recipe)


def _check_values(recipe):
    training, evaluation = table(recipe, "training"), table(recipe, "evaluation")
    for name, settings in (("training", training), ("evaluation", evaluation)):
        for key, value in settings.items():
            wrong, wanted = isinstance(value, int) and value < 1, "positive"
            if key == "seed":
                wrong, wanted = not 0 <= value < 2**31, "in [0, 2**31)"
            elif key == "samples_every":
                wrong, wanted = value < 0, ">= 0"
            if wrong:
                raise recipe.error(f"{name}.{key}", f"{name}.{key} must be {wanted}. Received: {value}.")
    for key in ("learning_rate", "global_clipnorm", "clipnorm", "clipvalue"):
        value = recipe.values["optimizer"].get(key, 1.0)
        if not 0 < value < float("inf"):
            raise recipe.error(f"optimizer.{key}", f"optimizer.{key} must be a number > 0. Received: {value}.")
    _check_choice(recipe, "evaluation.split", ("train", "valid", "test"))
    if "published" in recipe.values:
        for key in PUBLISHED:
            if key not in recipe.values["published"]:
                raise recipe.error("published", f"published.{key} is missing.")
        _check_choice(recipe, "published.bound", BOUNDS)
    _check_made(recipe, ("model", "schedule.kl_weight"), lambda each: new_model(each, 1, {"num_classes": 2**20}))
    _check_made(recipe, ("optimizer", "schedule.learning_rate"), lambda each: new_optimizer(each, 1))
    for section, settings in recipe.values.items():
        for key, value in settings.items() if isinstance(settings, dict) else ():
            parts = value.values() if isinstance(value, dict) else [value]
            if any(isinstance(part, float) and math.isnan(part) for part in parts):
                raise recipe.error(f"{section}.{key}", f"{section}.{key} must be a number. Received: nan.")


def _check_made(recipe, parts, make):
    """Raises the error of a constructor, at the key without which there would be none."""
    try:
        make(recipe)
    except (TypeError, ValueError) as error:
        key = next((key for key in _keys(recipe, parts) if _made(make, _without(recipe, key))), parts[0])
        raise recipe.error(key, str(error)) from error


def _keys(recipe, parts):
    for part in parts:
        value = lookup(recipe.values, part)
        keys = [f"{part}.{name}" for name in value if name != "class"] if isinstance(value, dict) else []
        yield from keys if "." not in part else [part] if value is not None else []


def _without(recipe, key):
    """A recipe with the default in the place of a value."""
    section, _, name = key.partition(".")
    table = {**recipe.values[section], name: REQUIRED.get(key)}
    if key not in REQUIRED:
        del table[name]
    return recipe._replace(values={**recipe.values, section: table})


def _made(make, recipe):
    try:
        make(recipe)
    except (TypeError, ValueError):
        return False
    return True


def _check_schedule(recipe):
    schedule = recipe.values.get("schedule", {})
    kl_weight = schedule.get("kl_weight")
    if isinstance(kl_weight, dict):
        for key, value in kl_weight.items():
            check_key(recipe, f"schedule.kl_weight.{key}", ("initial", "increment", "epochs"))
            check_type(recipe, f"schedule.kl_weight.{key}", value, None)
        if "initial" not in kl_weight or ("increment" in kl_weight) == ("epochs" in kl_weight):
            raise recipe.error(
                "schedule.kl_weight", "schedule.kl_weight must be a number, {initial, increment} or {initial, epochs}."
            )
        epochs = kl_weight.get("epochs", 1)
        if epochs < 1:
            raise recipe.error(
                "schedule.kl_weight.epochs", f"schedule.kl_weight.epochs must be positive. Received: {epochs}."
            )
    elif kl_weight is not None:
        check_type(recipe, "schedule.kl_weight", kl_weight, None)
    cls = recipe.values["model"]["class"]
    if kl_weight is not None and "kl_weight" not in arguments_of(MODELS[cls]):
        raise recipe.error("schedule.kl_weight", f"schedule.kl_weight: {cls} has no KL.")
    decay = schedule.get("learning_rate")
    if decay is None:
        return
    if not isinstance(decay, dict):
        raise recipe.error(
            "schedule.learning_rate", 'schedule.learning_rate must be a table such as {decay = "cosine"}.'
        )
    for key, value in decay.items():
        check_key(recipe, f"schedule.learning_rate.{key}", ("decay", "by", "after"))
        check_type(recipe, f"schedule.learning_rate.{key}", value, None)
    _check_choice(recipe, "schedule.learning_rate.decay", ("cosine", "divide"))
    wanted = {"decay"} if decay.get("decay") == "cosine" else {"decay", "by", "after"}
    if set(decay) != wanted:
        raise recipe.error(
            "schedule.learning_rate", f"schedule.learning_rate must have the keys {', '.join(sorted(wanted))}."
        )


def check_key(recipe, key, accepted):
    name = key.rpartition(".")[2]
    if name not in accepted:
        raise recipe.error(key, f"unknown key {key!r}.{nearest(name, accepted)}")


def _check_choice(recipe, key, accepted):
    value = lookup(recipe.values, key)
    if value is not None and (not isinstance(value, str) or value not in accepted):
        choices = ", ".join(map(repr, accepted))
        near = nearest(str(value), accepted)
        raise recipe.error(key, f"{key} must be one of {choices}. Received: {value!r}.{near}")


def check_type(recipe, key, value, default):
    expected = TYPES.get(key, type(default) if default is not None else None)
    if expected is None:
        return
    expected = list if expected is tuple else expected
    right = isinstance(value, (int, float) if expected is float else expected)
    if not right or (isinstance(value, bool) and expected is not bool):
        name = {int: "an integer", float: "a number", str: "a string", bool: "true or false", list: "a list"}.get(
            expected
        )
        raise recipe.error(key, f"{key} must be {name}. Received: {value!r}.")


def nearest(name, accepted):
    near = difflib.get_close_matches(name, list(accepted), n=1, cutoff=0.0)
    return f" The nearest is {near[0]!r}." if near else ""


def lookup(values, key):
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            return None
        values = values[name]
    return values
