"""Fashion-MNIST: pictures of clothes of 28x28 pixels, binarised.

Source: Zalando SE. Licence: MIT. Citation: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
Benchmarking Machine Learning Algorithms", 2017.

Layout: that of MNIST, the same two files (`zf_keras.datasets.mnist`). Debian's package dataset-fashion-mnist has them
in /usr/share/datasets/fashion-mnist.
"""

from zf_keras.datasets import images, mnist
from zf_keras.datasets.dataset import Dataset


def prepare(source, directory, valid=10_000, on_error="stop", verbose=True):
    """Writes the grey levels of the images to shards; see `zf_keras.datasets.mnist.prepare`."""
    return mnist.prepare(source, directory, valid, on_error, verbose, dataset="fashion_mnist")


def load_data(directory, binarization="stochastic", frames="pixels", verify=False):
    """The prepared images as sequences of 0 and 1; see `zf_keras.datasets.mnist.load_data`."""
    return mnist.load_data(directory, binarization, frames, verify, dataset="fashion_mnist")


DATASET = Dataset(load_data, prepare, **images.SHOWN)
