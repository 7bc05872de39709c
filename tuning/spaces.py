"""Search spaces: plain functions from hyperparameters to settings of a recipe.

    def space(hp, recipe):
        return {"model.alpha": hp.Float("model.alpha", 1e-5, 0.1, sampling="log"), ...}

`hp` is a `keras_tuner.HyperParameters`, `recipe` the one that is searched round. The result maps dotted keys of the
recipe to values; `None` takes a key away. What is not in it stays as in the recipe. The default of each hyperparameter
is what the first trial has: here the recipe's own values, so that a search compares with the recipe it began from.
"""

import copy
import functools
import importlib
import importlib.util
import json
import math
import traceback
from pathlib import Path

from zoo.checks import Recipe, RecipeError, check, lookup
from zoo.components import MODELS, OPTIMIZERS, arguments_of, table

#: Tables of a recipe that a space may set: data and evaluation are the same for all trials.
TABLES = ("model", "optimizer", "schedule", "training")


class SpaceError(ValueError):
    """A search space can't be; the message says why."""


def recipe_with(recipe, settings):
    """A recipe with other settings.

    Args:
        recipe: `Recipe`.
        settings: dict. Dotted key -> value; `None` takes the key away.

    Raises:
        SpaceError: `settings` has a key that a space may not set.
        RecipeError: it is not a recipe that can be.
    """
    values, origins = copy.deepcopy(recipe.values), dict(recipe.origins)
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if section not in TABLES or not name or key == "training.epochs":
            raise SpaceError(f"A space sets keys of {', '.join(TABLES)}, but not training.epochs. Received: {key!r}.")
        keys = values.setdefault(section, {})
        if value is None:
            keys.pop(name, None)
        else:
            keys[name] = value
        origins[key] = f"the search space, {key} = {value!r}"
    changed = recipe._replace(values=values, origins=origins)
    check(changed)
    return changed


def find(name, recipe):
    """A search space by its name.

    Args:
        name: str or `None`. "path/to/file.py:function" or "package.module:function"; `None` for the ready
            one.
        recipe: `Recipe`.

    Raises:
        SpaceError: there is none of that name.
    """
    if name is None:
        return ready
    source, colon, function = name.rpartition(":")
    if not colon:
        raise SpaceError(f"--space {name}: must be path/to/file.py:function or package.module:function.")
    try:
        if source.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(source).stem, source)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
        found = getattr(module, function)
    except Exception as error:  # somebody's own code
        raise SpaceError(f"--space {name}: {type(error).__name__}: {error}.") from error
    if not callable(found):
        raise SpaceError(f"--space {name}: must be a function. Received: {found!r:.100}.")
    return found


def check_space(space, recipe, draws=20):
    """Tries a space with its defaults and some random draws: what is wrong with it shows before the first trial.

    Raises:
        SpaceError, RecipeError: it gives what can't be.
    """
    import keras_tuner

    declared = keras_tuner.HyperParameters()
    for draw in range(draws):
        hp = keras_tuner.HyperParameters()
        for number, each in enumerate(declared.space):  # none in the first draw: all take their defaults
            hp.merge([each])
            if hp.is_active(each):
                hp.values[each.name] = each.random_sample(1000 * draw + number)
        try:
            settings = space(hp, recipe)
        except Exception as error:  # somebody's own code
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename}, line {frame.lineno}"
            raise SpaceError(f"The space raised {type(error).__name__}: {error} ({where}).") from error
        if not isinstance(settings, dict) or not settings or not all(isinstance(key, str) for key in settings):
            raise SpaceError(
                f"A space must return a dict of settings, such as {{'model.units': 64}}. Received: {settings!r}."
            )
        if not hp.space:
            raise SpaceError("The space declares no hyperparameter: there is nothing to search.")
        try:
            recipe_with(recipe, settings)
        except RecipeError as error:
            raise SpaceError(f"With {hp.values} the space gives no recipe: {error}") from error
        declared.merge(hp.space, overwrite=False)


def ready(hp, recipe):
    """The learning rate, and what the constructor of the recipe's model takes of the other parts."""
    parts = (sizes, learning_rate, dropout, latent_size, kl_annealing, auxiliary_weights)
    return {key: value for part in parts for key, value in part(hp, recipe).items()}


def auxiliary_weights(hp, recipe):
    """α and β: zero, or log-uniform within a factor of 100 of the recipe's."""
    given = arguments(recipe)
    names = [name for name in ("alpha", "beta") if name in given]
    return {f"model.{name}": zero_or_log(hp, f"model.{name}", given[name]) for name in names}


def sizes(hp, recipe):
    """Units and hidden units: from half to twice the recipe's."""
    units = multiples(hp, recipe, "units")
    return units | multiples(hp, recipe, "hidden_units", default=arguments(recipe).get("units"))


def latent_size(hp, recipe):
    """From a quarter to four times the recipe's."""
    return multiples(hp, recipe, "latent_dim", (0.25, 0.5, 1, 2, 4))


def learning_rate(hp, recipe):
    """Log-uniform, from a tenth to five times the recipe's."""
    optimizer = recipe.values["optimizer"]
    rate = float(optimizer.get("learning_rate", arguments_of(OPTIMIZERS[optimizer["class"]])["learning_rate"]))
    key = "optimizer.learning_rate"
    return {key: rounded(hp.Float(key, rate / 10, rate * 5, sampling="log", default=rate), rate)}


def kl_annealing(hp, recipe):
    """The KL weight at first, up to 1 for no annealing, and how long it rises.

    In epochs, up to half the training (or as long as the recipe's); by an increment an update where the recipe has one.
    """
    if "kl_weight" not in arguments(recipe):
        return {}
    key = "schedule.kl_weight"
    given = lookup(recipe.values, key)
    if given not in (None, 1) and not isinstance(given, dict):
        return {}  # a constant of the recipe's own choice
    given = given if isinstance(given, dict) else {"initial": 1.0, "epochs": 1}
    initial = hp.Float(f"{key}.initial", 0.0, 1.0, step=0.05, default=given["initial"])
    weights = {"initial": rounded(initial, given["initial"])}
    if "increment" in given:
        increment = given["increment"] or 5e-5
        drawn = hp.Float(f"{key}.increment", increment / 10, increment * 10, sampling="log", default=increment)
        weights["increment"] = rounded(drawn, increment)
    else:
        longest = max(2, given["epochs"], table(recipe, "training")["epochs"] // 2)
        drawn = hp.Int(f"{key}.epochs", 1, longest, sampling="log", default=given["epochs"])
        weights["epochs"] = min(drawn, longest)  # the end of Keras Tuner's logarithmic scale is one past it
    return {key: weights if weights["initial"] < 1 else None}


def dropout(hp, recipe):
    """From 0 to a half in steps of 0.05."""
    given = arguments(recipe).get("dropout")
    if given is None:
        return {}
    drawn = hp.Float("model.dropout", 0.0, max(0.5, given), step=0.05, default=given)
    return {"model.dropout": rounded(drawn, given)}


def zero_or_log(hp, name, value, decades=2):
    """Zero, or log-uniform within some decades of a value on either side.

    One hyperparameter on a log scale whose lowest decade stands for zero, so that a Gaussian process sees zero beside
    the smallest values, where it belongs.

    Args:
        hp: `keras_tuner.HyperParameters`.
        name: str.
        value: float >= 0. The default; round 0.001 if it is zero.
        decades: float. Defaults to `2`.
    """
    centre = value or 1e-3
    smallest = centre / 10**decades
    drawn = hp.Float(name, smallest / 10, centre * 10**decades, sampling="log", default=value or smallest / 10)
    return 0.0 if drawn < smallest * (1 - 1e-9) else rounded(drawn, value)


def multiples(hp, recipe, name, factors=(0.5, 0.75, 1, 1.5, 2), default=None):
    """One of the multiples of the recipe's value of a size, of those that the model's constructor takes; by default it.

    Args:
        hp: `keras_tuner.HyperParameters`.
        recipe: `Recipe`.
        name: str. Argument of the model; where it has none, nothing is searched.
        factors: floats.
        default: int. The recipe's value where it has none.
    """
    given = arguments(recipe)
    if name not in given:
        return {}
    key, value = f"model.{name}", given[name] or default
    found = sorted({max(1, round(value * factor)) for factor in factors})
    text = json.dumps(recipe.values)
    return {key: hp.Choice(key, [each for each in found if _accepted(text, key, each)], default=value)}


@functools.cache
def _accepted(text, key, value):
    """Whether the recipe whose values a text has can have a value for a key."""
    try:
        recipe_with(Recipe("", json.loads(text), {}, ""), {key: value})
    except RecipeError:
        return False
    return True


def rounded(drawn, default):
    """Three digits, or the default itself: a recipe is to be read."""
    return default if math.isclose(drawn, default, rel_tol=1e-9, abs_tol=1e-12) else float(f"{drawn:.3g}")


def arguments(recipe):
    """Argument of the model's constructor -> its value in the recipe, or its default."""
    model = recipe.values["model"]
    return arguments_of(MODELS[model["class"]]) | model
