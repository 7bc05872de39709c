"""The networks f_p, f_q, f_a and f_o."""

from typing import NamedTuple

import keras
from keras import ops

from zf_keras.activations import clipped_leaky_relu
from zf_keras.arguments import check_positive, check_positive_int, check_size, optional
from zf_keras.loops.parts import Affine, clipped, leaky
from zf_keras.probability import Gaussian, standard_normal


@keras.saving.register_keras_serializable("zf_keras")
class Network(keras.layers.Layer):
    """One hidden layer of `clipped_leaky_relu`, then a linear layer; only the latter without `hidden_units`.

    Args:
        output_dim: int. Size of the output.
        hidden_units: int or `None`. Size of the hidden layer; `None` for a linear network. Defaults to
            `None`.

    Call arguments:
        inputs: tensor (..., features).

    Returns:
        Tensor (..., output_dim).
    """

    #: Bound of what the network gives inside a time loop, or `None`.
    clip = None

    def __init__(self, output_dim, hidden_units=None, **kwargs):
        super().__init__(**kwargs)
        self.output_dim = check_positive_int("output_dim", output_dim)
        self.supports_masking = True
        self.hidden_units = optional(check_size, "hidden_units", hidden_units)
        self.hidden = None
        if hidden_units is not None:
            self.hidden = keras.layers.Dense(self.hidden_units, dtype=self.dtype_policy, name="hidden")
        self.linear = keras.layers.Dense(self.output_dim, dtype=self.dtype_policy, name="linear")

    def build(self, input_shape):
        if self.hidden is not None:
            self.hidden.build(input_shape)
            input_shape = (*input_shape[:-1], self.hidden_units)
        self.linear.build(input_shape)

    def call(self, inputs):
        if self.hidden is not None:
            inputs = clipped_leaky_relu(self.hidden(inputs))
        return self.finish(self.linear(inputs))

    def finish(self, params):
        """The network's output, from that of the linear layer."""
        return params

    def precomputed(self, x):
        """What x (..., features), the last inputs, known before a time loop, adds to the hidden layer."""
        kernel = ops.cast(self.hidden.kernel, self.compute_dtype)[-x.shape[-1] :]
        return ops.matmul(x, kernel) + ops.cast(self.hidden.bias, self.compute_dtype)

    def for_loop(self, dim):
        """The network inside a time loop, where its first `dim` inputs become known: a `NetworkStep`."""
        weights = (self.hidden.kernel, self.hidden.bias, self.linear.kernel, self.linear.bias)
        kernel, bias, *linear = (ops.cast(weight, self.compute_dtype) for weight in weights)
        # Where there are inputs known before the loop, the bias is added with them.
        hidden = Affine(kernel, bias) if dim == kernel.shape[0] else Affine(kernel[:dim])
        return NetworkStep(hidden, Affine(*linear), self.clip)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "output_dim": self.output_dim,
            "hidden_units": self.hidden_units,
        }


def split_gaussian(params, clip):
    """Splits (..., 2 dim) into mean and log-variance, each clipped to [-clip, clip] unless `None`."""
    if clip is not None:
        params = ops.clip(params, -clip, clip)
    return Gaussian(*ops.split(params, 2, axis=-1))


@keras.saving.register_keras_serializable("zf_keras")
class GaussianNetwork(Network):
    """Network that gives a diagonal Gaussian: f_p and f_q.

    Args:
        dim: int. Dimension of the Gaussian.
        hidden_units: int or `None`. As for `Network`.
        clip: float or `None`. Mean and log-variance are clipped to [-clip, clip]. Defaults to `8.0`, as
            in the released Z-Forcing code; the paper has no clip.

    Call arguments:
        inputs: tensor (..., features).

    Returns:
        `Gaussian(mean, log_variance)`, each (..., dim).
    """

    def __init__(self, dim, hidden_units=None, clip=8.0, **kwargs):
        super().__init__(2 * check_size("dim", dim), hidden_units, **kwargs)
        self.dim = int(dim)
        self.clip = optional(check_positive, "clip", clip)

    def finish(self, params):
        return split_gaussian(params, self.clip)

    def compute_output_shape(self, input_shape):
        shape = (*input_shape[:-1], self.dim)
        return Gaussian(shape, shape)

    def get_config(self):
        config = {**super().get_config(), "dim": self.dim, "clip": self.clip}
        del config["output_dim"]
        return config


class NetworkStep(NamedTuple):
    """A `Network` as a time loop computes it, its weights read and cast before."""

    hidden: Affine  # of the inputs known inside the loop
    linear: Affine
    clip: float | None

    def __call__(self, x, precomputed=None):
        """Parameters (batch, output_dim) for x (batch, dim), and for inputs that `Network.precomputed` has read."""
        hidden = self.hidden(x) if precomputed is None else self.hidden(x) + precomputed
        return clipped(self.linear(leaky(hidden)), self.clip)


class StandardNormal(keras.layers.Layer):
    """A prior N(0, I), instead of a `GaussianNetwork`.

    Args:
        dim: int. Dimension of the Gaussian.
    """

    def __init__(self, dim, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim

    def call(self, inputs):
        return standard_normal(ops.zeros((*ops.shape(inputs)[:-1], self.dim), dtype=self.compute_dtype))

    @property
    def output_shape(self):
        """Of the mean, for `summary`."""
        return (None, None, self.dim)

    def for_loop(self, dim):
        return lambda x, precomputed=None: ops.concatenate(self.call(x), axis=-1)
