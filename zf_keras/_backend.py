"""One clear error where the chosen Keras backend cannot serve."""

import importlib.util
import os

SUPPORTED = {"tensorflow": ("tensorflow", "tf_keras"), "jax": ("jax",)}


def check_backend(backend):
    """Raises an `ImportError` unless `backend` is supported and installed."""
    if backend not in SUPPORTED:
        raise ImportError(
            f"zf_keras runs on the Keras backends tensorflow and jax, which TensorFlow Probability supports; the "
            f"backend is {backend!r}. Set the environment variable KERAS_BACKEND to one of them."
        )
    missing = [name for name in SUPPORTED[backend] if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"The Keras backend {backend!r} needs {' and '.join(missing)}: pip install 'zf_keras[{backend}]', or "
            "set the environment variable KERAS_BACKEND to another backend."
        )


# Before `import keras`, which would fail first, with less to go by.
if os.environ.get("KERAS_BACKEND"):
    check_backend(os.environ["KERAS_BACKEND"])

try:
    import keras
except ModuleNotFoundError as error:
    raise ImportError(
        f"Keras cannot load its backend ({error}). The default is tensorflow: pip install "
        "'zf_keras[tensorflow]', or set the environment variable KERAS_BACKEND=jax."
    ) from error

check_backend(keras.config.backend())
