"""The parts of a step inside a time loop, each with its gradient by hand.

The gradient of a part is linear in that of its results. What it is multiplied by, the slopes, depends on the forward
loop alone, and is taken for all steps at once before the loop of the gradient.
"""

from keras import ops

from zf_keras.activations import BOUND, SLOPE, clipped_leaky_relu
from zf_keras.probability import reparametrized


class Traced:
    """A tensor of a step that a `Tape` records."""

    def __init__(self, tape, key, value):
        self.tape, self.key, self.value = tape, key, value

    def __add__(self, other):
        return _sum(self, other)


class Part:
    """A function of tensors (batch, ...) to a tuple of them; called on `Traced` ones it is recorded.

    A part defines `forward(*arguments)`, a tuple, and `gradient(arguments, results)`: the slopes, a nest of tensors
    (time, batch, ...), and a function of the slopes of a step and of the gradients of its results (`None` for zero) to
    those of its arguments (`None` where none flows).
    """

    #: Which arguments and results of all steps `gradient` reads; the others are `None`.
    reads_arguments = ()
    reads_results = ()

    def __call__(self, *arguments):
        tape = next((each.tape for each in arguments if isinstance(each, Traced)), None)
        results = tape.call(self, arguments) if tape else self.forward(*arguments)
        return results if len(results) > 1 else results[0]


class Sum(Part):
    def forward(self, a, b):
        return (a + b,)

    def gradient(self, arguments, results):
        return (), lambda _, d: (d, d)


class Affine(Part):
    """x @ kernel + bias, its weights read and cast before the loop.

    Several x are concatenated. With `sizes` the result is split: one product serves several parts, all of
    which are used. The gradient of the weights is taken after the loop, by one product over time and batch.
    """

    def __init__(self, kernel, bias=None, sizes=None):
        self.weights = [kernel] if bias is None else [kernel, bias]
        self.sizes = sizes

    def with_weights(self, weights):
        return Affine(*weights, *[None] * (2 - len(weights)), self.sizes)

    def forward(self, *x):
        y = ops.matmul(joined(x), self.weights[0])
        y = y + self.weights[1] if len(self.weights) == 2 else y
        return tuple(split(y, self.sizes)) if self.sizes else (y,)

    def gradient(self, arguments, results):
        transposed = ops.transpose(self.weights[0])
        sizes = [x.shape[-1] for x in arguments]
        return (), lambda _, *d: split(ops.matmul(joined(d), transposed), sizes)

    def gradient_of_weights(self, x, d):
        """From the x and the gradients of the results at all steps, lists of tensors (time, batch, ...)."""
        x, d = ([ops.reshape(each, (-1, each.shape[-1])) for each in tensors] for tensors in (x, d))
        rows = [joined([ops.matmul(ops.transpose(each), dy) for dy in d]) for each in x]
        found = [ops.concatenate(rows, axis=0) if len(rows) > 1 else rows[0]]
        return found + [joined([ops.sum(dy, axis=0) for dy in d])] * (len(self.weights) - 1)

    reads_arguments = range(2**31)  # all of them


class ClippedLeakyReLU(Part):
    """`zf_keras.activations.clipped_leaky_relu`."""

    reads_results = (0,)

    def forward(self, x):
        return (clipped_leaky_relu(x),)

    def gradient(self, arguments, results):
        (y,) = results
        slopes = ops.where(ops.abs(y) < BOUND, ops.where(y > 0, 1.0, SLOPE), 0.0)
        return ops.cast(slopes, y.dtype), times


class Clipped(Part):
    """Clipped to [-bound, bound]."""

    reads_results = (0,)

    def __init__(self, bound):
        self.bound = bound

    def forward(self, x):
        return (ops.clip(x, -self.bound, self.bound),)

    def gradient(self, arguments, results):
        (y,) = results
        return ops.cast(ops.abs(y) < self.bound, y.dtype), times


class Draw(Part):
    """z = mu + sigma * noise, from (mu, log sigma^2) on the last axis."""

    reads_arguments = (0, 1)

    def forward(self, params, noise):
        return (reparametrized(*ops.split(params, 2, axis=-1), noise),)

    def gradient(self, arguments, results):
        params, noise = arguments
        sigma = ops.exp(0.5 * ops.split(params, 2, axis=-1)[1])
        return (0.5 * sigma * noise, sigma), self.back

    def back(self, slopes, d):
        of_log_variance, sigma = slopes
        return joined([d, d * of_log_variance]), d * sigma


class Gated(Part):
    """An LSTM's (h_t, c_t) and sigma(gates), in the order i, f, g, o, from gates by weights that are `scaled`.

    i, f, g, o = sigma, sigma, tanh, sigma (gates),    c_t = f c_{t-1} + i g,    h_t = o tanh(c_t)

    All gates have one nonlinearity, for small operations are what a step costs on the CPU: tanh(x) = 2 sigma(2x) - 1.
    """

    reads_arguments = (1,)
    reads_results = (1, 2)

    def forward(self, gates, c):
        gates = ops.sigmoid(gates)
        i, f, g, o = ops.split(gates, 4, axis=-1)
        c = f * c + i * (2 * g - 1)
        return o * ops.tanh(c), c, gates

    def gradient(self, arguments, results):
        _, c_before = arguments
        _, c, gates = results
        i, f, s, o = ops.split(gates, 4, axis=-1)
        tanh_c = ops.tanh(c)
        of_gates = [i * (1 - i) * (2 * s - 1), f * (1 - f) * c_before, i * 2 * s * (1 - s), o * (1 - o) * tanh_c]
        return (o * (1 - ops.square(tanh_c)), f, joined(of_gates)), self.back

    def back(self, slopes, dh, dc, _):
        of_cell, f, of_gates = slopes
        dc = dc + dh * of_cell
        return joined([dc, dc, dc, dh]) * of_gates, dc * f


def scaled(kernel):
    """A kernel or bias (..., 4H) of gates, for `gated`: that of g doubled."""
    i, f, g, o = ops.split(kernel, 4, axis=-1)
    return ops.concatenate([i, f, 2 * g, o], axis=-1)


def times(slopes, d):
    return (d * slopes,)


def joined(tensors):
    return tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, axis=-1)


def split(x, sizes):
    """The parts of these sizes on the last axis."""
    if len(sizes) == 1:
        return [x]
    return ops.split(x, [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)], axis=-1)


_sum, leaky, draw, gated = Sum(), ClippedLeakyReLU(), Draw(), Gated()


def clipped(x, bound):
    """`x` clipped to [-bound, bound], unless that is `None`."""
    return x if bound is None else Clipped(bound)(x)
