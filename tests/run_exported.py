"""Runs the endpoints of SavedModels where there is TensorFlow and nothing of ours; a program of its own.

Each line of its input is CALLS.npz, a tab and OUTPUTS.npz; it answers "done".

An array of CALLS is named FOLDER|CALL|ENDPOINT|ARGUMENT, with STATE/NAME for a part of the state; an output
FOLDER|CALL|NAME.
"""

import importlib.util
import sys

import numpy as np
import tensorflow as tf

present = [name for name in ("zf_keras", "tensorflow_probability", "tf_keras", "jax") if importlib.util.find_spec(name)]
assert not present, present


def run(calls_path, outputs_path):
    calls = {}
    with np.load(calls_path) as file:
        for key in file:
            folder, call, endpoint, argument = key.split("|")
            arguments = calls.setdefault((folder, call, endpoint), {})
            outer, _, inner = argument.partition("/")
            if inner:
                arguments.setdefault(outer, {})[inner] = file[key]
            elif outer:
                arguments[outer] = file[key]

    outputs, loaded = {}, {}
    for (folder, call, endpoint), arguments in calls.items():
        if folder not in loaded:
            loaded[folder] = tf.saved_model.load(folder)
        if endpoint.startswith("signature "):
            result = loaded[folder].signatures[endpoint.split()[1]](**{k: tf.constant(v) for k, v in arguments.items()})
        else:
            try:
                result = getattr(loaded[folder], endpoint)(**arguments)
            except tf.errors.InvalidArgumentError as error:
                result = np.array(str(error))
        result = result if isinstance(result, dict) else {"": result}
        for name, value in result.items():
            for inner, tensor in value.items() if isinstance(value, dict) else [("", value)]:
                outputs[f"{folder}|{call}|{name}{inner}"] = np.asarray(tensor)
    np.savez(outputs_path, **outputs)


for line in sys.stdin:
    run(*line.rstrip("\n").split("\t"))
    print("done", flush=True)
