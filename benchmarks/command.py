"""All benchmarks of models: what a training step costs beside its references, scoring, generation, an exported step.

Each model of each size on each backend is measured in a process of its own, and its memory in another: what the
resident set grows by while the model is made and takes training steps (Linux only). Times are medians. A training step
is taken in turn with those of the references, and its ratio to each is given:

  plain        one forward and one backward `keras.layers.LSTM`, each with a dense head
  floor        the step's matrix products alone, each as one product over time and batch
  in the cell  the model written straight away: all of a step inside the loop, differentiated automatically
  pytorch      where PyTorch is installed: a plain loop, with `nn.LSTM` for the parts that depend on no latent

Compile time is what the first training step takes more than a later one. Scoring is `log_likelihood` of the batch,
generation is a step of as many sequences, and an exported step is `score_step` of a SavedModel, one sequence. It is
measured on TensorFlow, which runs SavedModels of either backend.

  python -m benchmarks --models ZForcing VRNN --sizes C --backends tensorflow jax --output results.json
  python -m benchmarks --sweep time --sizes C

`python -m benchmarks gpu` measures on a GPU within some minutes, and `python -m benchmarks wheels` collects what it
needs where there is no package index.
"""

import argparse
import datetime
import functools
import itertools
import json
import pathlib
import shlex

import keras

from benchmarks import suite, training_step
from benchmarks.measures import in_new_process, table
from benchmarks.models import MODELS
from zf_keras._backend import SUPPORTED
from zf_keras.files import write_whole


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = {"nargs": "+", "metavar": "NAME"}
    backend = keras.config.backend()
    parser.add_argument("--models", choices=MODELS, default=list(MODELS), help=f"of {', '.join(MODELS)}", **names)
    parser.add_argument(
        "--sizes",
        nargs="+",
        choices=training_step.ALL_SIZES,
        default=list(training_step.SIZES),
        help="(default: A B C)",
    )
    parser.add_argument("--backends", nargs="+", choices=SUPPORTED, default=[backend], help=f"(default: {backend})")
    parser.add_argument("--repeats", type=positive, default=9, help="timed calls of each function (default: 9)")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure memory too")
    parser.add_argument(
        "--sweep", choices=training_step.AXES, help="a training step over lengths, batches or units instead"
    )
    parser.add_argument("--factors", type=positive, nargs="+", default=list(training_step.FACTORS), help="of a sweep")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one repeat: whether it runs, not how fast")
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="JSON file for all numbers")
    args = parser.parse_args(argv)
    if args.output and not args.output.absolute().parent.is_dir():
        parser.error(f"--output: there is no folder {args.output.parent}.")
    return args


def positive(text):
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a positive whole number. Received: {text}")
    return int(text)


def main(argv):
    args = arguments(argv)
    sizes = training_step.QUICK if args.quick else training_step.ALL_SIZES
    results = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *argv]),
        "settings": {key: value for key, value in vars(args).items() if key != "output"},
        "sizes": {name: sizes[name]._asdict() for name in args.sizes},
        "machines": {},
        "results": [],
    }
    for backend in args.backends:
        here = args.quick and backend == keras.config.backend()
        call = in_this_process if here else functools.partial(in_new_process, backend=backend)
        results["machines"][backend] = call(suite.described)
        for size, model in itertools.product(args.sizes, args.models):
            suite.say(f"{model}, size {size}, {backend}")
            for found in rows_of(model, sizes[size], backend, call, args):
                results["results"].append({"backend": backend, "size": size, "model": model} | found)
                if args.output:  # what is measured stays, whatever comes
                    write_whole(args.output, json.dumps(results, indent=1) + "\n")
    rows = results["results"] if args.sweep else [columns(row) for row in results["results"]]
    print(*table(rows, [name for name in rows[0] if any(row[name] is not None for row in rows)]), sep="\n")


def in_this_process(function, *args):
    return function(*args)


def rows_of(model, size, backend, call, args):
    """All numbers of a model of a size: a dict, or one for each factor of a sweep."""
    repeats = 1 if args.quick else args.repeats
    if args.sweep:
        yield from training_step.sweep(model, size, args.sweep, args.factors, repeats, backend)
        return
    found = call(suite.measure, model, size, repeats)
    if args.memory:
        suite.say("  memory")
        found["memory_mib"] = {
            each: training_step.peak_memory(name, size, backend) for each, name in suite.keras_models(model).items()
        }
    yield found


def columns(row):
    """A row of the table; of what a model is compared with, the ratios."""
    model = row["model"]
    return {
        **{name: row[name] for name in ("backend", "size", "model")},
        "step s": row["step_seconds"][model],
        **{f"/ {each}": row["ratio_to"].get(each) for each in suite.COMPARED},
        "compile s": row["compile_seconds"][model],
        "MiB": row.get("memory_mib", {}).get(model),
        f"IWAE-{suite.NUM_SAMPLES} s": row["scoring_seconds"],
        "generation ms": row["generation_ms"],
        "export ms": row.get("exported_ms"),
    }
