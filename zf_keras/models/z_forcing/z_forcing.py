"""Z-Forcing (Sordoni, Goyal, Côté, Ke and Bengio, NIPS 2017), eq. 4-10.

b_t        = LSTM_b(y_t, b_{t+1}),  b_{T+1} = 0                        backward encoder
q(z_t)     = f_q([h_{t-1}, b_t])                                       posterior
h_t        = LSTM_f([x_t, z_t], h_{t-1})                               forward recurrence
p(z_t)     = f_p(h_{t-1})                                              prior
p(y_t)     = f_o(h_t)                                                  output
p(b_t|z_t) = N(tanh mu, sigma^2),  (mu, log sigma^2) = f_a(z_t)        auxiliary, eq. 8
p(x_t|b_t) = f_b(b_t)                                                  backward output

loss = sum_t - log p(y_t) + w KL(q(z_t) || p(z_t)) - alpha log p(b_t | z_t) - beta log p(x_t | b_t)
"""

from typing import Unpack

import keras
from keras import ops

from zf_keras.arguments import check_bool, check_choice, check_non_negative, check_size, optional
from zf_keras.cells.stochastic_lstm import StochasticLSTMCell
from zf_keras.layers.auxiliary_decoder import AuxiliaryDecoder
from zf_keras.layers.network import split_gaussian
from zf_keras.loops import stochastic_lstm
from zf_keras.models.arguments import OfLatent, documented
from zf_keras.models.latent import LatentModel, LatentSteps, nonzero, previous


@documented(
    layers="of the backward LSTM and of the recurrence, whose first has the latents and whose last the output reads",
    output_network="linear",
)
@keras.saving.register_keras_serializable("zf_keras")
class ZForcing(LatentModel):
    """Z-Forcing: a stochastic recurrent network whose latents must tell what is to come.

    The auxiliary cost makes z_t predict the state of a backward LSTM, so that a strong autoregressive output
    cannot ignore it.
    Source: Sordoni et al. 2017, eq. 4-10. Where the released code differs from the paper's text, it is an
    argument.

    Args:
        units: int. Size of h_t and of b_t.
        latent_dim: int. Size of z_t.
        {output}
        alpha: float >= 0. Weight of the auxiliary cost; 0 leaves its network out. Defaults to `0.005`.
        beta: float >= 0. Weight of the backward output's cost; 0 leaves its network out. Defaults to `0.005`.
        auxiliary: what the auxiliary network sees: `"z"` (paper) or `"zh"`, [h_{t-1}, z_t] (the released
            default). Defaults to `"z"`.
        auxiliary_cost: `"gaussian"` or `"l2"`, see `AuxiliaryDecoder`. Defaults to `"gaussian"`.
        auxiliary_gradient: what the auxiliary cost trains in the backward encoder. `"target"`: all but the
            path through its target b_t (as released). `"strict"`: nothing (the paper's text); the
            recurrence runs twice. `"detached"`: b_t is stopped before the posterior too, so that only the backward
            output trains the encoder (the authors' follow-up). Defaults to `"target"`.
        inputs_to_latent: bool. Whether prior and posterior see x_t (p(z_t | x_1..x_t, ...), paper) or only h_{t-1}
            (as released). Defaults to `False`.
        latent_units: int or `None`. Size of a linear layer between z_t and the LSTM (as released); `None` for
            none (paper). Defaults to `None`.
        {shared}

    Example:

    >>> model = ZForcing(units=32, latent_dim=4, output="bernoulli")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(np.random.randint(0, 2, size=(8, 5, 3)), verbose=0)
    >>> model.generate(batch_size=2, length=5).shape
    (2, 5, 3)
    """

    default_output_network = "linear"

    def __init__(
        self,
        units,
        latent_dim,
        output,
        alpha=0.005,
        beta=0.005,
        auxiliary="z",
        auxiliary_cost="gaussian",
        auxiliary_gradient="target",
        inputs_to_latent=False,
        latent_units=None,
        **kwargs: Unpack[OfLatent],
    ):
        super().__init__(units, latent_dim, output, **kwargs)
        self.alpha = check_non_negative("alpha", alpha)
        self.beta = check_non_negative("beta", beta)
        self.auxiliary = check_choice("auxiliary", auxiliary, ("z", "zh"))
        self.auxiliary_cost = check_choice("auxiliary_cost", auxiliary_cost, ("gaussian", "l2"))
        self.auxiliary_gradient = check_choice(
            "auxiliary_gradient", auxiliary_gradient, ("target", "strict", "detached")
        )
        self.inputs_to_latent = check_bool("inputs_to_latent", inputs_to_latent)
        self.latent_units = optional(check_size, "latent_units", latent_units)

    @property
    def scores_inputs(self):
        return self.beta > 0

    @property
    def same_features_reason(self):
        return super().same_features_reason or ("beta > 0" if self.beta > 0 else None)

    @property
    def loss_weights(self):
        return {**super().loss_weights, **nonzero(aux_nll=self.alpha, backward_nll=self.beta)}

    def build_networks(self, input_dim, target_dim):
        policy = {"dtype": self.dtype_policy}
        self.backward_encoder = self.new_backward_encoder(target_dim)
        self.cell = StochasticLSTMCell(
            self.units,
            self.latent_dim,
            self.hidden_units,
            context_dim=self.units,
            inputs_to_latent=self.inputs_to_latent,
            latent_units=self.latent_units,
            clip=self.clip,
            name="cell",
            **policy,
        )
        self.cell.build((None, input_dim + self.units + self.latent_dim))
        self.build_upper()
        self.prior_network = self.new_gaussian("prior", self.units + input_dim * self.inputs_to_latent)
        if self.alpha > 0:
            self.auxiliary_decoder = AuxiliaryDecoder(
                self.units,
                self.hidden_units,
                self.auxiliary_cost,
                self.clip,
                name="auxiliary_decoder",
                **policy,
            )
            seen = self.latent_dim + self.units * (self.auxiliary == "zh")
            self.auxiliary_decoder.build((None, None, seen))
        if self.beta > 0:
            self.backward_head = self.new_head("backward_head")
            self.backward_head.build((None, None, self.units))

    def context(self, x, y, mask, training, state=None):
        return self.backward_encoder(y, mask=mask, training=training)

    def infer(self, x, context, sequences, noise, training, state=None):
        b, b_stopped, terms = context, ops.stop_gradient(context), {}
        # q(z_t) = f_q([h_{t-1}, b_t]),  h_t = LSTM_f([x_t, z_t], h_{t-1})
        first, upper_state = state or self.initial_state(ops.shape(x)[0])
        forward, state = self.cell.scan(x, b_stopped if self.auxiliary_gradient == "detached" else b, noise, first)
        h_before, z, q = previous(first[0], forward.h), forward.z, forward.posterior
        # p(z_t) = f_p(h_{t-1})
        p = self.prior_network(ops.concatenate([h_before] + [x] * self.inputs_to_latent, axis=-1))
        # p(y_t) = f_o(h_t)
        h, upper_state = self.run_upper(forward.h, training, upper_state)
        output = self.head(h)
        # p(b_t|z_t) = N(tanh mu, sigma^2),  (mu, log sigma^2) = f_a(z_t)
        if self.alpha:
            seen = self.cell.scan(x, b_stopped, noise, first)[0] if self.auxiliary_gradient == "strict" else forward
            seen = ops.concatenate([previous(first[0], seen.h), seen.z], axis=-1) if self.auxiliary == "zh" else seen.z
            terms["aux_nll"] = self.auxiliary_decoder.nll(self.auxiliary_decoder(seen), b_stopped)
        # p(x_t|b_t) = f_b(b_t)
        if self.beta:
            inputs, params = sequences.inputs, self.backward_head(b)
            seen = sequences.inputs_observed
            terms["backward_nll"] = -self.score(params, inputs, sequences.scale, seen, self.backward_head)
        return self.latent_steps(sequences, output, p, q, z, **terms), (state, upper_state)

    def step_weights(self, source="prior"):
        return self.cell.step_weights(self.prior_network if source == "prior" else self.cell.posterior)

    def step(self, weights, state, x, noise, context=None, latent=None):
        state, upper_state = state
        drawn_from = self.prior_network if context is None else self.cell.posterior
        inputs = self.cell.step_inputs(x, context, noise, drawn_from)
        h_before = state[0]
        state, out = stochastic_lstm.step(weights, self.clip, state, inputs, latent)
        p, q = split_gaussian(out.params, None), None
        if context is not None:
            p, q = self.prior_network(ops.concatenate([h_before] + [x] * self.inputs_to_latent, axis=-1)), p
        h, upper_state = self.upper.step(out.h, upper_state)
        return LatentSteps(self.head(h), p, q, out.z, {}), (state, upper_state)
