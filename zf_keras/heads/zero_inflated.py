"""A point mass at zero beside another distribution, for intermittent demand, rain or spending."""

import warnings

import keras
from keras import ops

from zf_keras import probability
from zf_keras.heads.head import IndependentHead, unshifted
from zf_keras.heads.registry import get_head, output
from zf_keras.probability import float32


@output("zero_inflated_poisson", base="poisson")
@output("zero_inflated_negative_binomial", base="negative_binomial")
@output("zero_inflated_log_normal", base="log_normal")
@keras.saving.register_keras_serializable("zf_keras")
class ZeroInflatedHead(IndependentHead):
    """Each feature is 0, or drawn from another head; parameters [logits of being 0 (F), those of the base].

    Of counts, and all that has probabilities, a 0 is the point mass's or the base's own (Lambert 1992). Where the base
    has a density, it is the point mass's (a hurdle, Cragg 1971), and log p of another value is that of a density. A
    temperature, where the base has one, divides the logits.

    Args:
        base: str or `IndependentHead`. The output that is inflated.
        features: int or `None`. As for every head.
        hidden_units: int or `None`. As for every head.

    Example:

    >>> head = ZeroInflatedHead("poisson", features=3)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.zeros((2, 5, 3))).shape
    (2, 5)
    """

    def __init__(self, base, features=None, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        base = get_head(base)
        if not isinstance(base, IndependentHead):
            raise ValueError(f"`base` must be a head of independent features. Received: a {type(base).__name__}.")
        self.base = base if features is None else base.with_features(self.features)

    @property
    def params_dim(self):
        return self.features + self.base.params_dim

    @property
    def normal_dim(self):
        return self.base.normal_dim

    @property
    def uniform_dim(self):
        return self.features + self.base.uniform_dim

    @property
    def tempers(self):
        return self.base.tempers

    @property
    def discrete(self):
        return self.base.discrete

    @property
    def scales(self):
        return self.base.scales and "positive"

    def _split(self, params):
        """Logits of being 0, (..., features), and the base's parameters."""
        params = float32(params)
        return params[..., : self.features], params[..., self.features :]

    def distribution(self, params):
        logits, params = self._split(params)
        tfd, base = probability.tfd, self.base.distribution(params).distribution
        with warnings.catch_warnings():  # of a base with a density, of which TFP makes a hurdle too
            warnings.simplefilter("ignore")
            inflated = tfd.Inflated(base, inflated_loc_probs=ops.sigmoid(logits))
        return tfd.Independent(inflated, reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        logits, params = self._split(params)
        log_zero, log_rest = -ops.softplus(-logits), -ops.softplus(logits)
        log_base = log_rest + self.base.log_prob_by_feature(params, values)
        if self.discrete:
            log_zero = log_zero + ops.softplus(log_base - log_zero)
        return ops.where(float32(values) == 0, log_zero, log_base)

    def at_temperature(self, params, temperature):
        if not self.tempers:
            return super().at_temperature(params, temperature)
        logits, params = self._split(params)
        return ops.concatenate([logits / temperature, self.base.at_temperature(params, temperature)], axis=-1)

    def at_scale(self, params, shift, scale):
        logits, params = self._split(params)
        return ops.concatenate([logits, self.base.at_scale(params, 0.0, unshifted(shift, scale))], axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        logits, params = self._split(self.at_temperature(params, temperature))
        drawn = self.base.draw(params, normal, uniform[..., self.features :])
        return ops.where(uniform[..., : self.features] < ops.sigmoid(logits), 0.0, drawn)

    def mode(self, params):
        """The likelier of 0 and the base's mode; where that has a density, 0 if it is likelier than all else."""
        logits, of_base = self._split(params)
        mode = self.base.mode(of_base)
        if not self.discrete:
            return ops.where(logits > 0, 0.0, mode)
        log_zero, log_mode = (self.log_prob_by_feature(params, x) for x in (ops.zeros_like(mode), mode))
        return ops.where(log_zero > log_mode, 0.0, mode)

    def mean(self, params):
        logits, params = self._split(params)
        return ops.sigmoid(-logits) * self.base.mean(params)

    def check_values(self, name, values):
        try:
            self.base.check_values(name, values[values != 0])
        except ValueError as error:
            raise ValueError(f"Of values that are not 0: {error}") from None

    def get_config(self):
        return {**super().get_config(), "base": keras.saving.serialize_keras_object(self.base)}

    @classmethod
    def from_config(cls, config):
        return super().from_config({**config, "base": keras.saving.deserialize_keras_object(config["base"])})
