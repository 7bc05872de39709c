r"""A step of the LSTM with a latent variable (Sordoni et al. 2017, eq. 4-6).

    q(z_t) = N(mu_t, sigma_t^2),  (mu_t, log sigma_t^2) = f_q([h_{t-1}, b_t, x_t])
    z_t    = mu_t + sigma_t * eps_t
    h_t, c_t = LSTM([x_t, z_t], (h_{t-1}, c_{t-1}))

Only what depends on the step before runs inside the loop; the products with x_t and b_t are taken for all steps at
once, before it. `step` is the one definition of a step: `StochasticLSTMCell.call`, `StochasticLSTMCell.scan` and
generation, with the prior network in the posterior's place, all call it.
"""

from typing import Any, NamedTuple

from zf_keras.loops.parts import Affine, clipped, draw, gated, leaky


class StepWeights(NamedTuple):
    """What multiplies in the loop, for gates `scaled`. H units, Z size of z_t, D hidden units of f_q or f_p."""

    recurrent: Affine  # [U, W_h] (H, 4H + D): h_{t-1} to the gates and to f_q or f_p
    latent: Affine  # (Z, 4H): z_t to the gates
    params: Affine  # (D, 2Z): hidden layer to mean and log-variance


class StepInputs(NamedTuple):
    """What is known before the loop, (batch, ...) inside it and (time, batch, ...) before it."""

    gates: Any  # (..., 4H), by weights that are `scaled`
    hidden: Any  # (..., D)
    noise: Any  # (..., Z)


class StepOutputs(NamedTuple):
    h: Any  # (..., H)
    z: Any  # (..., Z)
    params: Any  # (..., 2Z), clipped


def step(weights, clip, state, inputs, latent=None):
    """One step, (h_{t-1}, c_{t-1}) -> ((h_t, c_t), StepOutputs). All tensors (batch, ...).

    z_t is `latent` where it is given, else drawn from the network whose weights these are.
    """
    h, c = state
    gates, hidden = weights.recurrent(h)
    params = clipped(weights.params(leaky(inputs.hidden + hidden)), clip)
    z = draw(params, inputs.noise) if latent is None else latent
    h, c, _ = gated(inputs.gates + gates + weights.latent(z), c)
    return (h, c), StepOutputs(h, z, params)
