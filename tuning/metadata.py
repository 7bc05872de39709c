"""The files of a search: their names, and how its JSON is read; what is damaged is an error that names the file."""

import json
import math

SEARCH, RECIPE, CLOCK, OUTCOME, RUN = "search.json", "recipe.toml", "clock.json", "outcome.json", "run"
STOP, LOCK, PROJECT, WORKERS = "stop", "lock", "tuner", "workers"
OBJECTIVE = "val_elbo"
#: Ids of the workers that the chief starts itself; they begin so.
LOCAL = "local-"
TUNERS = ("random", "bayesian", "hyperband")
ORACLE, TRIAL = "oracle.json", "trial.json"
OPTIONAL_INT, OPTIONAL_STR = (int, None), (str, None)
#: What must be in the files.
ASKED = {
    "recipe": str,
    "data": OPTIONAL_STR,
    "tuner": str,
    "space": OPTIONAL_STR,
    "trials": int,
    "budget_minutes": (float, None),
    "seed": int,
    "keep_models": bool,
    "workers": int,
    "memory_limit_mb": OPTIONAL_INT,
    "command": str,
    "backend": str,
    "versions": dict,
    "date": str,
}
#: Type in JSON -> what an error calls it.
KINDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "a table"}


class SearchError(ValueError):
    """A search can't go on; the message says why and what to do."""


def read(path, keys):
    """A JSON object, checked.

    Args:
        path: path.
        keys: dict. Key that must be there -> its type, of `KINDS`, or a tuple of a type and `None`.

    Raises:
        SearchError: it can't be read, or is not that.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SearchError(f"{path} can't be read: {error or type(error).__name__}.") from error
    if not isinstance(values, dict):
        raise SearchError(f"{path} is damaged: it must hold a table. Received: {values!r:.60}.")
    for key, kind in keys.items():
        if key not in values:
            raise SearchError(f"{path} is damaged: it has no {key!r}.")
        check(path, key, values[key], kind)
    return values


def check(path, key, value, kind):
    """Raises a `SearchError` where the value of a key is not of a kind, as `read` has it."""
    kind, *others = kind if isinstance(kind, tuple) else (kind,)
    if value is None and others:
        return
    right = isinstance(value, (int, float) if kind is float else kind)
    if not right or (isinstance(value, bool) and kind is not bool) or (kind is float and not math.isfinite(value)):
        accepted = KINDS[kind] + (" or null" if others else "")
        raise SearchError(f"{path} is damaged: {key!r} must be {accepted}. Received: {value!r:.60}.")
