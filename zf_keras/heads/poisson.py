"""Poisson distributions, for counts."""

import keras
from keras import ops

from zf_keras import probability
from zf_keras.gamma import stirling_rest
from zf_keras.heads.head import IndependentHead, drawn_index, unshifted
from zf_keras.heads.registry import output
from zf_keras.probability import bounded, expm1, float32, shifted

#: Bound of log-rates: e^15 is 3.3 million.
LOG_RATE = 15.0
#: Up to this rate a count is drawn from a table of those below `_TABLE`, which hold all but 1e-13 of the probability.
_RATE, _TABLE = 100.0, 192


def log_poisson(log_rate, counts):
    """log p of counts >= 0, exact too where they are large: the terms that cancel are not there (Loader 2000)."""
    some = ops.maximum(counts, 1.0)
    log_ratio = log_rate - ops.log(some)
    deviance = some * (expm1(log_ratio) - log_ratio)
    return ops.where(counts > 0, -deviance - stirling_rest(some) - 0.5 * ops.log(some), -ops.exp(log_rate))


def drawn_count(log_rate, normal, uniform):
    """Counts by the inverse of the distribution function, of noise of the shape of `log_rate`.

    Up to a rate of 100 by summing, from `uniform`; above by Temme's expansion (Giles 2016), from `normal`, which
    misplaces less than 2e-5 of the probability.
    """
    table = ops.arange(_TABLE, dtype="float32")
    low = ops.expand_dims(ops.minimum(log_rate, ops.log(_RATE)), -1)
    few = drawn_index(log_poisson(low, table), ops.expand_dims(uniform, -1))
    rate = ops.exp(ops.maximum(log_rate, ops.log(_RATE)))
    w, root = normal, ops.sqrt(rate)
    near = (-8 / 405 + 7 * w**2 / 810 + w**4 / 270) / root - w / 36 - w**3 / 72
    many = ops.floor(rate + root * w + 1 / 3 + w**2 / 6 + near / root)
    return ops.where(log_rate < ops.log(_RATE), float32(few), many)


def check_counts(output, name, values):
    """Raises a `ValueError` unless the array `values` holds 0, 1, 2, ... alone."""
    outside = (values < 0) | (values % 1 != 0)
    if outside.any():
        raise ValueError(
            f"A {output} output needs `{name}` of counts, 0, 1, 2, .... Received the value {values[outside][0]!s}; "
            "choose another output for other numbers."
        )


@output("poisson")
@keras.saving.register_keras_serializable("zf_keras")
class PoissonHead(IndependentHead):
    """Independent Poissons; parameters are the log-rates, (..., features). Frames are counts, 0, 1, 2, ....

    Log-rates are bounded smoothly at ±15. There is no other temperature than 1.

    Example:

    >>> head = PoissonHead(features=3)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.ones((2, 5, 3))).shape
    (2, 5)
    """

    tempers = False
    discrete = True
    scales = "positive"

    @property
    def params_dim(self):
        return self.features

    @property
    def normal_dim(self):
        return self.features

    @property
    def uniform_dim(self):
        return self.features

    def _log_rate(self, params):
        return bounded(float32(params), LOG_RATE)

    def distribution(self, params):
        poisson = probability.tfd.Poisson(log_rate=self._log_rate(params))
        return probability.tfd.Independent(poisson, reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        return log_poisson(self._log_rate(params), float32(values))

    def draw(self, params, normal, uniform, temperature=1.0):
        return drawn_count(self._log_rate(self.at_temperature(params, temperature)), normal, uniform)

    def mode(self, params):
        return ops.floor(ops.exp(self._log_rate(params)))

    def mean(self, params):
        return ops.exp(self._log_rate(params))

    def at_scale(self, params, shift, scale):
        """A Poisson of the scaled mean, not of the scaled count."""
        return shifted(float32(params), ops.log(unshifted(shift, scale)), LOG_RATE)

    def check_values(self, name, values):
        check_counts("poisson", name, values)
