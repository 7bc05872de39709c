"""Models that leave Python: a SavedModel, ONNX and LiteRT files.

All formats are made of one set of TensorFlow functions (`zf_keras.export.endpoints`); from JAX, a second process loads
the model on TensorFlow and exports it there.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
from keras import ops

from zf_keras._private import all_layers
from zf_keras.arguments import check_choice
from zf_keras.files import whole_folder
from zf_keras.heads import DistributionHead
from zf_keras.loops.xla import portable

FORMATS = ("tf_saved_model", "onnx", "litert")


def export(model, filepath, format="tf_saved_model", overwrite=False):
    """Writes the model to a folder that needs no zf_keras, of sequences of any batch size and length.

    - `"tf_saved_model"`: `tf.saved_model.load(folder)` has the methods `elbo`, `log_likelihood`, `encode`,
      `generate`, `continue_sequence`, and for one step at a time `initial_state`, `state_after`, `score_step` and
      `generate_step`. Noise is drawn anew at each call, or given. The same names are signatures for serving.
    - `"onnx"`: a file each of `elbo`, `log_likelihood`, `encode`, `score_step` and `generate_step`, all noise an
      input. Needs the packages tf2onnx and onnxruntime: each file is run and compared with the model.
    - `"litert"`: files of `score_step` and `generate_step`, compared likewise.

    `endpoints.json` in the folder lists inputs and outputs. A model without latents has no `encode`; one whose
    inputs are not its targets a step earlier can score, and not generate.

    Args:
        filepath: path of a folder to be made.
        format: `"tf_saved_model"`, `"onnx"` or `"litert"`. Defaults to `"tf_saved_model"`.
        overwrite: bool. Whether an earlier export in the folder is replaced. Defaults to `False`.

    Raises:
        ValueError: unknown format; the model is not built; the folder is not empty; or the format can't hold the
            model, such as ONNX one that computes in 16 bits.
        ImportError: names the package to install.

    Example:

    >>> model = ZForcing(units=8, latent_dim=2, output="gaussian")
    >>> model.build((None, None, 3))
    >>> model.export("exported")
    >>> import tensorflow as tf
    >>> exported = tf.saved_model.load("exported")
    >>> exported.generate(batch_size=4, length=10).shape
    (4, 10, 3)
    """
    check_choice("format", format, FORMATS)
    folder = pathlib.Path(filepath)
    if not model.built:
        raise ValueError("The model is not built: fit it, load it, or call it on a batch before it is exported.")
    for weight in model.weights:
        if not np.isfinite(ops.convert_to_numpy(weight).astype("float32")).all():
            raise ValueError(f"The weights {weight.path} are not all finite: such a model is not exported.")
    _check_replaceable(folder, overwrite)
    if format != "tf_saved_model":
        _check_files(model, format)
    _check_installed(format)
    with whole_folder(folder) as made:
        if keras.config.backend() == "tensorflow":
            _write(model, made, format)
        else:
            _write_in_tensorflow(model, made, format)


def _check_files(model, format):
    if model.compute_dtype != "float32":
        raise ValueError(
            f"format={format!r} needs a model that computes in float32. Received: dtype policy "
            f"{model.dtype_policy.name}. Load the model with dtype='float32'."
        )
    if type(model.head).draw is DistributionHead.draw:
        raise ValueError(
            f"format={format!r} needs an output that draws from given noise. Received: {type(model.head).__name__}, "
            "which draws by TFP. Define its `draw`, `normal_dim` and `uniform_dim`."
        )


#: What an export may hold at its top, beside files of one endpoint.
OWN = {"endpoints.json", "saved_model.pb", "fingerprint.pb", "variables", "assets"}


def _check_replaceable(folder, overwrite):
    """Raises a `ValueError` unless an export may be written: nothing is there, or an export and `overwrite`."""
    wanted = f"`filepath` must be a new or empty folder. Received: {str(folder)!r}"
    if folder.suffix in (".onnx", ".tflite", ".pb", ".keras"):
        raise ValueError(f"{wanted}, the name of a file.")
    if folder.is_symlink() or folder.is_file():
        raise ValueError(f"{wanted}, which is a link or a file.")
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    strangers = sorted(name for name in names - OWN if not name.endswith((".onnx", ".tflite")))
    if names and (strangers or "endpoints.json" not in names):
        raise ValueError(f"{wanted}, which holds {(strangers or sorted(names))[0]}: it is no export, and left alone.")
    if names and not overwrite:
        raise ValueError(f"{wanted}, which holds an export: pass overwrite=True to replace it.")


def _check_installed(format):
    needed = {
        "tf_saved_model": ("tensorflow", "tf_keras"),
        "onnx": ("tensorflow", "tf_keras", "tf2onnx", "onnxruntime"),
        "litert": ("tensorflow", "tf_keras"),
    }[format]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        extra = "onnx" if format == "onnx" else "tensorflow"
        raise ImportError(f"format={format!r} needs {' and '.join(missing)}: pip install 'zf_keras[{extra}]'.")


def _write(model, folder, format):
    """Writes the files of an export, on TensorFlow."""
    # They import TensorFlow.
    from zf_keras.export.endpoint import described
    from zf_keras.export.endpoints import endpoints
    from zf_keras.export.files import HELD, write_files
    from zf_keras.export.saved_model import write_saved_model

    with _without_cudnn(model), portable():
        table = endpoints(model)
        if format == "tf_saved_model":
            outputs = write_saved_model(model, table, folder)
        else:
            table = {name: endpoint for name, endpoint in table.items() if name in HELD[format]}
            outputs = write_files(model, table, folder, format)
    description = {
        "model": type(model).__name__,
        "format": format,
        "start": ops.convert_to_numpy(model.start).tolist(),
        "endpoints": {name: described(endpoint, outputs[name], format) for name, endpoint in table.items()},
    }
    (folder / "endpoints.json").write_text(json.dumps(description, indent=1) + "\n")


@contextlib.contextmanager
def _without_cudnn(model):
    """What is traced runs on any device."""
    layers = [layer for layer in all_layers(model) if hasattr(layer, "use_cudnn")]
    before = [layer.use_cudnn for layer in layers]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, use_cudnn in zip(layers, before, strict=True):
            layer.use_cudnn = use_cudnn


def _write_in_tensorflow(model, folder, format):
    """Writes the files of an export, from another backend."""
    modules = {type(layer).__module__ for layer in all_layers(model)}
    modules = sorted(name for name in modules if name.partition(".")[0] not in ("keras", "zf_keras"))
    if "__main__" in modules:
        raise ValueError(
            "On this backend another process exports the model, which has a class that was defined in __main__. "
            "Define it in a module that can be imported."
        )
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }
    with tempfile.TemporaryDirectory() as temporary:
        path, error_file = (pathlib.Path(temporary) / name for name in ("model.keras", "error.txt"))
        model.save(path)
        command = [sys.executable, "-m", "zf_keras", "export", path, folder, "--format", format]
        command += [f"--error-file={error_file}", *(f"--import={name}" for name in modules)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode and error_file.exists():
            raise ValueError(error_file.read_text(encoding="utf-8"))
    if done.returncode:
        raise ValueError(f"The process that exports on TensorFlow ended with {done.returncode}: {done.stderr[-2000:]}")
