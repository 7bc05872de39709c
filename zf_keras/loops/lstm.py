"""The loop of a deterministic LSTM, with a gradient written by hand.

i, f, g, o = sigma, sigma, tanh, sigma (gates_t + U h_{t-1}),    c_t = f c_{t-1} + i g,    h_t = o tanh(c_t)
"""

from keras import ops

from zf_keras.loops.scan import scan


def scaled(kernel):
    """A kernel or bias (..., 4H) of gates, for `gated`: that of g doubled, for tanh(x) = 2 sigma(2x) - 1."""
    i, f, g, o = ops.split(kernel, 4, axis=-1)
    return ops.concatenate([i, f, 2 * g, o], axis=-1)


def gated(gates, c):
    """(h_t, c_t), and sigma(gates): (batch, 4H), in the order i, f, g, o, by weights that are `scaled`.

    One nonlinearity for all gates: small operations are what a step costs on the CPU.
    """
    gates = ops.sigmoid(gates)
    i, f, g, o = ops.split(gates, 4, axis=-1)
    c = f * c + i * (2 * g - 1)
    return (o * ops.tanh(c), c), gates


def before(first, x):
    """x_{t-1} for every t: (time, ...) with `first` as x_0."""
    return ops.concatenate([first[None], x[:-1]], axis=0)


def summed_outer(a, b):
    """sum over time and batch of a b^T: one product for the weight gradient of all steps."""
    a, b = (ops.reshape(x, (-1, x.shape[-1])) for x in (a, b))
    return ops.matmul(ops.transpose(a), b)


def slopes(gates, c, c_before):
    """What dh and dc are multiplied by, for all steps before the loop of the gradient, from what `gated` gave.

    dc += dh * the first;  d gates = [dc, dc, dc, dh] * the second
    """
    i, f, s, o = ops.split(gates, 4, axis=-1)
    tanh_c = ops.tanh(c)
    g = 2 * s - 1
    of_gates = [i * (1 - i) * g, f * (1 - f) * c_before, i * 2 * s * (1 - s), o * (1 - o) * tanh_c]
    return o * (1 - ops.square(tanh_c)), ops.concatenate(of_gates, axis=-1)


def lstm(recurrent, gates, state):
    """All steps.

    Automatic differentiation of a loop would add every step's weight gradient inside it. Here the loop of the gradient
    carries only dh and dc, and the weight's gradient is one matrix product after it.

    Args:
        recurrent: tensor (H, 4H), `scaled`.
        gates: tensor (time, batch, 4H). What inputs and bias give to the gates, by weights that are `scaled`.
        state: pair of tensors (batch, H), h_0 and c_0.

    Returns:
        h (time, batch, H), and c_T (batch, H).
    """

    @ops.custom_gradient
    def run(recurrent, gates, h0, c0):
        def step(state, gates):
            h, c = state
            (h, c), gates = gated(gates + ops.matmul(h, recurrent), c)
            return (h, c), (h, c, gates)

        (_, c_last), (h, c, activated) = scan(step, (h0, c0), gates)

        def gradient(*upstream):
            dh, dc_last = upstream if len(upstream) == 2 else upstream[0]
            cell_slope, gate_slopes = slopes(activated, c, before(c0, c))
            forget = activated[..., h0.shape[-1] : 2 * h0.shape[-1]]
            recurrent_t = ops.transpose(recurrent)

            def step_back(state, inputs):
                dh_next, dc = state
                dh, cell_slope, gate_slopes, f = inputs
                dh = dh + dh_next
                dc = dc + dh * cell_slope
                dgates = ops.concatenate([dc, dc, dc, dh], axis=-1) * gate_slopes
                return (ops.matmul(dgates, recurrent_t), dc * f), dgates

            (dh0, dc0), dgates = scan(
                step_back, (ops.zeros_like(h0), dc_last), (dh, cell_slope, gate_slopes, forget), reverse=True
            )
            return summed_outer(before(h0, h), dgates), dgates, dh0, dc0

        return (h, c_last), gradient

    return run(recurrent, gates, *state)
