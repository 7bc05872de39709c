"""Gaussians between bounds."""

import math

import keras
import numpy as np
from keras import ops

from zf_keras import probability
from zf_keras.arguments import is_number
from zf_keras.heads.head import IndependentHead, unshifted
from zf_keras.heads.registry import output
from zf_keras.heads.student_t import LOG_SCALE, MOST_DISTANCE
from zf_keras.probability import bounded, float32, shifted
from zf_keras.tails import tail_integral, tail_quantile


@output("truncated_gaussian")
@keras.saving.register_keras_serializable("zf_keras")
class TruncatedGaussianHead(IndependentHead):
    """Independent Gaussians, given that they are in [low, high]; parameters [location, log-scale], (..., 2 features).

    Location and scale are the mean and the standard deviation of the Gaussian that is truncated. Log-scales are bounded
    smoothly at ±30. A temperature multiplies the scale.

    Drawn by the inverse of the distribution function, within tails too.

    Args:
        features: int or `None`. As for every head.
        low: number or `None`, without a bound. Defaults to `0`.
        high: number or `None`, without a bound. Defaults to `None`.
        hidden_units: int or `None`. As for every head.

    Example:

    >>> head = TruncatedGaussianHead(features=3, low=0, high=100)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.ones((2, 5, 3))).shape
    (2, 5)
    """

    def __init__(self, features=None, low=0.0, high=None, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        bounds = [x for x in (low, high) if x is not None]
        if not bounds or not all(is_number(x) for x in bounds) or bounds != sorted(set(bounds)):
            raise ValueError(
                "`low` and `high` must be numbers, the first below the second, or one of them None. "
                f"Received: low={low!r}, high={high!r}."
            )
        self.low, self.high = (None if x is None else float(x) for x in (low, high))

    @property
    def params_dim(self):
        return 2 * self.features

    @property
    def uniform_dim(self):
        return self.features

    @property
    def scales(self):
        return None if self.low or self.high else "positive"

    def _split(self, params):
        location, log_scale = ops.split(float32(params), 2, axis=-1)
        return location, bounded(log_scale, LOG_SCALE)

    def _inside(self, x):
        """The nearest number between the bounds."""
        x = x if self.low is None else ops.maximum(x, self.low)
        return x if self.high is None else ops.minimum(x, self.high)

    def _tails(self, params):
        """Where the density is highest; its distances from the location and to the bounds, in scales; log-scale."""
        location, log_scale = self._split(params)
        peak = self._inside(location)

        def in_scales(x):
            return ops.clip(x * ops.exp(-log_scale), -MOST_DISTANCE, MOST_DISTANCE)

        widths = (
            None if self.low is None else in_scales(peak - self.low),
            None if self.high is None else in_scales(self.high - peak),
        )
        return peak, in_scales(peak - location), widths, log_scale

    def distribution(self, params):
        location, log_scale = self._split(params)
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        truncated = probability.tfd.TruncatedNormal(location, ops.exp(log_scale), low, high)
        return probability.tfd.Independent(truncated, reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        peak, offset, widths, log_scale = self._tails(params)
        values = self._inside(float32(values))  # padding is 0
        distance = ops.clip((values - peak) * ops.exp(-log_scale), -MOST_DISTANCE, MOST_DISTANCE)
        below, above = _integrals(offset, widths)
        return -distance * (0.5 * distance + offset) - log_scale - ops.log(below + above)

    def at_temperature(self, params, temperature):
        location, log_scale = ops.split(float32(params), 2, axis=-1)
        return ops.concatenate([location, shifted(log_scale, ops.log(float32(temperature)), LOG_SCALE)], axis=-1)

    def at_scale(self, params, shift, scale):
        if self.scales is None:
            return super().at_scale(params, shift, scale)
        scale = unshifted(shift, scale)
        location, log_scale = ops.split(float32(params), 2, axis=-1)
        return ops.concatenate([scale * location, shifted(log_scale, ops.log(scale), LOG_SCALE)], axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        peak, offset, widths, log_scale = self._tails(self.at_temperature(params, temperature))
        below, above = _integrals(offset, widths)
        mass = uniform * (below + above) - below  # from the peak, on either side of it
        distance = tail_quantile(ops.abs(offset), ops.abs(mass) / tail_integral(ops.abs(offset)))
        return self._inside(peak + ops.sign(mass) * ops.exp(log_scale) * distance)

    def mode(self, params):
        return self._inside(self._split(params)[0])

    def mean(self, params):
        peak, offset, widths, log_scale = self._tails(params)
        (below, above), moments = _integrals(offset, widths), _integrals(offset, widths, power=1)
        return self._inside(peak + ops.exp(log_scale) * (moments[1] - moments[0]) / (below + above))

    def check_values(self, name, values):
        outside = np.zeros(values.shape, bool) if self.low is None else values < self.low
        outside = outside if self.high is None else outside | (values > self.high)
        if outside.any():
            raise ValueError(
                f"A truncated_gaussian output of low={self.low} and high={self.high} needs `{name}` between them. "
                f"Received the value {values[outside][0]!s}."
            )

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}


def _integrals(offset, widths, power=0):
    """Those of the two sides of the peak, over the density there."""
    return [tail_integral(ops.abs(offset), width, power) for width in widths]
