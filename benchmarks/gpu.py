"""The benchmarks on a GPU, on JAX, within some minutes and without a package index.

Correctness of every model against the CPU; a training step of each beside the plain pair of Keras LSTMs, which cuDNN
serves, at the sizes A and B and at the papers'; command buffers off and on; the pair without cuDNN; PyTorch loops, run
eagerly and as a CUDA graph; an epoch of sequential MNIST. Each part is a process of its own with a share of the time.
One that fails or runs out of time is noted, with what it measured until then, and the others go on.

  python -m benchmarks wheels wheels/ --python-version 3.12     # where there is a package index
  python -m benchmarks gpu --wheels wheels/ --output gpu.json   # on the machine with the GPU, with JAX for it
"""

import argparse
import datetime
import json
import os
import shlex
import tempfile
from pathlib import Path

from benchmarks import gpu_run, wheels
from benchmarks.gpu_plan import PLAN
from benchmarks.measures import table

#: Columns of the tables, by the function that measures.
COLUMNS = {
    "correctness": ("model", "precision", "error of terms", "error of gradients", "limit", "agrees"),
    "steps": ("size", "model", "step_seconds", "plain_seconds", "ratio", "compile_seconds"),
    "cudnn": ("size", "plain_seconds", "without_cudnn_seconds", "calls_cudnn"),
    "pytorch": ("size", "model", "loop", "step_seconds", "note"),
    "epoch": ("model", "data", "updates", "updates_of_an_epoch", "epoch_seconds", "scaled"),
}


def main(argv):
    args = arguments(argv)
    document = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", "gpu", *argv]),
        "settings": {key: value if key == "minutes" else str(value) for key, value in vars(args).items()},
        "parts": [],
    }

    def write(results):
        document["parts"] = results
        partial = args.output.with_name(f"partial-{args.output.name}")
        partial.write_text(json.dumps(document, indent=1) + "\n")
        os.replace(partial, args.output)

    start = datetime.datetime.now()
    with tempfile.TemporaryDirectory() as packages:
        if args.wheels:
            document["installed"] = wheels.install(args.wheels, packages)
        taken = (datetime.datetime.now() - start).total_seconds()
        plan = [part for part in PLAN if not args.parts or part.name in (PLAN[0].name, *args.parts)]
        options = {"tiny": args.tiny, "repeats": 1 if args.tiny else args.repeats}
        environment = of_processes(args.platform, packages)
        results = gpu_run.run_plan(plan, 60 * args.minutes - taken, environment, options, write)
    functions = {part.name: part.function for part in PLAN}
    for result in results:
        print(*lines_of(result, COLUMNS.get(functions[result["part"]])), sep="\n")
    return int(any(is_bad(result) for result in results))


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [part.name for part in PLAN]
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="packages to install, of those that are missing")
    parser.add_argument("--output", type=Path, metavar="FILE", default=Path("gpu.json"), help="(default: gpu.json)")
    parser.add_argument("--minutes", type=minutes, default=8, help="for all of it (default: 8)")
    parser.add_argument("--parts", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each function (default: 7)")
    parser.add_argument("--platform", choices=("cuda", "cpu"), default="cuda", help="of JAX (default: cuda)")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, few models: whether it runs, not how fast")
    args = parser.parse_args(argv)
    if not args.output.absolute().parent.is_dir():
        parser.error(f"--output: there is no folder {args.output.parent}.")
    if args.wheels and not args.wheels.is_dir():
        parser.error(f"--wheels: there is no folder {args.wheels}.")
    return args


def minutes(text):
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number. Received: {text}")
    return number


def of_processes(platform, packages):
    """The environment of every part."""
    return {
        "KERAS_BACKEND": "jax",
        # With the CPU beside it, an absent GPU is an error all the same.
        "JAX_PLATFORMS": "cuda,cpu" if platform == "cuda" else "cpu",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")])),
    }


def lines_of(result, columns):
    """A part of the report: its state, and a table of its rows."""
    yield f"\n{result['part']}: {result['status']}, {result['seconds']:.0f} of {result['limit_seconds']:.0f} s"
    rows = [row for row in result["rows"] if "skipped" not in row]
    for row in result["rows"]:
        if "skipped" in row:
            yield row["skipped"]
    if columns is None:
        yield from map(json.dumps, rows)
    elif rows:
        yield from table(rows, columns)
    if "error" in result:
        yield result["error"]


def is_bad(result):
    """Whether a part failed, or something in it does not agree."""
    return result["status"] == gpu_run.FAILED or not all(row.get("agrees", True) for row in result["rows"])
