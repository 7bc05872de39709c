"""TensorFlow Probability for the chosen backend; densities in float32, whatever the precision policy.

The only door to TFP, opened where a distribution is asked for.
"""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from zf_keras._private import tfp


def __getattr__(name):
    if name == "tfd":
        return tfp().distributions
    raise AttributeError(name)


def float32(x):
    return ops.cast(x, "float32")


def expm1(x):
    """e^x - 1, of operations that ONNX has."""
    return ops.tanh(0.5 * x) * (ops.exp(x) + 1)


def log1p(x):
    """log(1 + x), of operations that ONNX has: by the series of 2 artanh(x / (2 + x)) where x is small."""
    near = (x > -1 / 3) & (x < 0.5)
    small = ops.where(near, x, 0.0)
    s = small / (2 + small)
    square = ops.square(s)
    series = 1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square / 9)))
    return ops.where(near, 2 * s * series, ops.log(1 + ops.where(near, 0.0, x)))


def bounded(x, most):
    """x in (-most, most), smoothly: nearly x where that is small, with a gradient of at most 1."""
    return most * ops.tanh(x / most)


def shifted(x, shift, most):
    """The x' of which `bounded` is that of x and `shift` more, as far as the bounds allow."""
    share = ops.clip(ops.tanh(x / most) + shift / most, -1 + 1e-6, 1 - 1e-6)
    return 0.5 * most * (log1p(share) - log1p(-share))  # LiteRT has no arctanh


class Gaussian(NamedTuple):
    """Parameters of a diagonal Gaussian, each (..., dim)."""

    mean: Any
    log_variance: Any

    def distribution(self):
        """TFP distribution with event shape (dim,), in float32."""
        tfd = tfp().distributions
        scale = ops.exp(0.5 * float32(self.log_variance))
        return tfd.Independent(tfd.Normal(float32(self.mean), scale), reinterpreted_batch_ndims=1)

    def log_prob(self, x):
        """log N(x; mean, variance) in nats, summed over the last axis."""
        return ops.sum(self.log_prob_by_feature(x), axis=-1)

    def log_prob_by_feature(self, x):
        """log N(x; mean, variance) of each number, in nats."""
        mean, log_variance, x = float32(self.mean), float32(self.log_variance), float32(x)
        return -0.5 * (log_variance + ops.square(x - mean) * ops.exp(-log_variance) + math.log(2 * math.pi))

    def kl(self, other):
        """KL(self || other) in nats, summed over the last axis."""
        (m_q, v_q), (m_p, v_p) = map(float32, self), map(float32, other)
        variance_ratio = ops.exp(v_q - v_p)
        squared_distance = ops.square(m_q - m_p) * ops.exp(-v_p)
        return 0.5 * ops.sum(v_p - v_q + variance_ratio + squared_distance - 1.0, axis=-1)


def standard_normal(like):
    """N(0, I) of the shape and dtype of `like`."""
    return Gaussian(ops.zeros_like(like), ops.zeros_like(like))


def reparametrized(mean, log_variance, noise):
    """A draw from a Gaussian, from standard-normal noise: mean + sigma * noise."""
    return mean + ops.exp(0.5 * log_variance) * noise


def sample(distribution, uniform):
    """One draw by TFP, seeded by the first two of `uniform`, numbers in [0, 1), (..., 2)."""
    seed_dtype = "int32" if keras.config.backend() == "tensorflow" else "uint32"
    seed = ops.cast(ops.reshape(uniform, (-1, 2))[0] * float(2**31 - 128), seed_dtype)
    return distribution.sample(seed=seed)
