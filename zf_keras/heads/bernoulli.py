"""Independent Bernoullis, for binary frames."""

import keras
from keras import ops

from zf_keras import probability
from zf_keras.heads.head import IndependentHead
from zf_keras.heads.registry import output
from zf_keras.probability import float32


@output("bernoulli")
@keras.saving.register_keras_serializable("zf_keras")
class BernoulliHead(IndependentHead):
    """Independent Bernoullis; parameters are the logits, (..., features). Frames are 0 or 1.

    Example:

    >>> head = BernoulliHead(features=88)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.ones((2, 5, 88))).shape
    (2, 5)
    """

    discrete = True

    @property
    def params_dim(self):
        return self.features

    @property
    def uniform_dim(self):
        return self.features

    def distribution(self, params):
        bernoulli = probability.tfd.Bernoulli(logits=float32(params), dtype="float32")
        return probability.tfd.Independent(bernoulli, reinterpreted_batch_ndims=1)

    def log_prob_by_feature(self, params, values):
        logits, values = float32(params), float32(values)
        return -(values * ops.softplus(-logits) + (1 - values) * ops.softplus(logits))

    def at_temperature(self, params, temperature):
        return float32(params) / temperature

    def draw(self, params, normal, uniform, temperature=1.0):
        return float32(uniform < ops.sigmoid(self.at_temperature(params, temperature)))

    def mode(self, params):
        return float32(params > 0)

    def mean(self, params):
        return ops.sigmoid(float32(params))

    def check_values(self, name, values):
        outside = (values != 0) & (values != 1)
        if outside.any():
            raise ValueError(
                f"A bernoulli output needs `{name}` of 0 and 1. Received the value {values[outside][0]!s}; "
                "binarise the data, or choose another output."
            )
