"""What zf_keras changes of Keras's own model: data is checked, one fit runs at a time, files are whole."""

import contextlib
import inspect
import threading
from pathlib import Path

import keras
import numpy as np

from zf_keras import replicas
from zf_keras._private import Model, for_replicas, is_validation
from zf_keras.callbacks import SHOWN, Progress
from zf_keras.data.batches import Batches
from zf_keras.data.checks import is_lagged
from zf_keras.data.streams import checked, finite, is_checked
from zf_keras.files import whole_file


class CheckedModel(Model):
    """A Keras model with its own loss, which checks its data as it is read.

    A subclass defines `check_data(data)`, which raises a `ValueError`, and reads `lagged`: whether the model was
    fitted on inputs that are the targets a step earlier.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.__dict__["lock"] = threading.RLock()  # past Keras's tracking of attributes
        self.lagged = True
        self.replicas = replicas.count()

    def check_data(self, data):
        """Raises a `ValueError` that names what is wrong with `data`, an array or dict, if anything is."""
        raise NotImplementedError

    def check_training_data(self, data):
        """As `check_data`, of what `fit` reads."""
        self.check_data(data)

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, **kwargs):
        given = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics, "weighted_metrics": weighted_metrics}
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"The model has its own loss and metrics: leave out `{name}`. Received: {value}.")
        super().compile(optimizer=optimizer, **kwargs)
        if self.replicas > 1:
            for_replicas(self)

    def compile_from_config(self, config):
        # Keras leaves it out where `compile` is one's own.
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        *,
        shown=SHOWN,
        **kwargs,
    ):
        check_only_x(y, sample_weight, class_weight)
        if validation_data is None and not validation_split:
            check_no_validation(callbacks)
        shuffle = shuffle and not isinstance(x, Batches)  # which have their own order
        x = finite(x, "steps_per_epoch", kwargs)
        if not is_checked(x):
            callbacks = with_callback(callbacks, FiniteLoss())
        callbacks = with_progress(callbacks, verbose, shown)
        x = checked(x, check_of_fit(self), shuffle)
        if validation_data is not None:
            # A tuple is (x, y, sample_weight), as Keras has it.
            first, *rest = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            check_only_x(*rest)
            validation_data = checked(finite(first, "validation_steps", kwargs), self.check_data)
        with alone(self):
            return super().fit(
                x,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=shuffle,
                **kwargs,
            )

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        *,
        callbacks=None,
        shown=SHOWN,
        **kwargs,
    ):
        check_only_x(y, sample_weight)
        if not is_validation(kwargs):
            x = checked(finite(x, "steps", kwargs), self.check_data)
            callbacks = with_progress(callbacks, verbose, shown)
        with alone(self):
            return super().evaluate(x, batch_size=batch_size, verbose=verbose, callbacks=callbacks, **kwargs)

    def predict(self, x, *args, **kwargs):
        with alone(self):
            return super().predict(checked(x, self.check_data), *args, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, **kwargs):
        check_only_x(y, sample_weight, class_weight)
        with alone(self):
            return super().train_on_batch(checked(x, check_of_fit(self)), **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        check_only_x(y, sample_weight)
        with alone(self):
            return super().test_on_batch(checked(x, self.check_data), **kwargs)

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        path = Path(filepath)
        local = path.suffix == ".keras" and "://" not in str(filepath) and zipped is not False
        if not local or (path.exists() and not overwrite):  # Keras asks before it overwrites
            super().save(filepath, overwrite, zipped, **kwargs)
            return
        with whole_file(path) as partial:
            super().save(partial, True, zipped, **kwargs)


for method in (CheckedModel.fit, CheckedModel.evaluate):
    method.__doc__ = f"""{inspect.getdoc(getattr(Model, method.__name__))}

In zf_keras, `y`, `sample_weight` and `class_weight` must be left out, and there is an argument more:
    shown: sequence of str. Which metrics the progress bar shows, in this order, of those that there are; logs and
        history have all. `None` for Keras's own bar. Defaults to `{SHOWN}`."""


@contextlib.contextmanager
def alone(model):
    """One fit, evaluate or predict of a model at a time; whatever ends it, the values of the last whole step stay.

    On JAX those are in the trainer's hands until it is done. A callback may evaluate the model that is fitted.
    """
    settle = getattr(model, "jax_state_sync", lambda: None)
    with model.lock:
        settle()
        try:
            yield
        finally:
            settle()


def check_of_fit(model):
    """A check of what `fit` reads, which notes whether its inputs are the targets a step earlier."""
    lagged = True

    def check(data):
        nonlocal lagged
        before, model.lagged = model.lagged, True  # no matter what it was fitted on before
        try:
            model.check_training_data(data)
        except ValueError:
            model.lagged = before
            raise
        model.lagged = lagged = lagged and is_lagged(data)

    return check


class FiniteLoss(keras.callbacks.Callback):
    """Stops `fit` at the first update whose loss is not finite, of data that could not be checked before."""

    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not np.isfinite(float(logs["loss"])):
            raise ValueError(
                f"The loss is {float(logs['loss'])} at epoch {self.epoch + 1}, batch {batch + 1} (from 1): look for "
                "values that are not finite there. The weights have taken this update; load a saved file."
            )


def as_list(callbacks):
    """The callbacks of `fit`, whatever they are given as."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return keras.tree.flatten(callbacks or [])


def with_callback(callbacks, callback):
    """The callbacks of `fit`, and one more."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(callback)
        return callbacks
    return [*as_list(callbacks), callback]


def with_progress(callbacks, verbose, shown):
    """The callbacks of `fit`, and the progress bar, which Keras would add. A `CallbackList` has its own, or none."""
    bar = None if shown is None else Progress(shown)
    own = any(isinstance(callback, keras.callbacks.ProgbarLogger) for callback in as_list(callbacks))
    if bar is None or verbose == 0 or own or isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    return with_callback(callbacks, bar)


def check_no_validation(callbacks):
    """Raises a `ValueError` if a callback needs validation data."""
    for callback in as_list(callbacks):
        if getattr(callback, "needs_validation", False):
            raise ValueError(
                f"`{type(callback).__name__}` needs the validation ELBO: give `validation_data` or `validation_split`."
            )


def check_only_x(y=None, sample_weight=None, class_weight=None):
    """Raises a `ValueError` if there is more than x, which Keras would drop without a word."""
    for name, value in (("y", y), ("sample_weight", sample_weight), ("class_weight", class_weight)):
        if value is not None:
            raise ValueError(f"zf_keras models take no `{name}`: data is one array, or a dict inputs, targets, mask.")
