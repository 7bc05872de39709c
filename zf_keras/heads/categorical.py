"""A categorical distribution over tokens."""

import keras
import numpy as np
from keras import ops

from zf_keras import probability
from zf_keras.arguments import check_size
from zf_keras.heads.head import DistributionHead, drawn_index, where_observed
from zf_keras.heads.registry import output
from zf_keras.probability import float32


@output("categorical")
@keras.saving.register_keras_serializable("zf_keras")
class CategoricalHead(DistributionHead):
    """Categorical over tokens; parameters are the logits, (..., num_classes). Frames are ids in [0, num_classes).

    Args:
        num_classes: int. Number of tokens.
        hidden_units: int or `None`. As for every head.

    Example:

    >>> head = CategoricalHead(num_classes=50, hidden_units=32)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.zeros((2, 5), "int32")).shape
    (2, 5)
    """

    tokens = True
    discrete = True
    uniform_dim = 1

    def __init__(self, num_classes, features=None, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        self.num_classes = check_size("num_classes", num_classes)

    @property
    def params_dim(self):
        return self.num_classes

    def distribution(self, params):
        return probability.tfd.Categorical(logits=float32(params))

    def log_prob(self, params, values, observed=None):
        chosen = ops.one_hot(self.as_values(values), self.num_classes) > 0
        log_probs = ops.sum(ops.where(chosen, ops.log_softmax(float32(params), axis=-1), 0.0), axis=-1)
        return where_observed(log_probs, observed)

    def at_temperature(self, params, temperature):
        return float32(params) / temperature

    def draw(self, params, normal, uniform, temperature=1.0):
        return drawn_index(self.at_temperature(params, temperature), uniform)

    def truncated(self, params, top_k=None, top_p=None):
        """Parameters of the likeliest tokens alone; the others get no probability.

        Args:
            params: tensor (..., params_dim).
            top_k: int or `None`. How many are kept. Defaults to `None`, all.
            top_p: float in (0, 1] or `None`. The least set is kept whose probabilities add up to this (nucleus
                sampling, Holtzman et al. 2020). Defaults to `None`, all.
        """
        logits, nothing = float32(params), float("-inf")
        if top_k is not None:
            least = ops.top_k(logits, min(top_k, self.num_classes))[0][..., -1:]
            logits = ops.where(logits >= least, logits, nothing)
        if top_p is not None:
            ordered = ops.flip(ops.sort(logits, axis=-1), axis=-1)
            probabilities = ops.softmax(ordered, axis=-1)
            before = ops.cumsum(probabilities, axis=-1) - probabilities
            least = ops.min(ops.where(before < top_p, ordered, float("inf")), axis=-1, keepdims=True)
            logits = ops.where(logits >= least, logits, nothing)
        return logits

    def mode(self, params):
        return ops.cast(ops.argmax(params, axis=-1), "int32")

    def mean(self, params):
        raise ValueError("Tokens have no mean: ask a categorical output for its mode, or for draws.")

    def as_values(self, values):
        return ops.cast(values, "int32")

    def check_values(self, name, values):
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"A categorical output needs `{name}` of integer token ids. Received: dtype={values.dtype}."
            )
        outside = (values < 0) | (values >= self.num_classes)
        if outside.any():
            raise ValueError(
                f"`{name}` holds the token {values[outside][0]}, which is outside [0, num_classes) = "
                f"[0, {self.num_classes})."
            )

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}
