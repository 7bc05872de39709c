"""Around Keras's fit, evaluate and predict: one at a time of a model, and its values whole after an error."""

import contextlib

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
    model.lagged = True

    def check(data):
        lagged, model.lagged = model.lagged, True  # no matter what it was fitted on before
        model.check_data(data)
        model.lagged = lagged and is_lagged(data)

    return check
