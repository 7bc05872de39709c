r"""The loop of the LSTM with a latent variable, with a gradient written by hand (Sordoni et al. 2017, eq. 4-6).

    q(z_t) = N(mu_t, sigma_t^2),  (mu_t, log sigma_t^2) = f_q([h_{t-1}, b_t, x_t])
    z_t    = mu_t + sigma_t * eps_t
    h_t, c_t = LSTM([x_t, z_t], (h_{t-1}, c_{t-1}))

Only what depends on the step before runs inside the loop; the products with x_t and b_t are taken for all
steps at once, before it. `step` is the one definition of a step: `StochasticLSTMCell.call`,
`StochasticLSTMCell.scan` and generation, with the prior network in the posterior's place, all call it.
"""

from typing import Any, NamedTuple

from keras import ops

from zf_keras.activations import BOUND, SLOPE, clipped_leaky_relu
from zf_keras.loops.lstm import before, gated, slopes, summed_outer
from zf_keras.loops.scan import scan
from zf_keras.probability import reparametrized


class StepWeights(NamedTuple):
    """What multiplies in the loop, for gates `scaled`. H units, Z size of z_t, D hidden units of f_q or f_p."""

    recurrent: Any  # [U, W_h] (H, 4H + D): h_{t-1} to the gates and to f_q or f_p
    latent_kernel: Any  # (Z, 4H): z_t to the gates
    params: Any  # (D, 2Z): hidden layer to mean and log-variance
    params_bias: Any  # (2Z,)


class StepInputs(NamedTuple):
    """What is known before the loop, (batch, ...) inside it and (time, batch, ...) before it."""

    gates: Any  # (..., 4H), by weights that are `scaled`
    hidden: Any  # (..., D)
    noise: Any  # (..., Z)


class StepOutputs(NamedTuple):
    h: Any  # (..., H)
    c: Any  # (..., H)
    z: Any  # (..., Z)
    params: Any  # (..., 2Z), clipped
    hidden: Any  # (..., D)
    gates: Any  # (..., 4H), as `gated` gives them, in the order i, f, g, o


def step(weights, clip, state, inputs, latent=None):
    """One step, (h_{t-1}, c_{t-1}) -> ((h_t, c_t), StepOutputs). All tensors (batch, ...).

    z_t is `latent` where it is given, else drawn from the network whose weights these are.
    """
    h, c = state
    units = h.shape[-1]
    recurrent = ops.matmul(h, weights.recurrent)
    hidden = clipped_leaky_relu(inputs.hidden + recurrent[:, 4 * units :])
    params = ops.matmul(hidden, weights.params) + weights.params_bias
    params = params if clip is None else ops.clip(params, -clip, clip)
    mean, log_variance = ops.split(params, 2, axis=-1)
    z = reparametrized(mean, log_variance, inputs.noise) if latent is None else latent
    gates = inputs.gates + recurrent[:, : 4 * units] + ops.matmul(z, weights.latent_kernel)
    (h, c), gates = gated(gates, c)
    return (h, c), StepOutputs(h, c, z, params, hidden, gates)


def stochastic_lstm(weights, inputs, state, clip):
    """All steps, with a gradient written by hand.

    Automatic differentiation of a loop would add every step's weight gradients inside it. Here the loop of the
    gradient carries only dh and dc; the factors that do not depend on them are computed for all steps before
    it, and each weight's gradient is one matrix product after it.

    Args:
        weights: `StepWeights`.
        inputs: `StepInputs`, each (time, batch, ...).
        state: pair of tensors (batch, units), h_0 and c_0.
        clip: float or `None`. Bound of mean and log-variance.

    Returns:
        h (time, batch, H), z (time, batch, Z), params (time, batch, 2Z), and c_T (batch, H).
    """

    @ops.custom_gradient
    def run(recurrent, latent_kernel, params_kernel, params_bias, gates_in, hidden_in, noise, h0, c0):
        weights = StepWeights(recurrent, latent_kernel, params_kernel, params_bias)
        inputs = StepInputs(gates_in, hidden_in, noise)
        (_, c_last), out = scan(lambda s, x: step(weights, clip, s, x), (h0, c0), inputs)

        def gradient(*upstream):
            dh, dz, dparams, dc_last = upstream if len(upstream) == 4 else upstream[0]
            units = h0.shape[-1]
            cell_slope, gate_slopes = slopes(out.gates, out.c, before(c0, out.c))
            f = out.gates[..., units : 2 * units]
            # d params = dparams + [dz, dz] * latent_slopes, zero where clipped
            sigma = ops.exp(0.5 * out.params[..., noise.shape[-1] :])
            latent_slopes = ops.concatenate([ops.ones_like(noise), 0.5 * sigma * noise], axis=-1)
            if clip is not None:
                inside = ops.cast(ops.abs(out.params) < clip, out.params.dtype)
                latent_slopes, dparams = latent_slopes * inside, dparams * inside
            slope = ops.where(out.hidden > 0, 1.0, SLOPE)
            hidden_slopes = ops.cast(ops.where(ops.abs(out.hidden) < BOUND, slope, 0.0), out.hidden.dtype)
            recurrent_t, latent_t, params_t = map(ops.transpose, (recurrent, latent_kernel, params_kernel))

            def step_back(state, inputs):
                dh_next, dc = state
                dh, dz, dparams, cell_slope, gate_slopes, f, latent_slopes, hidden_slopes = inputs
                dh = dh + dh_next
                dc = dc + dh * cell_slope
                dgates = ops.concatenate([dc, dc, dc, dh], axis=-1) * gate_slopes
                dz = dz + ops.matmul(dgates, latent_t)
                dparams = dparams + ops.concatenate([dz, dz], axis=-1) * latent_slopes
                dhidden = ops.matmul(dparams, params_t) * hidden_slopes
                drecurrent = ops.concatenate([dgates, dhidden], axis=-1)
                return (ops.matmul(drecurrent, recurrent_t), dc * f), (drecurrent, dparams, dz)

            (dh0, dc0), (drecurrent, dparams, dz) = scan(
                step_back,
                (ops.zeros_like(h0), dc_last),
                (dh, dz, dparams, cell_slope, gate_slopes, f, latent_slopes, hidden_slopes),
                reverse=True,
            )
            dgates, dhidden = drecurrent[..., : 4 * units], drecurrent[..., 4 * units :]
            return (
                summed_outer(before(h0, out.h), drecurrent),
                summed_outer(out.z, dgates),
                summed_outer(out.hidden, dparams),
                ops.sum(dparams, axis=(0, 1)),
                dgates,
                dhidden,
                dz * sigma,
                dh0,
                dc0,
            )

        return (out.h, out.z, out.params, c_last), gradient

    return run(*weights, *inputs, *state)
