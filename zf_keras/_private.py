"""All that is used of other packages' private members, each with a test in tests/test_private.py.

The upper bounds in pyproject.toml are those of the versions these were tested with.
"""

import importlib

import keras

_ADAPTERS = "keras.src.trainers.data_adapters.py_dataset_adapter"

if keras.config.backend() == "jax":
    import jax

    class Model(keras.Model):
        """A Keras model whose variables keep their values while it is fitted, evaluated or used to predict.

        Keras's trainer takes them out and donates them to each step; an error or Ctrl-C between two steps then
        destroys the model. Here an interrupted step leaves the values of the last whole one, which
        `jax_state_sync` puts back; this costs the memory of the weights and the optimizer once more.
        """

        def _purge_model_variables(self, **kwargs):
            pass

        def jax_state_sync(self):
            super().jax_state_sync()
            self._jax_state = None

        def make_train_function(self, force=False):
            if force or self.train_function is None:
                self.train_function = self._make_function(self._compiled_step(self.train_step, (0, 1, 2, 3)))

        def make_test_function(self, force=False):
            if force or self.test_function is None:
                self.test_function = self._make_function(self._compiled_step(self.test_step, (0, 1, 3)))

        def make_predict_function(self, force=False):
            if force or self.predict_function is None:
                step = self._compiled_step(self._predict_step, (0, 1))
                self.predict_function = self._make_function(step, concatenate_outputs=True)

        def _predict_step(self, state, data):
            outputs, others = self.predict_step(state, data)
            return outputs, (state[0], others)

        def _compiled_step(self, step, parts):
            """parts: which of the trainable, other, optimizer's and metrics' values the step returns."""
            if self.run_eagerly or not self.jit_compile:
                return step
            if keras.distribution.distribution() is None:
                return jax.jit(step)
            shardings = self._get_state_sharding_spec()
            return jax.jit(step, out_shardings=(None, tuple(shardings[part] for part in parts)))

else:
    Model = keras.Model


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


class CheckedPyDatasetAdapter(importlib.import_module(_ADAPTERS).PyDatasetAdapter):
    """Keras's reader of a `PyDataset`; every batch goes through `check` in this process, whatever process made it."""

    def __init__(self, dataset, check, shuffle):
        super().__init__(dataset, shuffle=shuffle)
        self._check = check

    def _standardize_batch(self, batch):
        return super()._standardize_batch(self._check(batch))


def is_validation(evaluate_arguments):
    """Whether `fit` calls `evaluate`, with the data that it was given at first."""
    return bool(evaluate_arguments.get("_use_cached_eval_dataset"))
