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

import re
import tomllib
from pathlib import Path

from zoo.checks import Recipe, RecipeError, check, check_key, check_type, nearest, origin
from zoo.components import TABLES, data_arguments

FOLDER = Path(__file__).parent / "recipes"
DEPTH = 8  # of tables and lists in each other


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
        raise RecipeError(f"{what}{nearest(name, names())} `list` shows all.")
    leaves, origins = _read(path)
    for key in [key for key in leaves if key.startswith("small.")]:
        value = leaves.pop(key)
        if small:
            _put(leaves, origins, key.removeprefix("small."), value, origin(origins, key, path))
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise RecipeError(f"--set {setting}: must be key=value, such as model.units=64.")
        key = key.strip()
        if "." in key and key.partition(".")[0] not in TABLES:
            raise RecipeError(f"--set {setting}: unknown key {key!r}.{nearest(key, TABLES)}")
        if value.strip() == "none":
            leaves.pop(key, None)
        else:
            _put(leaves, origins, key, _toml_value(setting, value), f"--set {setting}")
    recipe = Recipe(path.stem if name.endswith(".toml") else name, _nest(leaves), origins, name)
    check(recipe)
    return recipe


def from_text(name, text):
    """A resolved recipe, as a run keeps it."""
    leaves, origins = _leaves(name, text)
    recipe = Recipe(name, _nest(leaves), origins, name)
    check(recipe)
    return recipe


def _read(path):
    """Leaves and origins of a file with what it extends."""
    files = {}
    while path is not None:
        try:
            leaves, origins = files[path] = _leaves(path, path.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path}: not UTF-8: {error}.") from error
        base = leaves.pop("extends", None)
        base_path = None if base is None else path.parent / f"{base}.toml"
        if base is not None and (not isinstance(base, str) or not base_path.is_file() or base_path in files):
            where = origins.get("extends", path)
            raise RecipeError(f"{where}: extends must name another recipe beside it. Received: {base!r}.")
        path = base_path
    (_, (leaves, origins)), *extending = reversed(files.items())
    for path, (own_leaves, own_origins) in extending:
        for key, leaf in own_leaves.items():
            _put(leaves, origins, key, leaf, origin(own_origins, key, path))
    return leaves, origins


def _leaves(path, text):
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not TOML: {error}.") from error
    except RecursionError:
        values = None
    if values is None or _nests_too_deep(values):
        raise RecipeError(f"{path}: nests too deep: a recipe has at most {DEPTH} levels.")
    return dict(_flatten(values)), {key: f"{path}, line {line}" for key, line in _lines(text).items()}


def _nests_too_deep(values):
    """Whether it has more than `DEPTH` levels."""
    level = [values]
    for _ in range(DEPTH):
        parts = [each.values() if isinstance(each, dict) else each for each in level]
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
    return bool(level)


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


def _put(leaves, origins, key, value, where):
    """Sets a leaf, or a key inside of a leaf that is an inline table."""
    table, _, inner = key.rpartition(".")
    if table.removeprefix("small.").count(".") == 1 and isinstance(leaves.get(table, {}), dict):
        leaves[table] = {**leaves.get(table, {}), inner: value}
    else:
        leaves[key] = value
    origins[key] = where


def _nest(leaves):
    values = {}
    for key, leaf in leaves.items():
        table, _, name = key.partition(".")
        if not name:
            values[table] = leaf
        elif isinstance(values.setdefault(table, {}), dict):
            values[table][name] = leaf
    return values


def _toml_value(setting, text):
    """A value as TOML writes it; bare words are strings."""
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
    except RecursionError:
        value = None
    if value is None or _nests_too_deep({"value": value}):
        raise RecipeError(f"--set {setting[:40]}...: nests too deep: a recipe has at most {DEPTH} levels.")
    return value


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
        check_key(recipe, f"data.{key}", arguments)
        values[key] = _toml_value(setting, value)
        check_type(recipe, f"data.{key}", values[key], arguments[key])
    return values


def fixed_settings(values):
    """What of a recipe a run can't change: "table.key" -> value."""
    tables = ("data", "model", "optimizer", "schedule", "training")
    fixed = {f"{table}.{key}": value for table in tables for key, value in values.get(table, {}).items()}
    for key in ("training.patience", "training.samples_every"):
        fixed.pop(key, None)
    if fixed.get("schedule.learning_rate") != {"decay": "cosine"}:
        fixed.pop("training.epochs", None)
    return fixed
