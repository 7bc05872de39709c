"""Data sets: a module each, with `prepare` (files to shards, once) and `load_data` (shards to random access)."""

import importlib

from zf_keras.data.batches import Batches, Mapped
from zf_keras.data.shard_writer import write_shards
from zf_keras.data.shards import Shards
from zf_keras.datasets import digits
from zf_keras.datasets.splits import Splits, load_splits
from zf_keras.datasets.vocabulary import Vocabulary

NAMES = (
    "binarized_mnist",
    "blizzard",
    "digits",
    "fashion_mnist",
    "imdb",
    "ljspeech",
    "mnist",
    "piano_rolls",
    "ptb",
    "speech",
    "text",
    "timit",
)


def module(name):
    """The module of a data set, one of `NAMES`."""
    return importlib.import_module(f"zf_keras.datasets.{name}")
