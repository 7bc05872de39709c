"""Trials of a search that no process ran: their files are written here."""

import json

from tuning.spaces import recipe_with
from zoo.runs import Run

SETTINGS = {
    "tuner": "random",
    "space": None,
    "trials": 9,
    "budget_minutes": None,
    "seed": 0,
    "keep_models": False,
    "workers": 1,
    "memory_limit_mb": None,
    "command": "python -m tuning search <b>&",
}


def write_trial(search, number, settings, val_elbo, status="COMPLETED", error=None):
    folder = search.path("tuner") / f"trial_{number}"
    run = Run.begin(folder / "run", recipe_with(search.recipe, settings), False, None)
    values = [val_elbo - 3, val_elbo, val_elbo - 1] if val_elbo else []
    run.write_rows(
        [{"epoch": epoch, "elbo": value + 1, "val_elbo": value} for epoch, value in enumerate(values, start=1)]
    )
    search.path("tuner/oracle.json").write_text(json.dumps({"start_order": []}))
    state = {"trial_id": str(number), "status": status, "score": val_elbo if status == "COMPLETED" else None}
    (folder / "trial.json").write_text(json.dumps(state))
    outcome = {"settings": settings, "seconds": 2.5, "error": error}
    (folder / "outcome.json").write_text(json.dumps(outcome))


def write_trials(search, auxiliary=True):
    for number, val_elbo in enumerate((-20.0, -18.0, -30.0)):
        settings = {"model.units": 8 * (number + 1), "optimizer.learning_rate": 10.0 ** -(number + 1)}
        if auxiliary:
            settings |= {"model.alpha": 0.001 * number, "model.beta": 0.0}
        settings["schedule.kl_weight"] = {"initial": 0.1 * number, "epochs": 3} if number else None
        write_trial(search, number, settings, val_elbo)
    settings = {"model.units": 4, "optimizer.learning_rate": 5.0}
    write_trial(search, 3, settings, None, "FAILED", "Update 3: <nll> not finite")
    write_trial(search, 4, settings, -17.0, "RUNNING")
