"""A mixture of diagonal Gaussians."""

import keras
from keras import ops

from zf_keras import probability
from zf_keras.arguments import check_size
from zf_keras.heads.gaussian import scaled, tempered
from zf_keras.heads.head import DistributionHead, drawn_index, where_observed
from zf_keras.heads.registry import output
from zf_keras.probability import Gaussian, float32, reparametrized


@output("gaussian_mixture")
@keras.saving.register_keras_serializable("zf_keras")
class GaussianMixtureHead(DistributionHead):
    """Mixture of diagonal Gaussians over the whole frame; parameters [logits (K), means (K F), log-variances (K F)].

    Source: Chung et al. 2015, section 4 (VRNN-GMM, 20 components).

    Args:
        features: int or `None`. As for every head.
        num_components: int. K. Defaults to `20`.
        hidden_units: int or `None`. As for every head.

    Example:

    >>> head = GaussianMixtureHead(features=3, num_components=4)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.zeros((2, 5, 3))).shape
    (2, 5)
    """

    uniform_dim = 1
    scales = "affine"

    def __init__(self, features=None, num_components=20, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        self.num_components = check_size("num_components", num_components)

    @property
    def params_dim(self):
        return self.num_components * (1 + 2 * self.features)

    @property
    def normal_dim(self):
        return self.features

    def _split(self, params):
        """Logits (..., K), and the Gaussians of the components, (..., K, features)."""
        params = float32(params)
        shape = (*ops.shape(params)[:-1], self.num_components, self.features)
        means, log_variances = ops.split(params[..., self.num_components :], 2, axis=-1)
        components = Gaussian(ops.reshape(means, shape), ops.reshape(log_variances, shape))
        return params[..., : self.num_components], components

    def distribution(self, params):
        logits, components = self._split(params)
        return probability.tfd.MixtureSameFamily(probability.tfd.Categorical(logits=logits), components.distribution())

    def log_prob(self, params, values, observed=None):
        logits, log_probs = self._log_probs(params, where_observed(values, observed))
        observed = None if observed is None else ops.expand_dims(observed, -2)
        log_probs = ops.sum(where_observed(log_probs, observed), axis=-1)
        return ops.logsumexp(ops.log_softmax(logits, axis=-1) + log_probs, axis=-1)

    def log_prob_by_feature(self, params, values):
        logits, log_probs = self._log_probs(params, values)
        return ops.logsumexp(ops.expand_dims(ops.log_softmax(logits, axis=-1), -1) + log_probs, axis=-2)

    def _log_probs(self, params, values):
        """Logits (..., K), and log p of each feature by each component, (..., K, features)."""
        logits, components = self._split(params)
        return logits, components.log_prob_by_feature(ops.expand_dims(float32(values), -2))

    def given_observed(self, params, values, observed):
        """The components weighed by how well they explain what is observed of the frame."""
        logits, log_probs = self._log_probs(params, where_observed(values, observed))
        logits = logits + ops.sum(where_observed(log_probs, ops.expand_dims(observed, -2)), axis=-1)
        return ops.concatenate([logits, float32(params)[..., self.num_components :]], axis=-1)

    def at_temperature(self, params, temperature):
        logits, components = self._split(params)
        return self._joined(logits / temperature, tempered(components, temperature))

    def _joined(self, logits, components):
        flat = (*ops.shape(logits)[:-1], self.num_components * self.features)
        return ops.concatenate([logits, *(ops.reshape(x, flat) for x in components)], axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        logits, components = self._split(params)
        component = self._component(components, drawn_index(logits / temperature, uniform))
        return reparametrized(*tempered(component, temperature), normal)

    def mode(self, params):
        """The mean of the component of the highest peak, which is the mode where they lie apart."""
        logits, components = self._split(params)
        peaks = logits - 0.5 * ops.sum(components.log_variance, axis=-1)
        return self._component(components, ops.argmax(peaks, axis=-1)).mean

    def mean(self, params):
        logits, components = self._split(params)
        return ops.sum(ops.expand_dims(ops.softmax(logits, axis=-1), -1) * components.mean, axis=-2)

    def at_scale(self, params, shift, scale):
        logits, components = self._split(params)
        shift, scale = (x if ops.ndim(x) == 0 else ops.expand_dims(x, -2) for x in (shift, scale))
        return self._joined(logits, scaled(components, shift, scale))

    def _component(self, components, index):
        """The Gaussian, (..., features), of one component. index: (...)."""
        chosen = ops.expand_dims(ops.one_hot(index, self.num_components), -1)
        return Gaussian(*(ops.sum(chosen * x, axis=-2) for x in components))

    def check_values(self, name, values):
        """Every number is accepted."""

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components}
