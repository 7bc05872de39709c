"""All that is used of other packages' private members, each with a test in tests/test_private.py.

The upper bounds in pyproject.toml are those of the versions these were tested with.
"""

import importlib

import keras

from zf_keras import replicas

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
    import tensorflow as tf

    class Model(keras.Model):
        """A Keras model for which a step by several replicas is that of one device with the whole batch.

        Keras's optimizers clip what each replica has of the gradient, and add that up. Here the gradient is added up
        first. Metrics of a batch are those of one replica in Keras; here they are of all.
        """

        def train_step(self, data):
            if replicas.count() == 1:
                return super().train_step(data)
            x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.optimizer.scale_loss(self.compute_loss(x=x, y_pred=y_pred))
            weights = self.trainable_weights
            gradients = replicas.added(tape.gradient(loss, weights))
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return self.compute_metrics(x, None, y_pred)

        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            if replicas.count() == 1:
                return super().compute_metrics(x, y, y_pred, sample_weight)
            totals = replicas.added([tf.convert_to_tensor(x.value) for m in self.metrics for x in (m.total, m.count)])
            means = map(tf.math.divide_no_nan, totals[::2], totals[1::2])
            # Keras takes the mean of them over an axis of several processes, and over none of one.
            several = isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
            return {m.name: x[None] if several else x for m, x in zip(self.metrics, means, strict=True)}

        def _maybe_symbolic_build(self, iterator=None, data_batch=None):
            if iterator is not None and self._distribute_strategy is not None:
                # Keras would take the mean of the shares, which there is none of for a mask.
                local = self.distribute_strategy.experimental_local_results
                _, _, batches = next(iter(iterator))
                data_batch = tf.nest.map_structure(lambda x: local(x)[0], next(batches))
            super()._maybe_symbolic_build(data_batch=data_batch)


def for_replicas(model):
    """What a compiled model of several replicas has in place of Keras's: its metric of the loss, and an optimizer of
    gradients that were added up.
    """
    model.__dict__["_loss_tracker"] = replicas.LossOfRows(name="loss")  # past Keras's tracking of attributes
    if keras.config.backend() == "tensorflow":
        model.optimizer._all_reduce_sum_gradients = list
        model.jit_compile = False  # XLA has no part in what goes between devices


def loss_metric(model):
    return model._loss_tracker


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
