"""Tails of the standard normal law, of `keras.ops` alone, in float32: they run and export everywhere.

`keras.ops` has no logarithm of the normal distribution function, nor have ONNX and LiteRT. What is here is free of the
terms exp(-x^2 / 2), which underflow.
"""

import math

import numpy as np
from keras import ops

from zf_keras.probability import log1p

#: log(erfc(x) exp(x^2) / t) by powers of t = 1 / (1 + x / 2), to 1.2e-7 (Press et al., Numerical Recipes, erfcc).
_ERFC = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


def log_mills(x):
    """Logarithm of Mills' ratio, P(e > x) / density(x) of a standard normal e, for x >= 0."""
    t = 1 / (1 + x / math.sqrt(8))
    polynomial = _ERFC[-1]
    for coefficient in reversed(_ERFC[:-1]):
        polynomial = coefficient + t * polynomial
    return ops.log(t) + polynomial + 0.5 * math.log(math.pi / 2)


def tail_integral(distance, width=None, power=0):
    """The integral of s^power exp(-s^2 / 2 - distance s) over s in [0, width], for power 0 or 1.

    Args:
        distance: tensor (...), >= 0.
        width: tensor (...), >= 0, or `None`, infinite.
        power: 0, the mass of a part of a tail over the density where it begins; or 1.
    """
    whole = _whole(distance, power)
    if width is None:
        return whole
    exponent = width * (0.5 * width + distance)
    beyond = _whole(distance + width, power)
    if power == 1:
        beyond = beyond + width * _whole(distance + width, 0)
    far = whole - ops.exp(-exponent) * beyond
    # A difference of near numbers where the exponent hardly changes; there Gauss's five points are exact.
    near = exponent < 1
    width, distance = (ops.where(near, x, 0.0) for x in (width, distance))
    points = [(width * (0.5 + 0.5 * node), 0.5 * weight) for node, weight in zip(_NODES, _WEIGHTS, strict=True)]
    terms = [weight * (s if power else 1.0) * ops.exp(-s * (0.5 * s + distance)) for s, weight in points]
    return ops.where(near, width * sum(terms), far)


def _whole(distance, power):
    ratio = ops.exp(log_mills(distance))
    if power == 0:
        return ratio
    inverse = 1 / ops.square(ops.maximum(distance, 10.0))
    series = inverse * (1 - inverse * (3 - inverse * (15 - 105 * inverse)))
    return ops.where(distance < 10, 1 - distance * ratio, series)


def tail_quantile(distance, share):
    """s >= 0 such that P(e < distance + s, given e > distance) is `share` in [0, 1), of a standard normal e."""
    nats = -log1p(-ops.minimum(share, 1 - 2.0**-24))
    log_ratio = log_mills(distance)
    hazard = ops.exp(-log_ratio)
    slope = ops.clip(hazard * (hazard - distance), 0.0, 1.0)
    # By the hazard and its slope at the beginning, exact where s is small; then by Newton.
    first = s = 2 * nats / (hazard + ops.sqrt(ops.square(hazard) + 2 * slope * nats))
    for _ in range(3):
        after = log_mills(distance + s)
        s = s - (s * (0.5 * s + distance) + log_ratio - after - nats) * ops.exp(after)
    return ops.where(first < 0.03, first, s)
