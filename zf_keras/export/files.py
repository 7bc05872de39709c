"""An export as files of one endpoint each: ONNX and LiteRT, where nothing is drawn."""

import numpy as np
import tensorflow as tf

from zf_keras._private import patch_tf2onnx
from zf_keras.export.endpoint import counts, flat_function, flat_specs

#: The endpoints that a format holds.
STEPS = ("score_step", "generate_step")
HELD = {"onnx": ("elbo", "log_likelihood", "encode", *STEPS), "litert": STEPS}
#: Of ONNX.
OPSET = 18
AXES = {1: ("batch",), 2: ("batch", "time"), 3: ("batch", "time", ""), 4: ("batch", "num_samples", "time", "")}


def write_files(model, table, folder, format):
    """Writes each endpoint of a table as a file that takes all its inputs flat, runs it and compares it with the model.

    Returns:
        dict. Name -> outputs.

    Raises:
        ValueError: the format can't hold the model.
    """
    return {name: _write_file(model, name, endpoint, folder, format) for name, endpoint in table.items()}


def _write_file(model, name, endpoint, folder, format):
    write = {"onnx": _write_onnx, "litert": _write_litert}[format]
    specs = flat_specs(endpoint, counts(endpoint))
    call = flat_function(endpoint, lambda given: endpoint.function(**given), specs)
    function = tf.function(call, input_signature=list(specs.values()), autograph=False)
    try:
        run = write(function, specs, folder / name)
        for size in (1, 3):
            given = _example(model, specs, size)
            expected = function(*given.values())
            for key, found in run(given).items():
                np.testing.assert_allclose(found, expected[key], rtol=1e-3, atol=1e-3, err_msg=key)
    except Exception as error:  # a converter raises what it likes
        reason = str(error).strip().partition("\n")[0][:500]
        raise ValueError(f"format={format!r} can't hold {name} of this model: {reason}") from error
    return function.get_concrete_function().structured_outputs


def _example(model, specs, size):
    """Inputs that any head can score."""
    rng = np.random.default_rng(size)
    values = {}
    for name, spec in specs.items():
        shape = [size + 1 + axis if n is None else n for axis, n in enumerate(spec.shape)]
        if name in ("targets", "inputs", "x", "y"):
            value = rng.integers(0, model.head.num_classes if model.tokens else 2, shape)
        elif name == "mask":
            value = np.arange(shape[1]) <= np.arange(1, 1 + shape[0])[:, None]
        elif name == "categories":
            value = rng.integers(0, min(model.cardinalities), shape)
        elif name == "temperature" and not model.head.tempers:
            value = 1.0
        else:
            positive = name in ("uniform", "temperature", "scale")
            value = rng.uniform(0.5, 1.0, shape) if positive else rng.normal(size=shape)
        values[name] = np.asarray(value, spec.dtype.as_numpy_dtype)
    if "noise" in values and values["noise"].ndim == 4:  # (batch, num_samples, time, noise_dim)
        time = values["targets"].shape[1]
        values["noise"] = np.resize(values["noise"], (*values["noise"].shape[:2], time, values["noise"].shape[3]))
    return values


def _write_onnx(function, specs, path):
    """Writes an ONNX file, and gives the function that runs it."""
    import onnx
    import onnxruntime
    import tf2onnx

    patch_tf2onnx()
    model, _ = tf2onnx.convert.from_function(function, list(specs.values()), opset=OPSET)
    for value in model.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_param = AXES[len(value.type.tensor_type.shape.dim)][axis]
    onnx.save(model, path.with_suffix(".onnx"))
    session = onnxruntime.InferenceSession(path.with_suffix(".onnx"))
    outputs = [output.name for output in session.get_outputs()]
    return lambda given: dict(zip(outputs, session.run(None, given), strict=True))


def _write_litert(function, specs, path):
    """Writes a LiteRT file, and gives the function that runs it."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        Interpreter = tf.lite.Interpreter

    module, concrete = tf.Module(), function.get_concrete_function()
    module.function, module.captured = function, list(concrete.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    path.with_suffix(".tflite").write_bytes(converter.convert())

    def run(given):
        return Interpreter(str(path.with_suffix(".tflite"))).get_signature_runner()(**given)

    return run
