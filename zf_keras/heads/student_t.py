"""Student-t distributions, for numbers with outliers."""

import math

import keras
from keras import ops

from zf_keras import probability
from zf_keras.gamma import log_gamma_ratio
from zf_keras.heads.head import IndependentHead
from zf_keras.heads.registry import output
from zf_keras.probability import bounded, expm1, float32, log1p, shifted

#: Bound of log-scales, wide enough for frames of any unit.
LOG_SCALE = 30.0
#: The most scales that a distance counts for: its square is a number of float32.
MOST_DISTANCE = 1e18


@output("student_t")
@keras.saving.register_keras_serializable("zf_keras")
class StudentTHead(IndependentHead):
    """Independent Student-t's of a location and scale; parameters [location, log-scale, degrees], (..., 3 features).

    Degrees of freedom are 2 + softplus(degrees), so that the variance is finite; they are learned. Log-scales are
    bounded smoothly at ±30.

    Drawn by the polar method of Bailey 1994, which is exact.

    Example:

    >>> head = StudentTHead(features=3)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.zeros((2, 5, 3))).shape
    (2, 5)
    """

    scales = "affine"

    @property
    def params_dim(self):
        return 3 * self.features

    @property
    def uniform_dim(self):
        return 2 * self.features

    def _split(self, params):
        """Location, log-scale and degrees of freedom, each (..., features)."""
        location, log_scale, degrees = ops.split(float32(params), 3, axis=-1)
        return location, bounded(log_scale, LOG_SCALE), 2 + ops.softplus(degrees)

    def distribution(self, params):
        location, log_scale, degrees = self._split(params)
        student_t = probability.tfd.StudentT(degrees, location, ops.exp(log_scale))
        return probability.tfd.Independent(student_t, reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        location, log_scale, degrees = self._split(params)
        distance = ops.abs(float32(values) - location) * ops.exp(-log_scale)
        square = ops.square(ops.minimum(distance, MOST_DISTANCE))
        constant = log_gamma_ratio(degrees / 2, 0.5) - 0.5 * ops.log(math.pi * degrees) - log_scale
        return constant - 0.5 * (degrees + 1) * log1p(square / degrees)

    def at_temperature(self, params, temperature):
        location, log_scale, degrees = ops.split(float32(params), 3, axis=-1)
        log_scale = shifted(log_scale, ops.log(float32(temperature)), LOG_SCALE)
        return ops.concatenate([location, log_scale, degrees], axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        location, log_scale, degrees = self._split(params)
        radius, angle = ops.split(uniform, 2, axis=-1)
        square = degrees * expm1(-2 / degrees * log1p(-radius))
        t = ops.sqrt(square) * ops.cos(2 * math.pi * angle)
        return location + temperature * ops.exp(log_scale) * t

    def mode(self, params):
        return self._split(params)[0]

    def mean(self, params):
        return self._split(params)[0]

    def at_scale(self, params, shift, scale):
        location, log_scale, degrees = ops.split(float32(params), 3, axis=-1)
        shift, scale = float32(shift), float32(scale)
        log_scale = shifted(log_scale, ops.log(scale), LOG_SCALE)
        return ops.concatenate([shift + scale * location, log_scale, degrees], axis=-1)

    def check_values(self, name, values):
        """Every number is accepted."""
