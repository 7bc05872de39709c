"""Beta distributions, for shares."""

import keras
from keras import ops

from zf_keras import gamma, probability
from zf_keras.gamma import log_gamma_draw, stirling_rest
from zf_keras.heads.head import IndependentHead
from zf_keras.heads.registry import output
from zf_keras.probability import bounded, float32, log1p

#: Bound of the logits of means, and of log-concentrations.
BOUND = 10.0
#: The least and the greatest frame: float32 has no number between the latter and 1.
LEAST, GREATEST = 1e-37, 1 - 2.0**-24


@output("beta")
@keras.saving.register_keras_serializable("zf_keras")
class BetaHead(IndependentHead):
    """Independent betas; parameters [logit of the mean, log-concentration], (..., 2 features).

    Frames are in (0, 1). The concentration is a + b, where the density is as y^(a - 1) (1 - y)^(b - 1). Both parameters
    are bounded smoothly at ±10. There is no other temperature than 1.

    Drawn from two gamma variables.

    Example:

    >>> head = BetaHead(features=3)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.full((2, 5, 3), 0.5)).shape
    (2, 5)
    """

    tempers = False

    @property
    def params_dim(self):
        return 2 * self.features

    @property
    def normal_dim(self):
        return 2 * self.features * gamma.NORMAL

    @property
    def uniform_dim(self):
        return 2 * self.features * gamma.UNIFORM

    def _split(self, params):
        """Logarithms of the mean, of what it lacks of 1, and of the concentration, each (..., features)."""
        logit, log_concentration = (bounded(x, BOUND) for x in ops.split(float32(params), 2, axis=-1))
        return -ops.softplus(-logit), -ops.softplus(logit), log_concentration

    def _powers(self, params):
        """The powers a and b, each (..., features)."""
        log_mean, log_rest, log_concentration = self._split(params)
        return ops.exp(log_mean + log_concentration), ops.exp(log_rest + log_concentration)

    def distribution(self, params):
        return probability.tfd.Independent(probability.tfd.Beta(*self._powers(params)), reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        log_mean, log_rest, log_concentration = self._split(params)
        a, b = self._powers(params)
        values = ops.clip(float32(values), LEAST, GREATEST)  # padding is 0
        log_values, log_lack = ops.log(values), log1p(-values)
        # Without the large terms of the log-gammas, which cancel.
        rest = stirling_rest(a + b) - stirling_rest(a) - stirling_rest(b)
        rest = rest + 0.5 * (log_mean + log_rest + log_concentration) - log_values - log_lack
        return a * (log_values - log_mean) + b * (log_lack - log_rest) + rest

    def draw(self, params, normal, uniform, temperature=1.0):
        powers = ops.stack(self._powers(self.at_temperature(params, temperature)), axis=-1)
        shape = ops.shape(powers)
        normal = ops.reshape(normal, (*shape, gamma.NORMAL))
        log_gammas = log_gamma_draw(powers, normal, ops.reshape(uniform, (*shape, gamma.UNIFORM)))
        return ops.clip(ops.sigmoid(log_gammas[..., 0] - log_gammas[..., 1]), LEAST, GREATEST)

    def mode(self, params):
        a, b = self._powers(params)
        rising, falling = ops.maximum(a - 1, 0.0), ops.maximum(b - 1, 0.0)
        inside = rising / ops.maximum(rising + falling, LEAST)
        low, high = (self.log_prob_by_feature(params, ops.full_like(a, x)) for x in (LEAST, GREATEST))
        return ops.clip(ops.where(rising + falling > 0, inside, float32(high > low)), LEAST, GREATEST)

    def mean(self, params):
        return ops.exp(self._split(params)[0])

    def check_values(self, name, values):
        outside = (values <= 0) | (values >= 1)
        if outside.any():
            raise ValueError(
                f"A beta output needs `{name}` between 0 and 1, and neither. Received the value "
                f"{values[outside][0]!s}; scale the data, or choose another output."
            )
