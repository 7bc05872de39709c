"""What a run ran on, and when."""

import datetime
import importlib.metadata
import os
import platform

import keras


def machine():
    """Backend, versions, devices and day, as `environment.json` and `results.json` keep them."""
    backend = keras.config.backend()
    devices = keras.distribution.list_devices() if backend == "jax" else _tensorflow_devices()
    return {
        "backend": backend,
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "devices": devices,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def versions():
    """Of the packages that compute."""
    names = ("zf_keras", "keras", keras.config.backend(), "tensorflow-probability", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


def _tensorflow_devices():
    import tensorflow as tf

    return [device.device_type for device in tf.config.list_logical_devices()]
