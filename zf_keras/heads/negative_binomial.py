"""Negative binomial distributions, for counts that vary more than a Poisson's."""

import keras
from keras import ops

from zf_keras import gamma, probability
from zf_keras.gamma import log_gamma_draw, stirling_rest
from zf_keras.heads.head import IndependentHead, unshifted
from zf_keras.heads.poisson import LOG_RATE, check_counts, drawn_count
from zf_keras.heads.registry import output
from zf_keras.probability import bounded, expm1, float32, log1p, shifted

#: Bound of the logarithm of the dispersion.
LOG_DISPERSION = 10.0


def _log1p_or(x, direct):
    """log(1 + x), which is `direct`; that is as good where x is near -1."""
    return ops.where(x < -0.5, direct, log1p(ops.maximum(x, -0.5)))


@output("negative_binomial")
@keras.saving.register_keras_serializable("zf_keras")
class NegativeBinomialHead(IndependentHead):
    """Independent negative binomials; parameters [log-mean, log-dispersion], (..., 2 features).

    The variance is mean + dispersion * mean^2; a Poisson's at a dispersion of 0. Log-means are bounded smoothly at ±15,
    log-dispersions at ±10. Frames are counts, 0, 1, 2, .... There is no other temperature than 1.

    Drawn as Poissons whose rates are gamma variables.

    Example:

    >>> head = NegativeBinomialHead(features=3)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.ones((2, 5, 3))).shape
    (2, 5)
    """

    tempers = False
    discrete = True
    scales = "positive"

    @property
    def params_dim(self):
        return 2 * self.features

    @property
    def normal_dim(self):
        return self.features * (1 + gamma.NORMAL)

    @property
    def uniform_dim(self):
        return self.features * (1 + gamma.UNIFORM)

    def _split(self, params):
        """Logarithms of the mean and of the dispersion, each (..., features)."""
        log_mean, log_dispersion = ops.split(float32(params), 2, axis=-1)
        return bounded(log_mean, LOG_RATE), bounded(log_dispersion, LOG_DISPERSION)

    def distribution(self, params):
        log_mean, log_dispersion = self._split(params)
        size, logits = ops.exp(-log_dispersion), log_mean + log_dispersion
        negative_binomial = probability.tfd.NegativeBinomial(size, logits=logits, require_integer_total_count=False)
        return probability.tfd.Independent(negative_binomial, reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        (log_mean, log_dispersion), counts = self._split(params), float32(values)
        mean, size = ops.exp(log_mean), ops.exp(-log_dispersion)
        some = ops.maximum(counts, 1.0)
        # As for the Poisson, whose this is where size is large: no large terms that cancel.
        log_ratio = log_mean - ops.log(some)
        excess = expm1(log_ratio) / (size + mean)
        direct = ops.log(size + some) - ops.log(size + mean)
        log_all = _log1p_or(-some * excess, direct)
        log_share = _log1p_or(size * excess, direct + log_ratio)
        rest = stirling_rest(size + some) - stirling_rest(size) - stirling_rest(some)
        rest = rest - 0.5 * (log1p(some / size) + ops.log(some))
        return ops.where(
            counts > 0,
            size * log_all + some * log_share + rest,
            -size * log1p(mean / size),
        )

    def draw(self, params, normal, uniform, temperature=1.0):
        log_mean, log_dispersion = self._split(self.at_temperature(params, temperature))
        normal = self._by_feature(normal, 1 + gamma.NORMAL)
        uniform = self._by_feature(uniform, 1 + gamma.UNIFORM)
        log_gamma = log_gamma_draw(ops.exp(-log_dispersion), normal[..., 1:], uniform[..., 1:])
        return drawn_count(log_mean + log_dispersion + log_gamma, normal[..., 0], uniform[..., 0])

    def _by_feature(self, noise, count):
        return ops.reshape(noise, (*ops.shape(noise)[:-1], self.features, count))

    def mode(self, params):
        log_mean, log_dispersion = self._split(params)
        return ops.floor(ops.exp(log_mean) * ops.maximum(1 - ops.exp(log_dispersion), 0.0))

    def mean(self, params):
        return ops.exp(self._split(params)[0])

    def at_scale(self, params, shift, scale):
        """A negative binomial of the scaled mean and the same dispersion (DeepAR, Salinas et al. 2020)."""
        log_mean, log_dispersion = ops.split(float32(params), 2, axis=-1)
        log_mean = shifted(log_mean, ops.log(unshifted(shift, scale)), LOG_RATE)
        return ops.concatenate([log_mean, log_dispersion], axis=-1)

    def check_values(self, name, values):
        check_counts("negative_binomial", name, values)
