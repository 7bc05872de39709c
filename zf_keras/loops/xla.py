"""Loops that XLA compiles on TensorFlow, where most of a step is the overhead of small operations."""

import contextlib
import contextvars

import keras

from zf_keras.loops.scan import on_cpu

if keras.config.backend() == "tensorflow":
    import tensorflow as tf

#: Units for which XLA is faster on the CPU (measured by `benchmarks.training_step`). Smaller models are not worth the
#: second or two that it compiles for, and larger ones spend their time in products, which TensorFlow's own are best at.
UNITS = range(64, 1024)

_portable = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portable():
    """Inside of it loops are TensorFlow's own: what other runtimes can read."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def is_portable():
    """Whether what is traced now must be readable by other runtimes."""
    return _portable.get()


def uses_xla(units):
    """Whether a loop over states of so many units is compiled."""
    if keras.config.backend() != "tensorflow" or units not in UNITS or _portable.get():
        return False
    return on_cpu() and not tf.executing_eagerly()


def by_xla(function):
    return tf.function(function, autograph=False, jit_compile=True)
