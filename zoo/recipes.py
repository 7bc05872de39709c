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
    leaves, origins = _read(path, ())
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
        _put(base_leaves, base_origins, key, leaf, origin(origins, key, path))
    return base_leaves, base_origins


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


def _toml_value(text):
    """A value as TOML writes it; bare words are strings."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


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
        values[key] = _toml_value(value)
        check_type(recipe, f"data.{key}", values[key], arguments[key])
    return values
