"""What is known of the trials of a search, read from their folders, and the settings that they differ in."""

import json
import math

from tuning import metadata
from tuning.metadata import OBJECTIVE, OPTIONAL_STR, OUTCOME, RUN, TRIAL, SearchError
from zoo import runs

#: Of Keras Tuner's -> ours.
STATUS = {"COMPLETED": "completed", "FAILED": "failed", "RUNNING": "unfinished", "INVALID": "unfinished"}


def flat(settings):
    """Settings with tables as dotted keys; what is taken away is left out."""
    leaves = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            leaves |= {f"{key}.{name}": inner for name, inner in value.items()}
        elif value is not None:
            leaves[key] = value
    return leaves


def different(then, now):
    """Dotted keys of what two recipes do not have in common."""
    then, now = ({key: json.dumps(value, sort_keys=True) for key, value in flat(each).items()} for each in (then, now))
    return sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))


def read_trial(folder, trial_id):
    """What is known of a trial, as `Search.trials` has it.

    Raises:
        SearchError: a file of its folder is damaged, or of another trial.
    """
    path = folder / TRIAL
    state = metadata.read(path, {"trial_id": str, "status": str, "score": (float, None)})
    if state["trial_id"] != trial_id or not trial_id.isdecimal():
        raise SearchError(f"{path} is of another trial: its 'trial_id' is {state['trial_id']!r}.")
    if state["status"] not in STATUS:
        raise SearchError(
            f"{path} is damaged: 'status' must be one of {', '.join(STATUS)}. Received: {state['status']!r}."
        )
    status = STATUS[state["status"]]
    completed = status == "completed"
    if completed:
        metadata.check(path, "score", state["score"], float)
    kinds = {"settings": dict if completed else (dict, None), "seconds": (float, None), "error": OPTIONAL_STR}
    outcome = dict.fromkeys(kinds)
    if completed or (folder / OUTCOME).exists():
        outcome |= metadata.read(folder / OUTCOME, {})
    for key, kind in kinds.items():
        metadata.check(folder / OUTCOME, key, outcome[key], kind)
    rows = _rows(folder / RUN)
    best = max(rows, key=lambda row: row[OBJECTIVE], default={})
    if completed and rows and best[OBJECTIVE] != state["score"]:
        raise SearchError(
            f"{folder / RUN / runs.METRICS} is not of its trial: the best {OBJECTIVE} in it is {best[OBJECTIVE]}, in "
            f"{path} {state['score']}."
        )
    return {
        "trial": trial_id,
        "status": status,
        OBJECTIVE: state["score"] if completed else best.get(OBJECTIVE),
        "best_epoch": best.get("epoch"),
        "epochs": len(rows),
        "seconds": outcome["seconds"],
        "settings": outcome["settings"] or {},
        "error": outcome["error"],
    }


def _rows(folder):
    """The epochs of a trial's run."""
    path = folder / runs.METRICS
    if not (folder / runs.RECIPE).exists():
        return []
    run = runs.Run(folder)
    try:
        rows = run.rows()
    except (TypeError, ValueError) as error:
        raise SearchError(f"{path} is damaged: {error}.") from error
    for number, row in enumerate(rows, start=1):
        if row.get("epoch") != number or not math.isfinite(row.get(OBJECTIVE, math.nan)):
            raise SearchError(f"{path} is damaged: row {number} must have the epoch {number} and a finite {OBJECTIVE}.")
    return rows


def ranked(trials):
    """The trials that were completed, the best first."""
    completed = [trial for trial in trials if trial["status"] == "completed"]
    return sorted(completed, key=lambda trial: -trial[OBJECTIVE])
