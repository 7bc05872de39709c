"""What surrounds Keras's fit, evaluate and predict: a lock, and values that are whole after an error."""

import contextlib


@contextlib.contextmanager
def alone(model):
    """One fit, evaluate or predict of a model at a time. Whatever ends it, the model keeps the values of the last whole step.

    On JAX the trainer holds these until it is done. A callback may evaluate the model that is fitted.
    """
    settle = getattr(model, "jax_state_sync", lambda: None)
    with model.lock:
        settle()
        try:
            yield
        finally:
            settle()
