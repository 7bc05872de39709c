"""Data sets."""

from zf_keras.datasets import binarized_mnist, digits, fashion_mnist, mnist
from zf_keras.datasets.batches import Batches, Mapped
from zf_keras.datasets.shards import Shards, write_shards
from zf_keras.datasets.splits import Splits, load_splits
