"""`python -m tuning`: searches for the settings of a recipe that give the best validation ELBO."""

import importlib.util
import json
import os
import shlex
import sys
from pathlib import Path

from tuning.parser import parser

NEEDED = ("keras_tuner", "tensorboard", "sklearn", "scipy", "matplotlib", "tomli_w", "filelock")
#: Option -> the least and the most that it takes.
RANGES = {
    "trials": (1, 10**6),
    "budget_minutes": (0.01, 10**6),
    "workers": (0, 1000),
    "memory_limit_mb": (1, 10**9),
    "seed": (0, 2**31 - 1),
    "port": (0, 2**16 - 1),
}


def leave_gpu():
    """Hides the GPUs from this process, which computes nothing, and returns the environment of its workers."""
    environment = dict(os.environ)
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    return environment


def run_search(args):
    environment = leave_gpu()
    from tuning.searches import Search, data_directory
    from zoo import recipes

    check(args, environment)
    settings = list(args.set)
    for name in ("epochs", "patience"):
        if getattr(args, name) is not None:
            settings.append(f"training.{name}={getattr(args, name)}")
    recipe = recipes.load(args.recipe, args.small, settings)
    if args.tuner == "hyperband":
        check_hyperband(args.trials, recipe)
    directory = args.search_dir or Path("searches") / (recipe.name + ("-small" if args.small else ""))
    keys = ("tuner", "space", "trials", "budget_minutes", "seed", "keep_models", "workers", "memory_limit_mb")
    asked = {name: getattr(args, name) for name in keys}
    if args.space and ".py:" in args.space:  # `resume` may be elsewhere
        asked["space"] = str(Path(args.space).resolve())
    command = "python -m tuning " + shlex.join(sys.argv[1:])
    search = Search.begin(directory, recipe, data_directory(recipe, args.data_dir), asked | {"command": command})
    return chief(search, args, environment)


def check_hyperband(trials, recipe):
    """Raises a `SearchError` where Hyperband could cut no trial short."""
    import keras_tuner

    from tuning.metadata import OBJECTIVE, SearchError
    from tuning.oracles import new_oracle
    from zoo import components

    epochs = components.table(recipe, "training")["epochs"]
    oracle = new_oracle("hyperband", keras_tuner.Objective(OBJECTIVE, "max"), trials, 0, epochs)
    if not oracle.cuts_short:
        raise SearchError(
            f"Hyperband would cut no trial short: {trials} trials of {epochs} epochs are too few. It needs at least 3 "
            f"epochs{f' and --trials {oracle.least}' if oracle.least else ''}; or choose --tuner bayesian or random."
        )


def run_resume(args):
    environment = leave_gpu()
    from tuning.metadata import SearchError
    from tuning.searches import Search

    check(args, environment)
    search = Search(args.search)
    search.check_backend()
    budget, minutes = search.settings["budget_minutes"], search.seconds / 60
    if args.budget_minutes is not None:
        budget = minutes + args.budget_minutes
    elif budget and minutes >= budget:
        raise SearchError(f"The {budget:g} minutes of the search are over. Say how many more by --budget-minutes.")
    done = sum(trial["status"] != "unfinished" for trial in search.trials())
    if args.trials is not None and args.trials < done:
        raise SearchError(f"--trials must be at least {done}, the trials that are done. Received: {args.trials}.")
    asked = {name: getattr(args, name) for name in ("trials", "workers", "memory_limit_mb")}
    return chief(search, args, environment, budget_minutes=budget, **asked)


def chief(search, args, environment, **changed):
    """Runs a search to its end or out of time, and reports; returns the exit status."""
    from tuning.chief import Chief
    from tuning.report import write_report

    def say(line):
        print(line, flush=True)

    complete = Chief(search, environment, args.address, args.port, say).run(**changed)
    if not complete:
        directory = shlex.quote(str(search.directory))
        say(f"Out of time: `python -m tuning resume {directory} --budget-minutes MORE` goes on.")
    print(*write_report(search), sep="\n")
    statuses = {trial["status"] for trial in search.trials()}
    return int("failed" in statuses and "completed" not in statuses)


def check(args, environment):
    """Raises a `SearchError` for what `search` and `resume` can't be run with."""
    from tuning.chief import check_address
    from tuning.metadata import SearchError
    from tuning.workers import gpus

    check_address(args.address, args.trusted_network)
    for name, (least, most) in RANGES.items():
        value = getattr(args, name, None)
        if value is not None and not least <= value <= most:
            raise SearchError(f"--{name.replace('_', '-')} must be from {least} to {most}. Received: {value}.")
    if args.memory_limit_mb is not None and args.workers != 0 and not gpus(environment):
        raise SearchError("--memory-limit-mb: there is no NVIDIA GPU whose memory could be shared.")


def run_worker(args):
    from tuning import workers
    from tuning.searches import Search
    from zf_keras.files import write_whole

    try:
        if args.memory_limit_mb is not None:
            workers.share_gpu(args.memory_limit_mb)
        workers.work(Search(args.search), args.parent)
    except Exception as error:
        if args.error_file:
            write_whole(args.error_file, json.dumps({"error": str(error) or type(error).__name__}))
        raise


def run_best(args):
    from tuning.report import write_best
    from tuning.searches import Search

    search = Search(args.search)
    print(*write_best(search, args.rank, args.output or search.path("best.toml")), sep="\n")


def run_report(args):
    from tuning.metadata import SearchError
    from tuning.report import write_report
    from tuning.searches import Search

    if args.rows < 0:
        raise SearchError(f"--rows must be at least 0. Received: {args.rows}.")
    print(*write_report(Search(args.search), args.rows), sep="\n")


COMMANDS = {
    "search": run_search,
    "resume": run_resume,
    "worker": run_worker,
    "best": run_best,
    "report": run_report,
}


def main(argv=None):
    """The command line; returns the exit status."""
    args = parser().parse_args(argv)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        print(
            f"python -m tuning needs {names}: pip install '.[tensorflow,tuning]' or '.[jax,tuning]'.", file=sys.stderr
        )
        return 1
    from zoo.runs import RunError

    try:
        return COMMANDS[args.command](args) or 0
    except (RunError, ImportError, OSError, ValueError, RuntimeError) as error:
        print(f"\npython -m tuning {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\npython -m tuning {args.command}: interrupted; `resume` goes on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
