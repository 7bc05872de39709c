"""Recipes: small TOML files that say what is trained on what, how, and what it should give.

Tables and their keys; those without a default must be there:

    title = "..."                     what it is
    extends = "_base"                 a recipe beside it that this one starts from; optional
    [data]       dataset              module of zf_keras.datasets; further keys are arguments of its `prepare` and
                                      `load_data`
                 directory            folder of the prepared data below the data folder (default: the dataset's name)
    [model]      class                model of zf_keras; further keys are its arguments
    [optimizer]  class                optimizer of keras.optimizers; further keys are its arguments
    [schedule]   kl_weight            a number, {initial, increment} or {initial, epochs}: linear to 1
                 learning_rate        {decay = "cosine"} to 0 at the end, or {decay = "divide", by, after}: divided by
                                      `by` at each epoch after so many
    [training]   see TRAINING
    [evaluation] see EVALUATION
    [published]  metric, value, bound, source: the number that the recipe is to be compared with; optional
    [small]      dotted keys of the tables above that are otherwise in the recipe's small form
"""

import difflib
import inspect
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import keras

import zf_keras
from zf_keras import datasets

FOLDER = Path(__file__).parent / "recipes"
#: key -> default; `None` for none.
TRAINING = {
    "batch_size": 32,
    "epochs": 100,
    "steps_per_epoch": None,  # updates between two validations and checkpoints; None: a pass over the data
    "patience": None,  # epochs without a better validation ELBO after which training stops; None: never
    "window": 50,  # batches that are sorted by length together
    "multiple": 1,  # steps that batches are padded to a multiple of
    "seed": 0,
}
EVALUATION = {
    "split": "test",
    "num_samples": 25,  # of the importance-weighted bound
    "batch_size": 32,
    "pairs": 256,  # (sequence, sample) pairs that are computed at a time
}
PUBLISHED = {"metric": None, "value": None, "bound": None, "source": None}
BOUNDS = ("ELBO", "IWAE", "exact")
MODELS = {name: getattr(zf_keras, name) for name in ("RNN", "STORN", "VRNN", "SRNN", "ZForcing", "VariationalBiLSTM")}
OPTIMIZERS = {
    name: cls
    for name, cls in vars(keras.optimizers).items()
    if inspect.isclass(cls)
    and issubclass(cls, keras.optimizers.Optimizer)
    and name not in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
}
TABLES = ("data", "model", "optimizer", "schedule", "training", "evaluation", "published")
#: What the error of a schedule names -> its key.
SCHEDULED = {
    "KLAnnealing": "schedule.kl_weight",
    "kl_weight": "schedule.kl_weight",
    "DividedAfter": "schedule.learning_rate",
}
#: Types of the keys whose default does not say them.
TYPES = {
    "title": str,
    "extends": str,
    "data.dataset": str,
    "data.directory": str,
    "model.class": str,
    "model.units": int,
    "model.latent_dim": int,
    "model.output": str,
    "model.dtype": str,
    "model.hidden_units": int,
    "model.embedding_dim": int,
    "model.num_classes": int,
    "model.clip": float,
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
    "training.steps_per_epoch": int,
    "training.patience": int,
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
        return RecipeError(f"{_origin(self.origins, key, self.name)}: {message}")


def names():
    """Names of all recipes: such as "timit/z_forcing"."""
    paths = (path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.toml"))
    return sorted(path.as_posix() for path in paths if not path.name.startswith("_"))


def load(name, small=False, settings=()):
    """A recipe, checked.

    Args:
        name: str. Of a recipe of the zoo, or path of a TOML file.
        small: bool. Whether in its small form. Defaults to `False`.
        settings: list of "dotted.key=value", in TOML; "dotted.key=none" takes the key away. Defaults to none.

    Raises:
        RecipeError: names the file, the line and what is accepted.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        what = f"{name} is a folder." if Path(name).is_dir() else f"There is no recipe {name!r}."
        raise RecipeError(f"{what}{_nearest(name, names())} `list` shows all.")
    leaves, origins = _read(path, ())
    for key in [key for key in leaves if key.startswith("small.")]:
        value, origin = leaves.pop(key), _origin(origins, key, path)
        if small:
            _put(leaves, origins, key.removeprefix("small."), value, origin)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set {setting}: must be key=value, such as model.units=64.")
        key = key.strip()
        if "." in key and key.partition(".")[0] not in TABLES:
            raise RecipeError(f"--set {setting}: unknown key {key!r}.{_nearest(key, TABLES)}")
        if value.strip() == "none":
            leaves.pop(key, None)
        else:
            _put(leaves, origins, key, _toml_value(value), f"--set {setting}")
    recipe = Recipe(path.stem if name.endswith(".toml") else name, _nest(leaves), origins, name)
    check(recipe)
    return recipe


def from_text(name, text):
    """A resolved recipe, as a run keeps it."""
    leaves, origins = _leaves(name, text)
    recipe = Recipe(name, _nest(leaves), origins, name)
    check(recipe)
    return recipe


def _read(path, above):
    """Leaves and origins of a file and of what it extends. above: the files that extend it."""
    try:
        leaves, origins = _leaves(path, path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8: {error}.") from error
    base = leaves.pop("extends", None)
    if base is None:
        return leaves, origins
    base_path = path.parent / f"{base}.toml"
    if not isinstance(base, str) or not base_path.is_file() or base_path in (path, *above):
        where = origins.get("extends", path)
        raise RecipeError(f"{where}: extends must name another recipe beside it. Received: {base!r}.")
    base_leaves, base_origins = _read(base_path, (path, *above))
    for key, leaf in leaves.items():
        _put(base_leaves, base_origins, key, leaf, _origin(origins, key, path))
    return base_leaves, base_origins


def _origin(origins, key, path):
    """Where a key, or the nearest table above it, was given."""
    while key not in origins and "." in key:
        key = key.rpartition(".")[0]
    return origins.get(key, str(path))


def _leaves(path, text):
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML: {error}.") from error
    return dict(_flatten(values)), {key: f"{path}, line {line}" for key, line in _lines(text).items()}


def _lines(text):
    """Dotted key -> its line. Keys are bare in recipes."""
    lines, table = {}, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            table = header[1] + "."
            lines[header[1]] = number
        elif key := re.match(r"\s*([\w.-]+)\s*=", line):
            lines.setdefault(table + key[1], number)
    return lines


def _flatten(values):
    """Pairs of "table.key", of the small form "small.table.key", and value."""
    for key, value in values.items():
        if isinstance(value, dict) and key in (*TABLES, "small"):
            inner = _flatten(value) if key == "small" else value.items()
            yield from ((f"{key}.{name}", leaf) for name, leaf in inner)
        else:
            yield key, value


def _put(leaves, origins, key, value, origin):
    """Sets a leaf, or a key inside of a leaf that is an inline table."""
    table, _, inner = key.rpartition(".")
    if table.removeprefix("small.").count(".") == 1 and isinstance(leaves.get(table, {}), dict):
        leaves[table] = {**leaves.get(table, {}), inner: value}
    else:
        leaves[key] = value
    origins[key] = origin


def _nest(leaves):
    values = {}
    for key, leaf in leaves.items():
        table, _, name = key.partition(".")
        if not name:
            values[table] = leaf
        elif isinstance(values.setdefault(table, {}), dict):
            values[table][name] = leaf
    return values


def _toml_value(text):
    """A value as TOML writes it; bare words are strings."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


# Checks.


def check(recipe):
    """Raises a `RecipeError` where a recipe has an unknown key, a wrong type or a wrong value."""
    values = recipe.values
    for key, value in values.items():
        if key in TABLES:
            if not isinstance(value, dict):
                raise recipe.error(key, f"{key} must be a table.")
        elif key != "title":
            raise recipe.error(key, f"unknown key {key!r}.{_nearest(key, ('title', *TABLES))}")
    if not isinstance(values.get("title", ""), str):
        raise recipe.error("title", f"title must be a string. Received: {values['title']!r}.")
    for key in ("data.dataset", "model.class", "optimizer.class"):
        if _get(values, key) is None:
            raise RecipeError(f"{recipe.name}: {key} is missing.")
    _check_choice(recipe, "data.dataset", datasets.NAMES)
    _check_choice(recipe, "model.class", MODELS)
    _check_choice(recipe, "optimizer.class", OPTIMIZERS)
    model = {
        name: default
        for name, default in _arguments(MODELS[values["model"]["class"]]).items()
        if name not in ("kl_weight", "seed")
    }
    optimizer = _arguments(OPTIMIZERS[values["optimizer"]["class"]])
    accepted = {
        "data": {"dataset": "", "directory": None, **data_arguments(values["data"]["dataset"])},
        "model": {"class": "", "dtype": None, **model},
        "optimizer": {"class": "", **optimizer},
        "schedule": {"kl_weight": None, "learning_rate": None},
        "training": TRAINING,
        "evaluation": EVALUATION,
        "published": PUBLISHED,
    }
    for table, keys in accepted.items():
        for key, value in values.get(table, {}).items():
            _check_key(recipe, f"{table}.{key}", keys)
            if (table, key) not in (("schedule", "kl_weight"), ("schedule", "learning_rate")):
                _check_type(recipe, f"{table}.{key}", value, keys[key])
    _check_schedule(recipe)
    _check_values(recipe)


def _check_values(recipe):
    training, evaluation = table(recipe, "training"), table(recipe, "evaluation")
    for name, settings in (("training", training), ("evaluation", evaluation)):
        for key, value in settings.items():
            wrong, wanted = isinstance(value, int) and value < 1, "positive"
            if key == "seed":
                wrong, wanted = not 0 <= value < 2**31, "in [0, 2**31)"
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
    made = (
        ("model", lambda: new_model(recipe, 1, {"num_classes": 2**20})),
        ("optimizer", lambda: new_optimizer(recipe, 1)),
    )
    for section, make in made:
        try:
            make()
        except (TypeError, ValueError) as error:
            named = [f"{section}.{name}" for name in re.findall(r"[`'](\w+)[`']", str(error))]
            named += [key for part, key in SCHEDULED.items() if part in str(error)] + [f"{section}.dtype"]
            raise recipe.error(next((key for key in named if key in recipe.origins), section), str(error)) from error


def _check_schedule(recipe):
    schedule = recipe.values.get("schedule", {})
    kl_weight = schedule.get("kl_weight")
    if isinstance(kl_weight, dict):
        for key, value in kl_weight.items():
            _check_key(recipe, f"schedule.kl_weight.{key}", ("initial", "increment", "epochs"))
            _check_type(recipe, f"schedule.kl_weight.{key}", value, None)
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
        _check_type(recipe, "schedule.kl_weight", kl_weight, None)
    if kl_weight is not None and recipe.values["model"]["class"] == "RNN":
        raise recipe.error("schedule.kl_weight", "schedule.kl_weight: an RNN has no KL.")
    decay = schedule.get("learning_rate")
    if decay is None:
        return
    if not isinstance(decay, dict):
        raise recipe.error(
            "schedule.learning_rate", 'schedule.learning_rate must be a table such as {decay = "cosine"}.'
        )
    for key, value in decay.items():
        _check_key(recipe, f"schedule.learning_rate.{key}", ("decay", "by", "after"))
        _check_type(recipe, f"schedule.learning_rate.{key}", value, None)
    _check_choice(recipe, "schedule.learning_rate.decay", ("cosine", "divide"))
    wanted = {"decay"} if decay.get("decay") == "cosine" else {"decay", "by", "after"}
    if set(decay) != wanted:
        raise recipe.error(
            "schedule.learning_rate", f"schedule.learning_rate must have the keys {', '.join(sorted(wanted))}."
        )


def _check_key(recipe, key, accepted):
    name = key.rpartition(".")[2]
    if name not in accepted:
        raise recipe.error(key, f"unknown key {key!r}.{_nearest(name, accepted)}")


def _check_choice(recipe, key, accepted):
    value = _get(recipe.values, key)
    if value is not None and (not isinstance(value, str) or value not in accepted):
        choices = ", ".join(map(repr, accepted))
        nearest = _nearest(str(value), accepted)
        raise recipe.error(key, f"{key} must be one of {choices}. Received: {value!r}.{nearest}")


def _check_type(recipe, key, value, default):
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


def _nearest(name, accepted):
    near = difflib.get_close_matches(name, list(accepted), n=1, cutoff=0.0)
    return f" The nearest is {near[0]!r}." if near else ""


def _get(values, key):
    for name in key.split("."):
        if not isinstance(values, dict) or name not in values:
            return None
        values = values[name]
    return values


def _arguments(function):
    """Argument -> default (`None` where there is none) of a function, or of a class and those above it."""
    functions, left_out = [function], ()
    if inspect.isclass(function):
        functions = [cls.__init__ for cls in reversed(function.__mro__)]
        functions = [each for each in functions if each not in (keras.Model.__init__, object.__init__)]
        left_out = ("self", "name")
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for each in functions
        for name, parameter in inspect.signature(each).parameters.items()
        if name not in left_out and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def data_arguments(dataset, function=None):
    """Arguments of a data set's `prepare`, `load_data` or, without `function`, both, with their defaults."""
    module = datasets.module(dataset)
    arguments = {}
    for name in ("prepare", "load_data"):
        if function in (name, None) and hasattr(module, name):
            arguments |= _arguments(getattr(module, name))
    return {
        name: default
        for name, default in arguments.items()
        # Scores are told in the units of standardised data.
        if name not in ("source", "directory", "on_error", "verbose", "verify", "dataset", "standardize")
    }


# What a recipe makes.


def table(recipe, name):
    """A table with its defaults."""
    defaults = {"training": TRAINING, "evaluation": EVALUATION}[name]
    return defaults | recipe.values.get(name, {})


def new_model(recipe, steps_per_epoch, arguments):
    """The model, not compiled. arguments: what the data set says of it, such as `num_classes`."""
    values = dict(recipe.values["model"])
    cls = MODELS[values.pop("class")]
    if values.get("output") == "categorical":
        values = arguments | values
    values["seed"] = table(recipe, "training")["seed"]
    kl_weight = recipe.values.get("schedule", {}).get("kl_weight")
    if isinstance(kl_weight, dict):
        initial = kl_weight["initial"]
        increment = kl_weight.get("increment")
        if increment is None:
            increment = (1 - initial) / (kl_weight["epochs"] * steps_per_epoch)
        kl_weight = zf_keras.KLAnnealing(initial, increment)
    if kl_weight is not None:
        values["kl_weight"] = kl_weight
    return cls(**values)


def new_optimizer(recipe, steps_per_epoch):
    """The optimizer with its learning-rate schedule."""
    values = dict(recipe.values["optimizer"])
    cls = OPTIMIZERS[values.pop("class")]
    if "learning_rate" in values:
        values["learning_rate"] = float(values["learning_rate"])
    decay = recipe.values.get("schedule", {}).get("learning_rate")
    if decay:
        rate = values.get("learning_rate", _arguments(cls)["learning_rate"])
        if decay["decay"] == "cosine":
            updates = steps_per_epoch * table(recipe, "training")["epochs"]
            values["learning_rate"] = keras.optimizers.schedules.CosineDecay(rate, updates)
        else:
            values["learning_rate"] = zf_keras.DividedAfter(
                rate, decay["by"], decay["after"] * steps_per_epoch, steps_per_epoch
            )
    return cls(**values)


def settings_for(dataset, settings):
    """Arguments of a data set's `prepare` from "key=value", checked as those of a recipe."""
    arguments = data_arguments(dataset, "prepare")
    values = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip().removeprefix("data.")
        recipe = Recipe(dataset, {}, {f"data.{key}": f"--set {setting}"}, dataset)
        if not equals:
            raise RecipeError(f"--set {setting}: must be key=value, such as frame_size=200.")
        _check_key(recipe, f"data.{key}", arguments)
        values[key] = _toml_value(value)
        _check_type(recipe, f"data.{key}", values[key], arguments[key])
    return values
