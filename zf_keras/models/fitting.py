"""Around Keras's fit, evaluate and predict: one at a time of a model, and its values whole after an error."""

import contextlib


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
