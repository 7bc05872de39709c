"""Data sets."""

from zf_keras.datasets import digits
