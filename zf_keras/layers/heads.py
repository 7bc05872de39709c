"""Output heads: what f_o's parameters mean, as TFP distributions."""

import keras
import numpy as np
from keras import ops

from zf_keras import probability
from zf_keras.arguments import check_positive_int
from zf_keras.layers.network import Network
from zf_keras.probability import Gaussian, float32, reparametrized


class DistributionHead(keras.layers.Layer):
    """Network from a state to the parameters of p(y_t | ...), and that distribution.

    A head has four parts: `params_dim`, how many parameters a step has; `call`, which gives them;
    `distribution(params)`, the TFP distribution; and `check_values(name, values)`, which values it can score. A new
    head defines the first, third and fourth, and `at_temperature`. It may define `draw` too: TFP's sampling, the
    default, draws other frames on each backend and can be exported to a SavedModel only.

    Args:
        features: int or `None`. Features of a frame. A model fills it in. Defaults to `None`.
        hidden_units: int or `None`. Size of the hidden layer; `None` for one linear layer. Defaults
            to `None`.

    Call arguments:
        inputs: tensor (batch, time, units).

    Returns:
        Tensor (batch, time, params_dim), unconstrained.
    """

    #: Whether a frame is a token id, and data (batch, time), rather than a vector and (batch, time, features).
    tokens = False
    #: Uniform numbers that `draw` takes.
    uniform_dim = 2

    def __init__(self, features=None, hidden_units=None, **kwargs):
        super().__init__(**kwargs)
        if features is not None:
            check_positive_int("features", features)
        if hidden_units is not None:
            check_positive_int("hidden_units", hidden_units)
        self.features = features
        self.supports_masking = True
        self.hidden_units = hidden_units

    @property
    def params_dim(self):
        """Number of parameters a step."""
        raise NotImplementedError

    @property
    def normal_dim(self):
        """Standard-normal numbers that `draw` takes."""
        return 0

    def build(self, input_shape):
        self.network = Network(self.params_dim, self.hidden_units, dtype=self.dtype_policy, name="network")
        self.network.build(input_shape)

    def call(self, inputs):
        return self.network(inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.params_dim)

    def distribution(self, params):
        """TFP distribution of a frame, from parameters (..., params_dim), in float32."""
        raise NotImplementedError

    def log_prob(self, params, values):
        """log p(values) in nats, (...), summed over features."""
        return self.distribution(params).log_prob(self.as_values(values))

    def draw(self, params, normal, uniform, temperature=1.0):
        """A frame, (..., features), from given noise: the same on every backend.

        Args:
            params: tensor (..., params_dim).
            normal: tensor (..., normal_dim), standard normal.
            uniform: tensor (..., uniform_dim), uniform in [0, 1).
            temperature: positive number or scalar tensor. Divides logits, multiplies standard deviations.
        """
        return probability.sample(self.distribution(self.at_temperature(params, temperature)), uniform)

    def noise(self, shape, seed=None):
        """What `draw` takes for frames of a leading shape: standard-normal and uniform numbers."""
        generator = seed if isinstance(seed, keras.random.SeedGenerator) else keras.random.SeedGenerator(seed)
        normal = keras.random.normal((*shape, self.normal_dim), dtype="float32", seed=generator)
        return normal, keras.random.uniform((*shape, self.uniform_dim), dtype="float32", seed=generator)

    def sample(self, params, seed=None, temperature=1.0):
        """One draw, (..., features).

        Args:
            params: tensor (..., params_dim).
            seed: int, `keras.random.SeedGenerator` or `None`.
            temperature: as for `draw`.
        """
        return self.draw(params, *self.noise(ops.shape(params)[:-1], seed), temperature)

    def mode(self, params):
        """The most probable frame, (..., features), in the dtype of `sample`."""
        return self.distribution(params).mode()

    def at_temperature(self, params, temperature):
        """Parameters of the tempered distribution."""
        return float32(params) / temperature

    def as_values(self, values):
        """The dtype in which frames are scored."""
        return float32(values)

    def check_values(self, name, values):
        """Raises a `ValueError` unless the NumPy array `values`, finite, can be scored."""

    def with_features(self, features, **kwargs):
        """A new head like this one, for frames of `features` features."""
        return type(self).from_config({**self.get_config(), "features": features, **kwargs})

    def get_config(self):
        return {**super().get_config(), "features": self.features, "hidden_units": self.hidden_units}


def _drawn_index(logits, uniform):
    """Index (...) of a category, by the inverse of its distribution function. uniform: (..., 1)."""
    cumulative = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)
    below = cumulative <= uniform * cumulative[..., -1:]
    index = ops.sum(ops.cast(below, "int32"), axis=-1)
    return ops.minimum(index, logits.shape[-1] - 1)


def _gaussian_params(params, temperature):
    mean, log_variance = ops.split(params, 2, axis=-1)
    return mean, log_variance + 2 * ops.log(float32(temperature))


@keras.saving.register_keras_serializable("zf_keras")
class GaussianHead(DistributionHead):
    """Diagonal Gaussian; parameters [mean, log-variance], (..., 2 features).

    Example:

    >>> head = GaussianHead(features=3)
    >>> head.distribution(head(np.zeros((2, 5, 16)))).mean().shape
    (2, 5, 3)
    """

    uniform_dim = 0

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

    def log_prob(self, params, values):
        return self._gaussian(params).log_prob(values)

    def draw(self, params, normal, uniform, temperature=1.0):
        return reparametrized(*self._gaussian(params), temperature * normal)

    def at_temperature(self, params, temperature):
        return ops.concatenate(_gaussian_params(float32(params), temperature), axis=-1)


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

    def __init__(self, features=None, num_components=20, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        check_positive_int("num_components", num_components)
        self.num_components = num_components

    uniform_dim = 1

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

    def mode(self, params):
        """The mean of the component of the highest peak, which is the mode where they lie apart."""
        logits, components = self._split(params)
        peaks = logits - 0.5 * ops.sum(components.log_variance, axis=-1)
        return self._component(components, ops.argmax(peaks, axis=-1)).mean

    def _component(self, components, index):
        """The Gaussian, (..., features), of one component. index: (...)."""
        chosen = ops.expand_dims(ops.one_hot(index, self.num_components), -1)
        return Gaussian(*(ops.sum(chosen * x, axis=-2) for x in components))

    def draw(self, params, normal, uniform, temperature=1.0):
        logits, components = self._split(params)
        component = self._component(components, _drawn_index(logits / temperature, uniform))
        return reparametrized(*component, temperature * normal)

    def at_temperature(self, params, temperature):
        params = float32(params)
        logits, gaussians = params[..., : self.num_components], params[..., self.num_components :]
        return ops.concatenate([logits / temperature, *_gaussian_params(gaussians, temperature)], axis=-1)

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components}


@keras.saving.register_keras_serializable("zf_keras")
class BernoulliHead(DistributionHead):
    """Independent Bernoullis; parameters are the logits, (..., features). Frames are 0 or 1.

    Example:

    >>> head = BernoulliHead(features=88)
    >>> head.log_prob(head(np.zeros((2, 5, 16))), np.ones((2, 5, 88))).shape
    (2, 5)
    """

    @property
    def params_dim(self):
        return self.features

    def distribution(self, params):
        bernoulli = probability.tfd.Bernoulli(logits=float32(params), dtype=np.float32)
        return probability.tfd.Independent(bernoulli, reinterpreted_batch_ndims=1)

    @property
    def uniform_dim(self):
        return self.features

    def log_prob(self, params, values):
        logits, values = float32(params), float32(values)
        return -ops.sum(values * ops.softplus(-logits) + (1 - values) * ops.softplus(logits), axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        return float32(uniform < ops.sigmoid(float32(params) / temperature))

    def check_values(self, name, values):
        outside = (values != 0) & (values != 1)
        if outside.any():
            raise ValueError(
                f"A bernoulli output needs `{name}` of 0 and 1. Received the value {values[outside][0]!s}; "
                "binarise the data, or choose another output."
            )


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
    uniform_dim = 1

    def __init__(self, num_classes, features=None, hidden_units=None, **kwargs):
        super().__init__(features, hidden_units, **kwargs)
        check_positive_int("num_classes", num_classes)
        self.num_classes = num_classes

    @property
    def params_dim(self):
        return self.num_classes

    def distribution(self, params):
        return probability.tfd.Categorical(logits=float32(params))

    def log_prob(self, params, values):
        chosen = ops.one_hot(self.as_values(values), self.num_classes) > 0
        return ops.sum(ops.where(chosen, ops.log_softmax(float32(params), axis=-1), 0.0), axis=-1)

    def draw(self, params, normal, uniform, temperature=1.0):
        return _drawn_index(float32(params) / temperature, uniform)

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


OUTPUTS = ("gaussian", "gaussian_mixture", "bernoulli", "categorical")


def get_head(output, num_components=20, num_classes=None, hidden_units=None):
    """The head that a model's `output` argument names; a head instance is returned as it is.

    Raises:
        ValueError: unknown name, or `"categorical"` without `num_classes`.
    """
    if isinstance(output, DistributionHead):
        return output
    if output == "gaussian":
        return GaussianHead(hidden_units=hidden_units)
    if output == "gaussian_mixture":
        return GaussianMixtureHead(num_components=num_components, hidden_units=hidden_units)
    if output == "bernoulli":
        return BernoulliHead(hidden_units=hidden_units)
    if output == "categorical":
        if num_classes is None:
            raise ValueError("`output='categorical'` needs `num_classes`.")
        return CategoricalHead(num_classes, hidden_units=hidden_units)
    accepted = ", ".join(repr(name) for name in OUTPUTS)
    raise ValueError(f"`output` must be one of {accepted}, or a DistributionHead. Received: output={output!r}.")
