"""A diagonal Gaussian."""

import keras
from keras import ops

from zf_keras.heads.head import IndependentHead
from zf_keras.heads.registry import output
from zf_keras.probability import Gaussian, float32, reparametrized


def tempered(gaussian, temperature):
    """The Gaussian whose standard deviation is multiplied by `temperature`."""
    return Gaussian(gaussian.mean, gaussian.log_variance + 2 * ops.log(float32(temperature)))


def scaled(gaussian, shift, scale):
    """The Gaussian of shift + scale * y."""
    scale = float32(scale)
    return Gaussian(float32(shift) + scale * gaussian.mean, gaussian.log_variance + 2 * ops.log(scale))


@output("gaussian")
@keras.saving.register_keras_serializable("zf_keras")
class GaussianHead(IndependentHead):
    """Diagonal Gaussian; parameters [mean, log-variance], (..., 2 features).

    Example:

    >>> head = GaussianHead(features=3)
    >>> head.distribution(head(np.zeros((2, 5, 16)))).mean().shape
    (2, 5, 3)
    """

    uniform_dim = 0
    scales = "affine"

    @property
    def params_dim(self):
        return 2 * self.features

    @property
    def normal_dim(self):
        return self.features

    def _gaussian(self, params):
        return Gaussian(*ops.split(float32(params), 2, axis=-1))

    def distribution(self, params):
        return self._gaussian(params).distribution()

    def log_prob_by_feature(self, params, values):
        return self._gaussian(params).log_prob_by_feature(values)

    def at_temperature(self, params, temperature):
        return ops.concatenate(tempered(self._gaussian(params), temperature), axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        return reparametrized(*tempered(self._gaussian(params), temperature), normal)

    def mode(self, params):
        return self._gaussian(params).mean

    def mean(self, params):
        return self._gaussian(params).mean

    def at_scale(self, params, shift, scale):
        return ops.concatenate(scaled(self._gaussian(params), shift, scale), axis=-1)

    def check_values(self, name, values):
        """Every number is accepted."""
