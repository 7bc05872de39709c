"""Where the time of a training step goes: milliseconds of its operations, in the time loops and outside, by kind.

Products are matrix products, with what the compiler fuses into them. What runs at most steps of the sequence is in a
loop. The times are summed over the threads, so that they can be more than the step takes; the rest of the step is the
overhead of starting operations, and waiting.

  python -m benchmarks.profile --sizes C --models ZForcing VRNN
"""

import argparse
import collections
import pathlib
import re
import tempfile
import time

import keras

from benchmarks.measures import table
from benchmarks.models import MODELS
from benchmarks.training_step import SIZES, make_model, train_step

PRODUCT = re.compile(r"matmul|dot|ynn|gemm|conv", re.IGNORECASE)
#: Names of an operation of TensorFlow ("path:Kind") or of XLA ("fusion.3"): others are of the runtime around them.
OPERATION = re.compile(r"^[\w/.-]+(:_?[A-Z]\w+)?$")
AROUND = re.compile(
    r"^(while|call|conditional|python|one_step|FunctionRun|MemoryAllocation|MemoryDeallocation|BlockUntilReady|ParallelFor|XlaLaunch|Await|Eager)|Execut|::"
)


def events(run):
    """Name -> [milliseconds, count] of what the threads of a call of `run` did, but for Python's."""
    from jax.profiler import ProfileData

    with tempfile.TemporaryDirectory() as folder:
        if keras.config.backend() == "jax":
            import jax

            with jax.profiler.trace(folder):
                run()
        else:
            import tensorflow as tf

            with tf.profiler.experimental.Profile(folder):
                run()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        found = collections.defaultdict(lambda: [0.0, 0])
        for plane in ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                for event in line.events if line.name != "python" else ():
                    found[event.name][0] += event.duration_ns / 1e6
                    found[event.name][1] += 1
        return found


def profile(name, size):
    """A row of the table: milliseconds."""
    step = train_step(make_model(name, size), size)
    step(), step()
    start = time.perf_counter()
    step()
    row = {"model": name, "step": 1e3 * (time.perf_counter() - start)}
    kinds = dict.fromkeys(("loops, products", "loops, other", "outside, products", "outside, other"), 0.0)
    for event, (duration, count) in events(step).items():
        if OPERATION.match(event) and not AROUND.search(event):
            where = "loops" if count >= size.time // 2 else "outside"
            kinds[f"{where}, {'products' if PRODUCT.search(event) else 'other'}"] += duration
    return row | kinds


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME")
    args = parser.parse_args(argv)
    for size in args.sizes:
        rows = [profile(name, SIZES[size]) for name in args.models]
        print(f"size {size}, {keras.config.backend()}, ms", *table(rows, rows[0]), sep="\n", flush=True)


if __name__ == "__main__":
    main()
