"""Data sets: a module each, which holds a `Dataset`, `DATASET`. A new one is one file here."""

import importlib
import pkgutil

from zf_keras.data.batches import Batches, Mapped
from zf_keras.data.pieces import Pieces
from zf_keras.data.shard_writer import write_shards
from zf_keras.data.shards import Shards
from zf_keras.data.windows import Windows
from zf_keras.datasets import digits
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.splits import Splits, load_splits
from zf_keras.datasets.vocabulary import Vocabulary


def module(name):
    """The module of a data set, one of `NAMES`."""
    return importlib.import_module(f"zf_keras.datasets.{name}")


def get(name):
    """The `Dataset` of one of `NAMES`."""
    return module(name).DATASET


def __getattr__(name):
    if name == "NAMES":  # of the modules that hold a data set; none of them needs more than NumPy to be imported
        return tuple(name for _, name, _ in pkgutil.iter_modules(__path__) if hasattr(module(name), "DATASET"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
