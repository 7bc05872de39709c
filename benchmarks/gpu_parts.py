"""The parts of `python -m benchmarks gpu`, on JAX and without TensorFlow.

Each is a generator of rows, dicts for JSON. `python -m benchmarks.gpu_parts FUNCTION ARGUMENTS FILE` writes each row
as it comes, for a process that may be ended at any time. A part that cannot run yields {"skipped": reason}.
"""

import functools
import importlib.metadata
import importlib.util
import itertools
import json
import platform
import sys
from pathlib import Path

import jax
import keras
import numpy as np

from benchmarks.agreement import agreement
from benchmarks.measures import in_turn, seconds
from benchmarks.models import MODELS
from benchmarks.training_step import ALL_SIZES, QUICK, Plain, frames, make_model, train_step
from zf_keras.version import __version__

#: What comes first is measured even if the time is short.
NAMES = sorted(MODELS, key=lambda name: name != "ZForcing")
EPOCH_SECONDS = 20


def size_of(name, tiny):
    return (QUICK if tiny else ALL_SIZES)[name]


def machine(**_):
    names = ("keras", "jax", "jaxlib", "numpy", "tensorflow-probability")
    yield {
        "devices": [device.device_kind for device in jax.devices()],
        "platform": jax.default_backend(),
        "versions": {"zf_keras": __version__, **{name: importlib.metadata.version(name) for name in names}},
        "python": platform.python_version(),
    }


def correctness(tiny, **_):
    yield from agreement(["RNN"] if tiny else NAMES)


def steps(size, tiny, repeats, models=NAMES):
    """A training step of each model in turn with one of the plain pair, which cuDNN serves."""
    of = size_of(size, tiny)
    plain = train_step(make_model("plain", of), of)
    for name in ["RNN"] if tiny else models:
        found = in_turn({"plain": plain, name: train_step(make_model(name, of), of)}, repeats)
        yield {
            "size": size,
            "model": name,
            "step_seconds": found[name].seconds,
            "plain_seconds": found["plain"].seconds,
            "ratio": found[name].seconds / found["plain"].seconds,
            "compile_seconds": found[name].compile_seconds,
        }


def cudnn(sizes, tiny, repeats):
    """The plain pair with and without cuDNN, and whether its program calls cuDNN at all."""
    for size in sizes:
        of = size_of(size, tiny)
        loop = functools.partial(keras.layers.LSTM, use_cudnn=False)
        pairs = {"plain": Plain(of), "without": Plain(of, loop)}
        found = in_turn({name: train_step(pair, of) for name, pair in pairs.items()}, repeats)
        program = jax.jit(lambda x, pair=pairs["plain"]: pair(x)).lower(frames(of)).as_text()
        yield {
            "size": size,
            "plain_seconds": found["plain"].seconds,
            "without_cudnn_seconds": found["without"].seconds,
            "calls_cudnn": "cudnn" in program,
        }


def pytorch(sizes, tiny, repeats, models):
    """A step of the PyTorch loops, run eagerly and as one CUDA graph."""
    if importlib.util.find_spec("torch") is None:
        yield {"skipped": "PyTorch is not installed"}
        return
    import torch

    from benchmarks import pytorch

    for size, name in itertools.product(sizes, ["ZForcing"] if tiny else models):
        of = size_of(size, tiny)
        for loop in ("eager", "CUDA graph"):
            row = {"size": size, "model": name, "loop": loop, "torch": torch.__version__}
            if loop == "CUDA graph" and not torch.cuda.is_available():
                yield {**row, "note": "PyTorch finds no GPU"}
                continue
            step = pytorch.train_step(name, frames(of), of, graph=loop == "CUDA graph")
            yield {**row, "step_seconds": in_turn({loop: step}, repeats)[loop].seconds, "device": pytorch.device()}


def epoch(size, sequences, tiny, repeats):
    """An epoch of `fit`, of as many random sequences as sequential MNIST has; over some updates, and scaled."""
    of = size_of(size, tiny)
    updates = -(-sequences // of.batch)
    name = "RNN" if tiny else "ZForcing"
    model = make_model(name, of)
    model.compile(optimizer="adam")

    def fit(count):
        x = frames(of._replace(batch=count * of.batch))
        return seconds(lambda: model.fit(x, batch_size=of.batch, epochs=1, verbose=0))

    fit(2)  # compiles
    count = int(np.clip(EPOCH_SECONDS / (fit(4) / 4), 4, 8 if tiny else updates))
    taken = fit(count)
    yield {
        "model": name,
        "data": f"synthetic, {sequences:,} sequences of {of.time}",
        "updates": count,
        "updates_of_an_epoch": updates,
        "seconds": taken,
        "epoch_seconds": taken / count * updates,
        "scaled": count < updates,
    }


def main(argv):
    function, arguments, file = argv
    with Path(file).open("a") as rows:
        for row in globals()[function](**json.loads(arguments)):
            print(json.dumps(row), file=rows, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
