"""The cost of a step of an exported model: `python -m benchmarks.streaming`.

Exports a model in all three formats and runs their `score_step` and `generate_step`, states in and states out, in turn;
prints the median milliseconds a step.
"""

import argparse
import pathlib
import statistics
import tempfile

import numpy as np
import tensorflow as tf

from benchmarks.measures import seconds
from benchmarks.models import MODELS, new_model

FEATURES = 28


def exported_step(folder, format, endpoint):
    """A step of an exported model: a function of a dict of flat inputs to a dict of flat outputs."""
    if format == "tf_saved_model":
        exported = tf.saved_model.load(str(folder))
        function = exported.signatures[endpoint]
        function.exported = exported  # which must live as long
        return lambda given: function(**given)
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / f"{endpoint}.onnx")
        names = [output.name for output in session.get_outputs()]
        return lambda given: dict(zip(names, session.run(None, given), strict=True))
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / f"{endpoint}.tflite"))
    runner = interpreter.get_signature_runner()
    runner.interpreter = interpreter
    return lambda given: runner(**given)


def run_of(model, folder, format, endpoint, rows):
    """A step of an export, its inputs, and which of them are states: what `milliseconds` takes."""
    rng, features = np.random.default_rng(0), model.features["targets"]
    state = [np.asarray(x) for x in tf.nest.flatten(model.initial_state(1))]
    given = {f"state_{i}": np.zeros((rows, *x.shape[1:]), x.dtype) for i, x in enumerate(state)}
    states = list(given)
    given["x"] = rng.integers(0, 2, size=(rows, features)).astype("float32")  # of whatever output
    width = model.noise_dim
    if endpoint == "score_step":
        given["y"] = given["x"]
    else:
        given["temperature"] = np.array(1.0, "float32")
        width += model.head.normal_dim
    if format == "tf_saved_model":
        given = {name: tf.constant(x) for name, x in given.items()}
    elif width:
        given["noise"] = rng.normal(size=(rows, width)).astype("float32")
    return exported_step(folder, format, endpoint), given, states


def milliseconds(step, given, states, count):
    def steps():
        for _ in range(count):
            outputs = step(given)
            given.update((name, outputs[f"next_{name}"]) for name in states)

    return seconds(steps) / count * 1e3


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ZForcing", choices=MODELS, help="default: ZForcing")
    parser.add_argument("--units", type=int, default=256, help="default: 256")
    parser.add_argument("--latent-dim", type=int, default=32, help="default: 32")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1, 64], help="of a step: sequences or particles (default: 1 64)"
    )
    parser.add_argument("--steps", type=int, default=200, help="a round (default: 200)")
    parser.add_argument("--rounds", type=int, default=7, help="of each (default: 7)")
    args = parser.parse_args(argv)
    model = new_model(args.model, args.units, args.latent_dim, output="gaussian")
    model.build((None, None, FEATURES))
    formats = ("tf_saved_model", "onnx", "litert")
    with tempfile.TemporaryDirectory() as directory:
        folders = {format: pathlib.Path(directory) / format for format in formats}
        for format, folder in folders.items():
            model.export(folder, format)
        print(f"{args.model}, units {args.units}, {FEATURES} features: milliseconds a step")
        for endpoint in ("score_step", "generate_step"):
            for rows in args.rows:
                runs = {format: run_of(model, folders[format], format, endpoint, rows) for format in formats}
                times = {format: [] for format in formats}
                for _ in range(args.rounds + 1):
                    for format, run in runs.items():
                        times[format].append(milliseconds(*run, args.steps))
                medians = ", ".join(f"{format} {statistics.median(s[1:]):.3f}" for format, s in times.items())
                print(f"  {endpoint}, {rows} rows: {medians}")


if __name__ == "__main__":
    main()
