"""`python -m tuning`: searches for the settings of a recipe that give the best validation ELBO."""

import argparse
import importlib.util
import json
import os
import shlex
import sys
from pathlib import Path

NEEDED = ("keras_tuner", "tensorboard", "sklearn", "scipy", "matplotlib", "tomli_w", "filelock")
DESCRIPTION = """\
Searches for the settings of a recipe of the zoo that give the best validation ELBO, by Keras Tuner.

  python -m tuning search digits/z_forcing --trials 30 --budget-minutes 60 --workers 2
  python -m tuning resume searches/digits/z_forcing       after a kill, or with --trials 60 for more
  python -m tuning report searches/digits/z_forcing       table, pictures, HTML
  python -m tuning best searches/digits/z_forcing         a recipe that `python -m zoo train` takes
"""
SEARCH = """\
Searches round a recipe. Each trial is what `python -m zoo train` does with its settings; the first has the
recipe's own. What is searched: the weights of the auxiliary costs (alpha, beta), latent size, units, hidden units,
learning rate, KL annealing and dropout, as far as the model has them, or what --space says.

A search is a folder. Stopped at any moment, `resume` goes on; a killed worker's trial is taken up again. A trial whose
training fails is marked as failed and passed over.

Several machines: the folder must be shared. On the first: search ... --address IP --port PORT --trusted-network; on the
others `worker`, with KERASTUNER_ORACLE_IP=IP KERASTUNER_ORACLE_PORT=PORT. The channel is NOT AUTHENTICATED: whoever
reaches the port can read and change the search. By default only this machine can.
"""
WORKER = """\
Joins a search that runs on another machine, in the folder that both share. The environment says where its chief is:
KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT, and KERASTUNER_TUNER_ID, a name of the worker's own (default: host and
process). A worker with the name of one that was killed gets its trial at once; else another gets it after 5 minutes.
The channel is not authenticated.
"""

#: Option -> the least and the most that it takes.
RANGES = {
    "trials": (1, 10**6),
    "budget_minutes": (0.01, 10**6),
    "workers": (0, 1000),
    "memory_limit_mb": (1, 10**9),
    "seed": (0, 2**31 - 1),
    "port": (0, 2**16 - 1),
}


def parser():
    formatter = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="python -m tuning", description=DESCRIPTION, formatter_class=formatter)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, help, description=None):
        return commands.add_parser(name, help=help, description=description or help, formatter_class=formatter)

    def running(sub, workers):
        sub.add_argument(
            "--workers",
            type=int,
            default=workers,
            help="processes on this machine, which share its cores and GPUs; 0: only those of others (default: "
            + ("1)" if workers else "as before)"),
        )
        sub.add_argument(
            "--memory-limit-mb", type=int, help="of GPU memory a worker (default: workers of a GPU share 90 %%)"
        )
        sub.add_argument(
            "--address",
            default=os.environ.get("KERASTUNER_ORACLE_IP") or "127.0.0.1",
            help="IP address that workers find the chief at (default: KERASTUNER_ORACLE_IP, or 127.0.0.1)",
        )
        sub.add_argument(
            "--port",
            type=int,
            default=os.environ.get("KERASTUNER_ORACLE_PORT") or "0",
            help="its port (default: KERASTUNER_ORACLE_PORT, or a free one)",
        )
        sub.add_argument(
            "--trusted-network",
            action="store_true",
            help="allow an --address that other machines reach, though the channel is not authenticated",
        )

    sub = command("search", "begins a search in a folder of its own", SEARCH)
    sub.add_argument("recipe", metavar="RECIPE", help="name of a recipe of the zoo, or a TOML file")
    sub.add_argument("--small", action="store_true", help="the recipe's small form, for a laptop")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for `python -m zoo train`")
    sub.add_argument("--data-dir", type=Path, default=Path("data"), help="folder of all prepared data (default: data)")
    sub.add_argument(
        "--tuner",
        choices=("random", "bayesian", "hyperband"),
        default="bayesian",
        help="how trials are chosen; hyperband: many short ones, of which the best go on (default: bayesian)",
    )
    sub.add_argument("--space", help="search space of your own: path/to/file.py:function or package.module:function")
    sub.add_argument(
        "--trials", type=int, default=30, help="with hyperband one that goes on counts again (default: 30)"
    )
    sub.add_argument("--budget-minutes", type=float, help="the search stops after so long (default: it does not)")
    sub.add_argument("--epochs", type=int, help="of a trial, at most (default: the recipe's)")
    sub.add_argument(
        "--patience", type=int, help="epochs without a better one that end a trial (default: the recipe's)"
    )
    sub.add_argument("--seed", type=int, default=0, help="of what trials are chosen (default: 0)")
    sub.add_argument("--keep-models", action="store_true", help="keep the models of all trials, not only numbers")
    sub.add_argument("--search-dir", type=Path, help="folder of the search (default: searches/RECIPE)")
    running(sub, 1)

    sub = command("resume", "goes on with a search that was stopped, or with more trials or time")
    sub.add_argument("search", metavar="SEARCH", type=Path, help="folder of the search")
    sub.add_argument("--trials", type=int, help="in all (default: as before)")
    sub.add_argument("--budget-minutes", type=float, help="from now on (default: what is left)")
    running(sub, None)

    sub = command("worker", "joins a search that runs on another machine", WORKER)
    sub.add_argument("search", metavar="SEARCH", type=Path, help="folder of the search, shared with its chief")
    sub.add_argument("--memory-limit-mb", type=int, help="of GPU memory (default: as the backend does)")
    sub.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    sub.add_argument("--error-file", type=Path, help=argparse.SUPPRESS)

    sub = command("best", "writes the recipe of the best trial, which `python -m zoo train` takes")
    sub.add_argument("search", metavar="SEARCH", type=Path, help="folder of the search")
    sub.add_argument("--rank", type=int, default=1, help="2 for the second best, and so on (default: 1)")
    sub.add_argument("--output", type=Path, help="file to write (default: best.toml in the folder)")

    sub = command("report", "table of the trials, as CSV and HTML too, and pictures of what mattered")
    sub.add_argument("search", metavar="SEARCH", type=Path, help="folder of the search")
    sub.add_argument("--rows", type=int, default=20, help="rows to print; the files have all (default: 20)")
    return top


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

    from tuning.metadata import SearchError
    from tuning.oracles import new_oracle
    from tuning.searches import OBJECTIVE
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
    from zoo.files import write_whole

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
