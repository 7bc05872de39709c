"""The command line of `python -m tuning`: its commands, their options and what `--help` says."""

import argparse
import os
from pathlib import Path

from tuning.metadata import TUNERS

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
        choices=TUNERS,
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
