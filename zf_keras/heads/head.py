"""What the heads share."""

import numbers

import keras
from keras import ops

from zf_keras import probability
from zf_keras.arguments import check_size
from zf_keras.layers.network import Network
from zf_keras.probability import float32
from zf_keras.seeds import SeedGenerator


class DistributionHead(keras.layers.Layer):
    """Network from a state to the parameters of p(y_t | ...), and that distribution.

    A head defines `params_dim`, how many parameters a step has; `distribution(params)`, the TFP distribution; and
    `check_values(name, values)`, which values it can score. With `at_temperature` it can be drawn from at other
    temperatures than 1. The defaults of `log_prob`, `draw` and `mode` ask TFP; a head whose density is in `keras.ops`
    defines them instead (log-gammas are in `zf_keras/gamma.py`). TFP's sampling draws other frames on each backend, and
    can be exported to a SavedModel only.
    With the decorator `zf_keras.heads.registry.output` it has a name that a model's `output` may be.

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
        self.features = None if features is None else check_size("features", features)
        self.supports_masking = True
        self.hidden_units = None if hidden_units is None else check_size("hidden_units", hidden_units)

    @property
    def params_dim(self):
        """Number of parameters a step."""
        raise NotImplementedError

    @property
    def width(self):
        """Numbers that a step of drawn frames holds: those of a frame, or those it is drawn from."""
        return max(self.features or 1, self.normal_dim + self.uniform_dim)

    @property
    def normal_dim(self):
        """Standard-normal numbers that `draw` takes."""
        return 0

    @property
    def tempers(self):
        """Whether the head can be drawn from at other temperatures than 1."""
        defaults, own = DistributionHead, type(self)
        return own.at_temperature is not defaults.at_temperature or own.draw is not defaults.draw

    def build(self, input_shape):
        if self.features is None and not self.tokens:
            name = type(self).__name__
            raise ValueError(f"`features` must be given where a head stands alone: {name}(features=...).")
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

    def log_prob_by_feature(self, params, values):
        """log p of each feature by itself, whatever the others are, in nats, (..., features)."""
        raise NotImplementedError(f"{type(self).__name__} must define `log_prob_by_feature` to be scored by feature.")

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
        generator = SeedGenerator.of(seed)
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
        """Parameters of the tempered distribution. A head that does not define it knows temperature 1 alone."""
        self.check_temperature(temperature)
        return ops.where(ops.equal(temperature, 1.0), float32(params), float("nan"))

    def check_temperature(self, temperature):
        """Raises a `ValueError` unless the head can be drawn from at this number, as far as it is known now."""
        if not self.tempers and isinstance(temperature, numbers.Real) and temperature != 1:
            raise ValueError(
                f"`temperature` must be 1 for a {type(self).__name__}, which does not define `at_temperature`. "
                f"Received: temperature={temperature}."
            )

    def as_values(self, values):
        """The dtype in which frames are scored."""
        return float32(values)

    def check_values(self, name, values):
        """Raises a `ValueError` unless the NumPy array `values`, finite, can be scored."""
        raise NotImplementedError(f"{type(self).__name__} must define `check_values`: which values it can score.")

    def with_features(self, features, **kwargs):
        """A new head like this one, for frames of `features` features."""
        return type(self).from_config({**self.get_config(), "features": features, **kwargs})

    def get_config(self):
        return {**super().get_config(), "features": self.features, "hidden_units": self.hidden_units}


def drawn_index(logits, uniform):
    """Index (...) of a category, by the inverse of its distribution function. uniform: (..., 1)."""
    cumulative = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)
    below = cumulative <= uniform * cumulative[..., -1:]
    index = ops.sum(ops.cast(below, "int32"), axis=-1)
    return ops.minimum(index, logits.shape[-1] - 1)
