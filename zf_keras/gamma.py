"""The gamma function and draws of gamma variables, of `keras.ops` alone, in float32: they run and export everywhere.

`keras.ops` has no log-gamma, nor have ONNX and LiteRT. The differences of log-gammas that densities need are written
without the large terms that cancel.
"""

import math

from keras import ops

from zf_keras.probability import log1p

#: Terms of Stirling's series past its main part.
_SERIES = (1 / 12, -1 / 360, 1 / 1260)
#: Proposals of `log_gamma_draw`, and the noise that it takes.
TRIES = 6
NORMAL, UNIFORM = TRIES, TRIES + 1


def stirling_rest(x):
    """log Γ(x) - (x - 1/2) log x + x, for x > 0: what Stirling's main part leaves out, with an error of about 2e-6."""
    # Γ(x) = Γ(x + 4) / (x (x + 1) (x + 2) (x + 3)), where the series is exact in float32.
    small = ops.minimum(x, 4.0)
    moved = (small + 3.5) * ops.log(small + 4) - (small + 0.5) * ops.log(small) - 4
    moved = moved - ops.log((small + 1) * (small + 2) * (small + 3))
    far = ops.where(x < 4, x + 4, x)
    first, second, third = _SERIES
    square = ops.square(far)
    series = (first + (second + third / square) / square) / far
    return ops.where(x < 4, moved, 0.0) + series + 0.5 * math.log(2 * math.pi)


def log_gamma_ratio(x, a):
    """log Γ(x + a) - log Γ(x), for x > 0 and a >= 0; exact too where both are large."""
    rest = stirling_rest(x + a) - stirling_rest(x)
    return rest + (x - 0.5) * log1p(a / x) + a * ops.log(x + a) - a


def log_gamma_draw(shape, normal, uniform):
    """Logarithm of a gamma variable, by the method of Marsaglia and Tsang 2000.

    The first of `TRIES` proposals that is accepted; there is none once in 10^8 draws.

    Args:
        shape: tensor (...), positive.
        normal: tensor (..., NORMAL), standard normal.
        uniform: tensor (..., UNIFORM), uniform in [0, 1).
    """
    # Γ(shape + 1) is drawn, of which a power of a uniform number is the share of Γ(shape): most are accepted so.
    d = ops.expand_dims(shape + 2 / 3, -1)
    e = ops.maximum(normal / ops.sqrt(9 * d), -1 + 1e-6)  # less is not accepted, as it is below
    log_acceptance = 0.5 * ops.square(normal) + d * (3 * (log1p(e) - e) - 3 * ops.square(e) - e**3)
    accepted = log1p(-uniform[..., 1:]) < log_acceptance
    log_cubes = 3 * log1p(e)
    chosen = log_cubes[..., -1]
    for i in reversed(range(TRIES - 1)):
        chosen = ops.where(accepted[..., i], log_cubes[..., i], chosen)
    return ops.log(d[..., 0]) + chosen + log1p(-uniform[..., 0]) / shape
