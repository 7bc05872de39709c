"""A mixture of logistics over integers, for audio and pixels of 8 or 16 bits."""

import math

import keras
from keras import ops

from zf_keras import probability
from zf_keras.arguments import check_size
from zf_keras.heads.head import DistributionHead, drawn_index, where_observed
from zf_keras.heads.registry import output
from zf_keras.probability import expm1, float32, log1p

#: Bound of log-scales in steps: wider ones give every frame the probability 0 in float32.
LOG_SCALE = 30.0


@output("logistic_mixture")
@keras.saving.register_keras_serializable("zf_keras")
class LogisticMixtureHead(DistributionHead):
    """Mixture of diagonal logistics over the whole frame; parameters [logits (K), means (K F), log-scales (K F)].

    Frames are integers in [0, 2^bits). A component gives each the probability of the interval around it, half a step
    to each side; the least and the greatest have all below and above. Means and scales are those of frames scaled to
    [-1, 1]. Scales are at least half a step, smoothly. A temperature multiplies what they would be without that bound.

    Source: Salimans et al. 2017, PixelCNN++, section 2.1, with one component for a whole frame.

    Args:
        features: int or `None`. As for every head.
        num_components: int. K. Defaults to `10`.
        bits: 8 or 16. Defaults to `8`.
        hidden_units: int or `None`. As for every head.

    Example:

    >>> head = LogisticMixtureHead(features=3, bits=16)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.full((2, 5, 3), 32000)).shape
    (2, 5)
    """

    discrete = True

    def __init__(self, features=None, num_components=10, bits=8, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        self.num_components = check_size("num_components", num_components)
        if bits not in (8, 16):
            raise ValueError(f"`bits` must be 8 or 16. Received: bits={bits!r}.")
        self.bits = int(bits)

    @property
    def params_dim(self):
        return self.num_components * (1 + 2 * self.features)

    @property
    def uniform_dim(self):
        return 1 + self.features

    @property
    def _greatest(self):
        return 2.0**self.bits - 1

    def _split(self, params):
        """Logits (..., K), and means and log-scales of the components in steps, (..., K, features)."""
        params, half = float32(params), self._greatest / 2
        shape = (*ops.shape(params)[:-1], self.num_components, self.features)
        means, log_scales = (ops.reshape(x, shape) for x in ops.split(params[..., self.num_components :], 2, axis=-1))
        log_scales = math.log(0.5) + ops.minimum(ops.softplus(log_scales + math.log(2 * half)), LOG_SCALE)
        return params[..., : self.num_components], half * (means + 1), log_scales

    def distribution(self, params):
        logits, means, log_scales = self._split(params)
        tfd = probability.tfd
        # TFP rounds up.
        steps = tfd.QuantizedDistribution(tfd.Logistic(means - 0.5, ops.exp(log_scales)), 0.0, self._greatest)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), tfd.Independent(steps, 1))

    def log_prob(self, params, values, observed=None):
        logits, means, log_scales = self._split(params)
        values = ops.expand_dims(float32(where_observed(values, observed)), -2)
        observed = None if observed is None else ops.expand_dims(observed, -2)
        log_probs = where_observed(self._log_probs(means, log_scales, values), observed)
        return ops.logsumexp(ops.log_softmax(logits, axis=-1) + ops.sum(log_probs, axis=-1), axis=-1)

    def log_prob_by_feature(self, params, values):
        logits, means, log_scales = self._split(params)
        log_probs = self._log_probs(means, log_scales, ops.expand_dims(float32(values), -2))
        return ops.logsumexp(ops.expand_dims(ops.log_softmax(logits, axis=-1), -1) + log_probs, axis=-2)

    def _log_probs(self, means, log_scales, values):
        """log p of each component and feature, (..., K, features)."""
        width = ops.exp(-log_scales)
        lower = (values - means - 0.5) * width
        upper = lower + width
        # log(sigmoid(upper) - sigmoid(lower)), without that difference.
        between = lower + _log_expm1(width) - ops.softplus(lower) - ops.softplus(upper)
        below, above = -ops.softplus(-upper), -ops.softplus(lower)
        return ops.where(values <= 0, below, ops.where(values >= self._greatest, above, between))

    def at_temperature(self, params, temperature):
        params, K = float32(params), self.num_components
        means, log_scales = ops.split(params[..., K:], 2, axis=-1)
        log_scales = log_scales + ops.log(float32(temperature))
        return ops.concatenate([params[..., :K] / temperature, means, log_scales], axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        logits, means, log_scales = self._split(self.at_temperature(params, temperature))
        mean, log_scale = self._component(drawn_index(logits, uniform[..., :1]), means, log_scales)
        return self._rounded(mean + ops.exp(log_scale) * _logit(uniform[..., 1:]))

    def mode(self, params):
        """The likeliest frame of the component of the highest peak, which is the mode where they lie apart."""
        logits, means, log_scales = self._split(params)
        frames = self._rounded(means)
        peaks = self._log_probs(means, log_scales, frames)
        for edge in (0.0, self._greatest):  # which has all that is beyond it too
            edges = ops.full_like(frames, edge)
            log_probs = self._log_probs(means, log_scales, edges)
            frames, peaks = ops.where(log_probs > peaks, edges, frames), ops.maximum(peaks, log_probs)
        best = ops.argmax(logits + ops.sum(peaks, axis=-1), axis=-1)
        return self._component(best, frames)[0]

    def mean(self, params):
        logits, means, log_scales = self._split(params)
        # The sum over steps of the probability of being above: an integral, and the first correction at its ends.
        scales, most = ops.exp(log_scales), self._greatest
        low, width = (means - most) / scales, most / scales
        narrow = log1p(ops.sigmoid(low) * expm1(ops.minimum(width, 1.0)))
        above = ops.where(width < 1, narrow, ops.softplus(means / scales) - ops.softplus(low))
        densities = [ops.sigmoid(x) * ops.sigmoid(-x) / scales for x in (low, means / scales)]
        means = scales * above + (densities[0] - densities[1]) / 24
        return ops.sum(ops.expand_dims(ops.softmax(logits, axis=-1), -1) * means, axis=-2)

    def _component(self, index, *parameters):
        """Parameters (..., features) of one component. index: (...)."""
        chosen = ops.expand_dims(ops.one_hot(index, self.num_components), -1)
        return [ops.sum(chosen * x, axis=-2) for x in parameters]

    def _rounded(self, x):
        return ops.clip(ops.floor(x + 0.5), 0.0, self._greatest)

    def check_values(self, name, values):
        outside = (values < 0) | (values > self._greatest) | (values % 1 != 0)
        if outside.any():
            raise ValueError(
                f"A logistic_mixture output of {self.bits} bits needs `{name}` of integers in [0, {2**self.bits}). "
                f"Received the value {values[outside][0]!s}."
            )

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components, "bits": self.bits}


def _log_expm1(x):
    """log(e^x - 1), for x > 0."""
    return x + ops.log(-expm1(-x))


def _logit(uniform):
    """A standard logistic number."""
    inside = ops.clip(uniform, 2.0**-25, 1 - 2.0**-24)
    return ops.log(inside) - log1p(-inside)
