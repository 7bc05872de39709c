"""What `python -m benchmarks` measures of one model of one size, on the backend of this process."""

import importlib.metadata
import importlib.util
import pathlib
import statistics
import sys
import tempfile

import keras

from benchmarks.floor import floor_step, kernel_shapes, operations
from benchmarks.measures import in_turn
from benchmarks.models import IN_THE_CELL
from benchmarks.training_step import frames, make_model, train_step
from zoo.machine import machine

NUM_SAMPLES = 25
#: What a training step may be compared with.
COMPARED = ("plain", "floor", "in the cell", "pytorch")
TORCH = importlib.util.find_spec("torch") is not None


def say(text):
    print(text, file=sys.stderr, flush=True)


def keras_models(name):
    """A model and those Keras models that it is compared with: how results call them, and `make_model`."""
    return {name: name, "plain": "plain", "in the cell": name + IN_THE_CELL}


def measure(name, size, repeats):
    """All numbers but those of memory: a dict that JSON can hold."""
    model = make_model(name, size)
    model.build((None, None, size.features))
    shapes = kernel_shapes(model)
    steps = {each: train_step(make_model(model_name, size), size) for each, model_name in keras_models(name).items()}
    steps["floor"] = floor_step(shapes, size)
    if TORCH:
        from benchmarks import pytorch

        steps["pytorch"] = pytorch.train_step(name, frames(size), size)
    say(f"  training step, in turn: {', '.join(steps)}")
    timings = in_turn(steps, repeats)
    seconds = {each: timing.seconds for each, timing in timings.items()}
    found = {
        "step_seconds": seconds,
        "ratio_to": {each: seconds[name] / other for each, other in seconds.items() if each != name},
        "compile_seconds": {each: timings[each].compile_seconds for each in keras_models(name)},
        "floor_gflop": operations(shapes, size) / 1e9,
    }
    x = frames(size)
    say(f"  IWAE-{NUM_SAMPLES} of a batch, and a batch generated")
    services = {
        "scoring": lambda: model.log_likelihood(x, NUM_SAMPLES, seed=0, verbose=0),
        "generation": lambda: model.generate(size.batch, size.time, seed=0),
    }
    scoring, generation = in_turn(services, repeats).values()
    found |= {"scoring_seconds": scoring.seconds, "generation_ms": 1e3 * generation.seconds / size.time}
    if keras.config.backend() == "tensorflow":
        say("  a step of its export")
        found["exported_ms"] = exported_ms(model, size, repeats)
    return found


def exported_ms(model, size, repeats):
    """Median milliseconds of `score_step` of a SavedModel, one row, states in and out."""
    from benchmarks import streaming

    with tempfile.TemporaryDirectory() as directory:
        folder = pathlib.Path(directory) / "exported"
        model.export(folder)
        run = streaming.run_of(model, folder, "tf_saved_model", "score_step", 1)
        return statistics.median([streaming.milliseconds(*run, size.time) for _ in range(repeats + 1)][1:])


def described():
    """The machine, with PyTorch where it is compared with."""
    found = machine()
    if TORCH:
        found["versions"]["torch"] = importlib.metadata.version("torch")
    return found
