"""The LSTM cell with a latent variable, as a Keras layer."""

from typing import Any, NamedTuple

import keras
from keras import ops

from zf_keras.arguments import check_bool, check_non_negative_int, check_positive, check_size, check_units, optional
from zf_keras.layers.network import GaussianNetwork, split_gaussian
from zf_keras.loops.parts import Affine, scaled
from zf_keras.loops.recurrence import recurrence
from zf_keras.loops.scan import swap_time_and_batch
from zf_keras.loops.stochastic_lstm import StepInputs, StepWeights, step
from zf_keras.probability import Gaussian


class StochasticLSTMOutputs(NamedTuple):
    """Per-step outputs, each (batch, time, ...)."""

    h: Any  # (batch, time, units)
    z: Any  # (batch, time, latent_dim)
    posterior: Gaussian  # what z was drawn from


@keras.saving.register_keras_serializable("zf_keras")
class StochasticLSTMCell(keras.layers.Layer):
    """LSTM cell that draws a latent z_t from q(z_t | h_{t-1}, b_t) and reads it beside x_t.

    In `keras.layers.RNN` the input of a step is [x_t, b_t, eps_t] on the last axis: features, context and
    standard-normal noise. The noise is an input because random numbers drawn inside a loop would be the same at
    every step on JAX. The output is [h_t, z_t, mu_t, log sigma_t^2] on the last axis; `unpack` splits it.
    `scan` does the same for a whole sequence, faster, from separate tensors.
    Source: Sordoni et al. 2017, eq. 4-6.

    Args:
        units: int. Size of h_t.
        latent_dim: int. Size of z_t.
        hidden_units: int. Size of the posterior network's hidden layer. Defaults to `units`.
        context_dim: int. Size of b_t; 0 for none. Defaults to `0`.
        inputs_to_latent: bool. Whether the posterior sees x_t. Defaults to `False`.
        latent_units: int or `None`. Size of a linear layer between z_t and the LSTM, as in the released code;
            `None` for z_t itself, as in the paper. Defaults to `None`.
        clip: float or `None`. Mean and log-variance are clipped to [-clip, clip]. Defaults to `8.0`.

    Example:

    >>> cell = StochasticLSTMCell(units=8, latent_dim=2, context_dim=4)
    >>> x, b, eps = np.zeros((3, 5, 6)), np.zeros((3, 5, 4)), np.random.normal(size=(3, 5, 2))
    >>> outputs = keras.layers.RNN(cell, return_sequences=True)(np.concatenate([x, b, eps], -1))
    >>> cell.unpack(outputs).z.shape
    (3, 5, 2)
    """

    def __init__(
        self,
        units,
        latent_dim,
        hidden_units=None,
        context_dim=0,
        inputs_to_latent=False,
        latent_units=None,
        clip=8.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = check_units("units", units)
        self.latent_dim = check_size("latent_dim", latent_dim)
        self.hidden_units = self.units if hidden_units is None else check_size("hidden_units", hidden_units)
        self.context_dim = check_non_negative_int("context_dim", context_dim)
        self.inputs_to_latent = check_bool("inputs_to_latent", inputs_to_latent)
        self.latent_units = optional(check_size, "latent_units", latent_units)
        self.clip = optional(check_positive, "clip", clip)
        self.state_size = [self.units, self.units]
        self.output_size = self.units + 3 * self.latent_dim
        self.posterior = GaussianNetwork(
            self.latent_dim, self.hidden_units, self.clip, dtype=self.dtype_policy, name="posterior"
        )
        self.projection = None
        if latent_units is not None:
            self.projection = keras.layers.Dense(self.latent_units, dtype=self.dtype_policy, name="projection")

    def build(self, input_shape):
        features = input_shape[-1] - self.context_dim - self.latent_dim
        if features < 1:
            raise ValueError(
                "StochasticLSTMCell takes [x_t, b_t, eps_t] on the last axis, which must be larger than "
                f"context_dim + latent_dim = {self.context_dim + self.latent_dim}. "
                f"Received: input_shape={tuple(input_shape)}."
            )
        self.features = features
        self.kernel = self.add_weight(
            shape=(features + (self.latent_units or self.latent_dim), 4 * self.units),
            initializer="glorot_uniform",
            name="kernel",
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, 4 * self.units), initializer="orthogonal", name="recurrent_kernel"
        )
        # As in keras.layers.LSTM, the bias of the forget gate starts at 1.
        self.bias = self.add_weight(shape=(4 * self.units,), initializer=self._initial_bias, name="bias")
        posterior_inputs = self.units + self.context_dim + features * self.inputs_to_latent
        self.posterior.build((None, posterior_inputs))
        if self.projection is not None:
            self.projection.build((None, self.latent_dim))

    def _initial_bias(self, shape, dtype=None):
        i, f, g, o = ops.split(ops.zeros(shape, dtype), 4)
        return ops.concatenate([i, ops.ones_like(f), g, o])

    def step_weights(self, network=None):
        """`StepWeights` with `network`, such as the prior, instead of the posterior.

        `network` is a `GaussianNetwork` whose first `units` inputs are h_{t-1}.
        """
        network = network or self.posterior
        hidden_kernel = self._cast(network.hidden.kernel)[: self.units]
        latent_kernel = scaled(self._cast(self.kernel)[self.features :])
        if self.projection is not None:
            latent_kernel = ops.matmul(self._cast(self.projection.kernel), latent_kernel)
        recurrent = ops.concatenate([scaled(self._cast(self.recurrent_kernel)), hidden_kernel], axis=-1)
        return StepWeights(
            recurrent=Affine(recurrent, sizes=[4 * self.units, self.hidden_units]),
            latent=Affine(latent_kernel),
            params=Affine(self._cast(network.linear.kernel), self._cast(network.linear.bias)),
        )

    def step_inputs(self, x, context, noise, network=None):
        """`StepInputs` of one or all steps: the products of x_t (..., features) and b_t (..., context_dim).

        `context` is `None` where the cell, or `network`, has none.
        """
        network = network or self.posterior
        kernel, bias = scaled(self._cast(self.kernel)), scaled(self._cast(self.bias))
        if self.projection is not None:
            bias = bias + ops.matmul(self._cast(self.projection.bias), kernel[self.features :])
        seen = [] if context is None else [context]
        if self.inputs_to_latent:
            seen.append(x)
        hidden = self._cast(network.hidden.bias)
        hidden_kernel = self._cast(network.hidden.kernel)[self.units :]
        if seen:
            hidden = hidden + ops.matmul(ops.concatenate(seen, axis=-1), hidden_kernel)
        else:
            hidden = ops.broadcast_to(hidden, (*ops.shape(x)[:-1], self.hidden_units))
        gates = ops.matmul(x, kernel[: self.features]) + bias
        return StepInputs(gates, hidden, noise)

    def _cast(self, variable):
        return ops.cast(variable, self.compute_dtype)

    def call(self, inputs, states, training=None):
        expected = self.features + self.context_dim + self.latent_dim
        if inputs.shape[-1] != expected:
            raise ValueError(
                f"StochasticLSTMCell takes [x_t, b_t, eps_t] of {self.features} + {self.context_dim} + "
                f"{self.latent_dim} numbers, for which it was built. Received: {inputs.shape[-1]} numbers."
            )
        x, context, noise = ops.split(inputs, [self.features, self.features + self.context_dim], axis=-1)
        context = context if self.context_dim else None
        state, out = self._step(self.step_weights(), tuple(states), self.step_inputs(x, context, noise))
        return ops.concatenate([out.h, out.z, out.params], axis=-1), list(state)

    def scan(self, x, context, noise, initial_state=None):
        """All steps of a sequence, as `keras.layers.RNN(cell)` gives them.

        Args:
            x: tensor (batch, time, features).
            context: tensor (batch, time, context_dim), or `None` with `context_dim=0`.
            noise: tensor (batch, time, latent_dim), standard normal.
            initial_state: pair of tensors (batch, units), h_0 and c_0. Defaults to zeros.

        Returns:
            `StochasticLSTMOutputs`, and the last state, a pair of tensors (batch, units).
        """
        sizes = {"x": (x, self.features), "context": (context, self.context_dim), "noise": (noise, self.latent_dim)}
        for name, (tensor, size) in sizes.items():
            if (0 if tensor is None else tensor.shape[-1]) != size:
                received = None if tensor is None else tuple(tensor.shape)
                raise ValueError(f"`{name}` must be of shape (batch, time, {size}). Received: shape={received}.")
        if initial_state is None:
            zeros = ops.zeros((ops.shape(x)[0], self.units), dtype=self.compute_dtype)
            initial_state = (zeros, zeros)
        x, noise = swap_time_and_batch(x), swap_time_and_batch(noise)
        if context is not None:
            context = swap_time_and_batch(context)
        inputs = self.step_inputs(x, context, noise)
        state, out = recurrence(self._step, self.step_weights(), tuple(initial_state), inputs)
        h, z, params = swap_time_and_batch(out)
        return StochasticLSTMOutputs(h, z, split_gaussian(params, None)), state

    def _step(self, weights, state, inputs):
        return step(weights, self.clip, state, inputs)

    @property
    def output_shape(self):
        """Of a step's output, for `summary`."""
        return (None, self.output_size)

    def unpack(self, outputs):
        """Splits the output of `keras.layers.RNN(cell)`, (..., output_size), into `StochasticLSTMOutputs`."""
        h, z, params = ops.split(outputs, [self.units, self.units + self.latent_dim], axis=-1)
        return StochasticLSTMOutputs(h, z, split_gaussian(params, None))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "latent_dim": self.latent_dim,
            "hidden_units": self.hidden_units,
            "context_dim": self.context_dim,
            "inputs_to_latent": self.inputs_to_latent,
            "latent_units": self.latent_units,
            "clip": self.clip,
        }
