"""The models of the package, by name; zoo, tuning and benchmarks read them here."""

import importlib
import inspect
import pkgutil

from zf_keras import models
from zf_keras.models.base import SequenceModel


def by_name():
    """Class of each model, by its name: what the folders of `zf_keras.models` define, each in its `__init__`."""
    folders = [found.name for found in pkgutil.iter_modules(models.__path__) if found.ispkg]
    packages = [importlib.import_module(f"{models.__name__}.{name}") for name in sorted(folders)]
    return {
        name: cls
        for package in packages
        for name, cls in vars(package).items()
        if inspect.isclass(cls) and issubclass(cls, SequenceModel)
    }
