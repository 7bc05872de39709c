"""The cost of a training step of a model, Z-Forcing by default, as a ratio to a plain Keras model of the same size.

The plain model has one forward and one backward `keras.layers.LSTM`, each with a dense head that is scored by its
likelihood. Both train in one process, their steps (forward, backward, Adam) taken in turn, so that a noisy machine
slows both. The figure is the ratio of the medians. Memory is what the resident set of a fresh process grows by while
the model is made and trained (Linux only).
"""

import argparse
import contextlib
import importlib
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from benchmarks.measures import in_new_process, in_turn, peak, table
from benchmarks.models import MODELS, new_model


class Size(NamedTuple):
    time: int
    features: int
    units: int
    latent: int
    hidden: int
    output: str
    batch: int = 32


SIZES = {
    "A": Size(40, 200, 1024, 256, 512, "gaussian"),
    "B": Size(784, 1, 256, 64, 256, "bernoulli"),
    "C": Size(100, 28, 128, 32, 128, "gaussian"),
}
#: Z-Forcing's of the papers: of TIMIT with the length of a usual utterance, of Blizzard, of sequential MNIST.
PAPERS = {
    "TIMIT": Size(256, 200, 1024, 256, 512, "gaussian"),
    "Blizzard": Size(40, 200, 2048, 256, 1024, "gaussian", 128),
    "MNIST": Size(784, 1, 1024, 256, 512, "bernoulli"),
}
ALL_SIZES = SIZES | PAPERS
#: Each size with next to nothing to compute.
QUICK = {
    name: size._replace(time=4, features=2, units=3, latent=2, hidden=3, batch=2) for name, size in ALL_SIZES.items()
}
#: What a sweep makes larger, by name.
AXES = {"time": ("time",), "batch": ("batch",), "units": ("units", "latent", "hidden")}
FACTORS = (1, 2, 4, 8)


class Plain(keras.Model):
    """One forward and one backward LSTM, each with a dense head that is scored by its likelihood."""

    def __init__(self, size, lstm=keras.layers.LSTM):
        super().__init__()
        self.binary = size.output == "bernoulli"
        outputs = size.features * (2 if size.output == "gaussian" else 1)
        self.forward = lstm(size.units, return_sequences=True)
        self.backward = lstm(size.units, return_sequences=True, go_backwards=True)
        self.forward_head = keras.layers.Dense(outputs)
        self.backward_head = keras.layers.Dense(outputs)

    def call(self, x):
        return self.forward_head(self.forward(x)), self.backward_head(self.backward(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(ops.mean(ops.sum(self.nll(x, outputs), axis=(1, 2))) for outputs in y_pred)

    def nll(self, x, outputs):
        if self.binary:
            return ops.softplus(outputs) - x * outputs
        mean, log_variance = ops.split(outputs, 2, axis=-1)
        return 0.5 * (ops.square(x - mean) * ops.exp(-log_variance) + log_variance)


def make_model(name, size):
    """A model of the package, one of `benchmarks.models`, or the plain one."""
    if name == "plain":
        return Plain(size)
    return new_model(name, size.units, size.latent, output=size.output, hidden_units=size.hidden)


def frames(size):
    """Random sequences, (batch, time, features)."""
    x = np.random.default_rng(0).normal(size=(size.batch, size.time, size.features))
    return (x > 0 if size.output == "bernoulli" else x).astype("float32")


def train_step(model, size):
    """A function that takes one step, by Adam; its first call compiles."""
    x = frames(size)
    model.compile(optimizer="adam")
    return lambda: model.train_on_batch(x)


def alone(name, size, repeats=1):
    """Median seconds of a step, and MiB that this process grows by as it makes the model and takes steps."""
    with contextlib.suppress(ModuleNotFoundError):
        importlib.import_module("tensorflow")  # Keras loads it on JAX too: it is not the model's
    before = peak()
    timing = in_turn({name: train_step(make_model(name, size), size)}, repeats)[name]
    return timing.seconds, peak() - before


def peak_memory(name, size, backend=None):
    """MiB that a fresh process grows by while it makes the model and takes three steps."""
    return in_new_process(alone, name, size, backend=backend)[1]


def compare(names, size, repeats):
    """Median seconds of a step of the plain model and of those named."""
    steps = {name: train_step(make_model(name, size), size) for name in ("plain", *names)}
    return [timing.seconds for timing in in_turn(steps, repeats).values()]


def sweep(name, size, axis, factors, repeats, backend=None):
    """Seconds and MiB of a step as an axis grows, each in a fresh process, and their ratios to the first: dicts."""
    first = None
    for factor in factors:
        larger = size._replace(**{field: factor * getattr(size, field) for field in AXES[axis]})
        cost = in_new_process(alone, name, larger, repeats, backend=backend)
        first = first or cost
        ratios = [value / start for value, start in zip(cost, first, strict=True)]
        yield {axis: getattr(larger, axis)} | dict(
            zip(("step_seconds", "memory_mib", "seconds_ratio", "memory_ratio"), (*cost, *ratios), strict=True)
        )


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="which to compare")
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=["ZForcing"], metavar="NAME", help=f"which: {', '.join(MODELS)}"
    )
    parser.add_argument("--repeats", type=int, default=9, help="timed steps of each model (default: 9)")
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True, help="measure memory too")
    parser.add_argument("--growth", choices=SIZES, help="time and memory over lengths instead, at this size")
    args = parser.parse_args(argv)
    backend = keras.config.backend()
    if args.growth:
        for model in args.models:
            print(f"{model} on {backend}, size {args.growth}: seconds and peak MiB a step")
            rows = list(sweep(model, SIZES[args.growth], "time", FACTORS, args.repeats))
            print(*table(rows, rows[0]), sep="\n")
        return
    print(f"Training step on {backend}, batch {SIZES['A'].batch}")
    for size in args.sizes:
        plain, *ours = compare(args.models, SIZES[size], args.repeats)
        for model, duration in zip(("plain", *args.models), (plain, *ours), strict=True):
            peak = f", {peak_memory(model, SIZES[size]):.0f} MiB" if args.memory else ""
            print(f"{size} {model:<18}{duration:7.3f} s, ratio {duration / plain:.2f}{peak}", flush=True)


if __name__ == "__main__":
    main()
