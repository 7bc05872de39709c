"""All that is used of other packages' private members, each with a test in tests/test_private.py.

The upper bounds in pyproject.toml are those of the versions these were tested with.
"""

import importlib

import keras


def tfp():
    """TensorFlow Probability for the chosen backend."""
    # Imported at first use: the JAX substrate also loads TensorFlow where that is installed.
    if keras.config.backend() == "tensorflow":
        return importlib.import_module("tensorflow_probability")
    # TFP 0.25 asks for a table that JAX 0.7 made private.
    xla = importlib.import_module("jax.interpreters.xla")
    if not hasattr(xla, "pytype_aval_mappings"):
        xla.pytype_aval_mappings = importlib.import_module("jax._src.core").pytype_aval_mappings
    return importlib.import_module("tensorflow_probability.substrates.jax")


def all_layers(model):
    """A Keras model and the layers in it, at any depth."""
    return model._flatten_layers()


def patch_tf2onnx():
    """Makes tf2onnx work with NumPy 2, as Keras's own export does."""
    importlib.import_module("keras.src.export.tf2onnx_lib").patch_tf2onnx()


def is_validation(evaluate_arguments):
    """Whether `fit` calls `evaluate`, with the data that it was given at first."""
    return bool(evaluate_arguments.get("_use_cached_eval_dataset"))
