"""Around Keras's fit, evaluate and predict: one at a time of a model, and its values whole after an error."""

import contextlib

import keras
import numpy as np

from zf_keras.data.checks import is_lagged


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
            model.check_data(data)
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


def with_finite_loss(callbacks):
    """The callbacks of `fit`, with `FiniteLoss`."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(FiniteLoss())
        return callbacks
    callbacks = callbacks or []
    return [*(callbacks if isinstance(callbacks, list | tuple) else [callbacks]), FiniteLoss()]
