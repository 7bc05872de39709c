"""What the heads share."""

import inspect
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
    temperatures than 1; with `scales` and `at_scale`, in other units. The defaults of `log_prob`, `draw`, `mode` and
    `mean` ask TFP; a head whose density is in `keras.ops` defines them instead (log-gammas are in `zf_keras/gamma.py`).
    TFP's sampling draws other frames on each backend, and can be exported to a SavedModel only. A head whose features
    are independent is an `IndependentHead`, which defines `log_prob_by_feature` alone.
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
    #: Whether frames have probabilities, rather than densities.
    discrete = False
    #: Which shift + scale * y has a distribution of this kind too: `"affine"`, any of a positive scale; `"positive"`, a
    #: positive scale without a shift; `None`, none. Those have `at_scale`.
    scales = None

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
        raise NotImplementedError(f"{type(self).__name__} must define `distribution`, or each method that it is for.")

    def log_prob(self, params, values, observed=None):
        """log p(values) in nats, (...), or of the observed features of each frame alone.

        Args:
            params: tensor (..., params_dim).
            values: tensor (..., features), or tokens (...). Any finite number where it is not observed.
            observed: bool tensor, of the shape of `values`, or `None`. Where it is false, the feature is marginalised.
                Defaults to `None`, all are observed.
        """
        if observed is not None:
            self.check_observed()
        return self.distribution(params).log_prob(self.as_values(values))

    def check_observed(self):
        """Raises a `NotImplementedError` unless `log_prob` takes `observed`."""
        own = type(self).log_prob
        if own is DistributionHead.log_prob or "observed" not in inspect.signature(own).parameters:
            raise NotImplementedError(
                f"{type(self).__name__} must define `log_prob(params, values, observed=None)` to score frames with "
                "missing values."
            )

    def given_observed(self, params, values, observed):
        """Parameters of the distribution of a frame, given some of its features; of independent ones the same.

        Args:
            params: tensor (..., params_dim).
            values: tensor (..., features), as for `log_prob`.
            observed: bool tensor (..., features), as for `log_prob`.
        """
        return params

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

    def mean(self, params):
        """E[y_t], (..., features), in float32."""
        return float32(self.distribution(params).mean())

    def at_temperature(self, params, temperature):
        """Parameters of the tempered distribution. A head that does not define it knows temperature 1 alone."""
        self.check_temperature(temperature)
        return ops.where(ops.equal(temperature, 1.0), float32(params), float("nan"))

    def check_temperature(self, temperature):
        """Raises a `ValueError` unless the head can be drawn from at this number, as far as it is known now."""
        if not self.tempers and isinstance(temperature, numbers.Real) and temperature != 1:
            raise ValueError(
                f"`temperature` must be 1 for a {type(self).__name__}, which has no other. "
                f"Received: temperature={temperature}."
            )

    def at_scale(self, params, shift, scale):
        """Parameters of the distribution of shift + scale * y, where y has `params`; `scales` says which there are.

        Args:
            params: tensor (..., params_dim).
            shift: number or tensor that broadcasts to (..., features). 0 where `scales` is `"positive"`.
            scale: positive number or tensor that broadcasts to (..., features).
        """
        raise ValueError(f"A {type(self).__name__} has no scale: shift + scale * y is not of its kind.")

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


class IndependentHead(DistributionHead):
    """A head whose features are independent, given the parameters: `log_prob` is the sum of `log_prob_by_feature`."""

    def log_prob(self, params, values, observed=None):
        log_probs = self.log_prob_by_feature(params, where_observed(values, observed))
        return ops.sum(where_observed(log_probs, observed), axis=-1)


def where_observed(x, observed):
    """0, which every head scores with a finite gradient, where x is not observed."""
    return x if observed is None else ops.where(observed, float32(x), 0.0)


def unshifted(shift, scale):
    """The scale, for heads of positive numbers; NaN, or an error as far as it is known now, unless the shift is 0."""
    if isinstance(shift, numbers.Real) and shift != 0:
        raise ValueError(f"`shift` must be 0 for a head of positive numbers. Received: shift={shift}.")
    return ops.where(ops.equal(shift, 0), float32(scale), float("nan"))


def drawn_index(logits, uniform):
    """Index (...) of a category, by the inverse of its distribution function. uniform: (..., 1)."""
    cumulative = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)
    below = cumulative <= uniform * cumulative[..., -1:]
    index = ops.sum(ops.cast(below, "int32"), axis=-1)
    return ops.minimum(index, logits.shape[-1] - 1)
