"""Log-normal distributions, for positive numbers."""

import keras
from keras import ops

from zf_keras import probability
from zf_keras.heads.gaussian import GaussianHead
from zf_keras.heads.head import unshifted
from zf_keras.heads.registry import output
from zf_keras.probability import Gaussian, bounded, float32, shifted

#: Bound of log-variances of the logarithm.
LOG_VARIANCE = 15.0
#: The smallest frame, and e^88 the largest: float32 has little below and above.
SMALLEST = 1e-37


@output("log_normal")
@keras.saving.register_keras_serializable("zf_keras")
class LogNormalHead(GaussianHead):
    """Independent log-normals; parameters [mean, log-variance] of the logarithm, (..., 2 features).

    Frames are positive. Log-variances are bounded smoothly at ±15. A temperature multiplies the standard deviation of
    the logarithm.

    Example:

    >>> head = LogNormalHead(features=3)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.ones((2, 5, 3))).shape
    (2, 5)
    """

    scales = "positive"

    def _gaussian(self, params):
        """The law of the logarithm."""
        mean, log_variance = ops.split(float32(params), 2, axis=-1)
        return Gaussian(mean, bounded(log_variance, LOG_VARIANCE))

    def distribution(self, params):
        mean, log_variance = self._gaussian(params)
        log_normal = probability.tfd.LogNormal(mean, ops.exp(0.5 * log_variance))
        return probability.tfd.Independent(log_normal, reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        log_values = ops.log(ops.maximum(float32(values), SMALLEST))  # padding is 0
        return self._gaussian(params).log_prob_by_feature(log_values) - log_values

    def at_temperature(self, params, temperature):
        mean, log_variance = ops.split(float32(params), 2, axis=-1)
        log_variance = shifted(log_variance, 2 * ops.log(float32(temperature)), LOG_VARIANCE)
        return ops.concatenate([mean, log_variance], axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        return _exp(super().draw(params, normal, uniform, temperature))

    def mode(self, params):
        mean, log_variance = self._gaussian(params)
        return _exp(mean - ops.exp(log_variance))

    def mean(self, params):
        mean, log_variance = self._gaussian(params)
        return _exp(mean + 0.5 * ops.exp(log_variance))

    def at_scale(self, params, shift, scale):
        mean, log_variance = ops.split(float32(params), 2, axis=-1)
        return ops.concatenate([mean + ops.log(unshifted(shift, scale)), log_variance], axis=-1)

    def check_values(self, name, values):
        outside = values <= 0
        if outside.any():
            raise ValueError(
                f"A log_normal output needs `{name}` above 0. Received the value {values[outside][0]!s}; choose "
                "another output for other numbers."
            )


def _exp(x):
    """A positive number of float32, whatever x is."""
    return ops.maximum(ops.exp(ops.minimum(x, 88.0)), SMALLEST)
