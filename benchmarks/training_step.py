"""The cost of a training step of a model, Z-Forcing by default, as a ratio to a plain Keras model of the same size.

The plain model has one forward and one backward `keras.layers.LSTM`, each with a dense head that is scored by its
likelihood. Both train in one process, their steps (forward, backward, Adam) taken in turn, so that a noisy machine
slows both. The figure is the ratio of the medians. Memory is what the resident set of a fresh process grows by while
the model is made and trained (Linux only).
"""

import argparse
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from benchmarks.models import MODELS, new_model

BATCH = 32


class Size(NamedTuple):
    time: int
    features: int
    units: int
    latent: int
    hidden: int
    output: str


SIZES = {
    "A": Size(40, 200, 1024, 256, 512, "gaussian"),
    "B": Size(784, 1, 256, 64, 256, "bernoulli"),
    "C": Size(100, 28, 128, 32, 128, "gaussian"),
}


class Plain(keras.Model):
    """One forward and one backward LSTM, each with a dense head that is scored by its likelihood."""

    def __init__(self, size):
        super().__init__()
        self.binary = size.output == "bernoulli"
        outputs = size.features * (2 if size.output == "gaussian" else 1)
        self.forward = keras.layers.LSTM(size.units, return_sequences=True)
        self.backward = keras.layers.LSTM(size.units, return_sequences=True, go_backwards=True)
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
    """A model of the package, or the plain one."""
    if name == "plain":
        return Plain(size)
    return new_model(name, size.units, size.latent, output=size.output, hidden_units=size.hidden)


def train_step(name, size):
    """A function that takes one step, after two of warming up."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, size.time, size.features)).astype("float32")
    x = (x > 0).astype("float32") if size.output == "bernoulli" else x
    model = make_model(name, size)
    model.compile(optimizer="adam")
    for _ in range(2):
        model.train_on_batch(x)
    return lambda: model.train_on_batch(x)


def peak_memory(name, size):
    """MiB that a fresh process grows by while it makes the model and takes three steps."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth_of_this_process, (name, size))


def _growth_of_this_process(name, size):
    def peak():
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

    before = peak()
    train_step(name, size)()
    return peak() - before


def seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def compare(names, size, repeats):
    """Median seconds of a step of the plain model and of those named."""
    steps = [train_step(name, size) for name in ("plain", *names)]
    rounds = [[seconds(step) for step in steps] for _ in range(repeats)]
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def over_lengths(name, size, repeats, factors=(1, 2, 4, 8)):
    """Length, median seconds and peak MiB of a step, over lengths."""
    for factor in factors:
        longer = size._replace(time=size.time * factor)
        step = train_step(name, longer)
        yield (
            longer.time,
            statistics.median(seconds(step) for _ in range(repeats)),
            peak_memory(name, longer),
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
            for length, duration, peak in over_lengths(model, SIZES[args.growth], args.repeats):
                print(f"T {length:>5}  {duration:8.3f} s  {peak:8.0f} MiB  {1e3 * duration / length:6.2f} ms/T")
        return
    print(f"Training step on {backend}, batch {BATCH}")
    for size in args.sizes:
        plain, *ours = compare(args.models, SIZES[size], args.repeats)
        for model, duration in zip(("plain", *args.models), (plain, *ours), strict=True):
            peak = f", {peak_memory(model, SIZES[size]):.0f} MiB" if args.memory else ""
            print(f"{size} {model:<18}{duration:7.3f} s, ratio {duration / plain:.2f}{peak}", flush=True)


if __name__ == "__main__":
    main()
