"""The auxiliary network p(b_t | z_t)."""

import math

import keras
from keras import ops

from zf_keras.arguments import check_choice, check_positive, check_size, optional
from zf_keras.layers.network import Network, split_gaussian
from zf_keras.probability import Gaussian, float32


@keras.saving.register_keras_serializable("zf_keras")
class AuxiliaryDecoder(keras.layers.Layer):
    """f_a: predicts the backward state b_t from the latent z_t, p(b_t | z_t) = N(tanh mu, sigma^2).

    The mean goes through tanh because b_t is an LSTM output in (-1, 1).
    Source: Sordoni et al. 2017, eq. 8.

    Args:
        units: int. Size of b_t.
        hidden_units: int. Size of the hidden layer.
        cost: `"gaussian"` for -log N(b_t; tanh mu, sigma^2), or `"l2"` for the squared distance
            ||b_t - tanh mu||^2, which is the Gaussian cost with variance 1/2 up to a constant. Defaults to
            `"gaussian"`.
        clip: float or `None`. mu and log sigma^2 are clipped to [-clip, clip]. Defaults to `8.0`.

    Call arguments:
        inputs: tensor (batch, time, features): z_t, or [h_{t-1}, z_t].

    Returns:
        Parameters (batch, time, 2 units), for `distribution` and `nll`; (batch, time, units) with `cost="l2"`.

    Example:

    >>> decoder = AuxiliaryDecoder(units=16, hidden_units=32)
    >>> params = decoder(np.zeros((2, 5, 4)))
    >>> decoder.nll(params, np.zeros((2, 5, 16))).shape
    (2, 5)
    """

    def __init__(self, units, hidden_units, cost="gaussian", clip=8.0, **kwargs):
        super().__init__(**kwargs)
        self.units = check_size("units", units)
        self.supports_masking = True
        self.hidden_units = check_size("hidden_units", hidden_units)
        self.cost = check_choice("cost", cost, ("gaussian", "l2"))
        self.clip = optional(check_positive, "clip", clip)
        params_dim = 2 * self.units if cost == "gaussian" else self.units
        self.network = Network(params_dim, self.hidden_units, dtype=self.dtype_policy, name="network")

    def build(self, input_shape):
        self.network.build(input_shape)

    def call(self, inputs):
        return self.network(inputs)

    def gaussian(self, params):
        """`Gaussian` of b_t, in float32."""
        params = float32(params)
        if self.cost == "gaussian":
            mean, log_variance = split_gaussian(params, self.clip)
        else:
            mean = params if self.clip is None else ops.clip(params, -self.clip, self.clip)
            log_variance = ops.full_like(mean, -math.log(2))
        return Gaussian(ops.tanh(mean), log_variance)

    def distribution(self, params):
        """TFP distribution of b_t, event shape (units,)."""
        return self.gaussian(params).distribution()

    def nll(self, params, states):
        """The auxiliary cost of each step, (batch, time), in nats (`"gaussian"`)."""
        p = self.gaussian(params)
        if self.cost == "l2":
            return ops.sum(ops.square(float32(states) - p.mean), axis=-1)
        return -p.log_prob(states)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.network.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "hidden_units": self.hidden_units,
            "cost": self.cost,
            "clip": self.clip,
        }
