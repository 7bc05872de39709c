"""Variational Bi-LSTM (Shabanian, Arpit, Trischler and Bengio 2017).

b_t          = LSTM_b(x_t, b_{t+1}) over x_t..x_{T+1},  x_{T+1} = y_T        backward LSTM
q(z_t)       = f_q([h_{t-1}, b_t])                                           posterior
p(z_t)       = f_p(h_{t-1}), or N(0, I)                                      prior
p(b_t | z_t) = N(tanh mu, sigma^2), (mu, log sigma^2) = f_a(z_t)             auxiliary
b~_t         ~ p(b_t | z_t)
h_t          = LSTM([x_t, z_t, b~_t], h_{t-1})                               recurrence
p(y_t)       = f_o([h_t, b~_t])                                              output

loss = sum_t - log p(y_t) + w KL(q(z_t) || p(z_t)) - alpha log p(b_t | z_t) - beta log p(h_{t-1} | z_t) + gamma |h_t|^2
"""

import functools

import keras
from keras import ops

from zf_keras.arguments import check_choice, check_non_negative, check_probability
from zf_keras.cells.split_lstm import SplitLSTMCell, lstm_step
from zf_keras.layers.auxiliary_decoder import AuxiliaryDecoder
from zf_keras.models.docs import documented
from zf_keras.models.stochastic_rnn import Steps, StochasticRNN, previous
from zf_keras.probability import float32, reparametrized
from zf_keras.recurrence import recurrence, swap_time_and_batch


def stopped(x, where):
    """`x`, its gradient stopped where `where` is true; everywhere or nowhere for a `bool`."""
    if isinstance(where, bool):
        return ops.stop_gradient(x) if where else x
    return ops.where(ops.cast(where, "bool"), ops.stop_gradient(x), x)


@documented(
    layers="Of the backward LSTM and of the recurrence; there the latents live in the first, the output sees the last."
)
@keras.saving.register_keras_serializable("zf_keras")
class VariationalBiLSTM(StochasticRNN):
    """Variational Bi-LSTM: the latent is a channel from a backward LSTM to the forward one.

    In training and in generation the forward LSTM reads a draw of the backward state given z_t; the backward LSTM
    itself is needed for the posterior alone, and generation does without it (but for the posterior of a prompt).
    Source: Shabanian et al. 2017.

    Args:
        units: int. Size of h_t and of b_t.
        latent_dim: int. Size of z_t.
        {output}
        alpha: float >= 0. Weight of -log p(b_t | z_t), "aux_nll"; it is a density of `units` numbers a step, which
            may come to outweigh the bound. Paper's values: 1, and 0.001 for sequential MNIST. Defaults to `0.005`.
        beta: float >= 0. Weight of -log p(h_{t-1} | z_t), "state_nll"; 0 leaves its network out. Paper's values: 1,
            and 0 for TIMIT and sequential MNIST. Defaults to `0.005`.
        gamma: float >= 0. Weight of the activity regularisation |h_t|^2, "activity", which the paper sets against the
            beta term. Defaults to `0.0`.
        skip_gradient: float in [0, 1]. Probability, for each example and step, that no gradient flows from prior
            and posterior into h_{t-1} and b_t. Defaults to `0.5`.
        auxiliary_gradient: `"full"`: the alpha and beta terms train their targets b_t and h_{t-1} too (paper); or
            `"target"`: the targets are stopped. Defaults to `"full"`.
        prior: `"learned"`, or `"standard_normal"` for N(0, I). Defaults to `"learned"`.
        {shared}

    The backward LSTM reads x_1, y_1, ..., y_T: these are x_1..x_{T+1} where the inputs are the targets a step
    earlier. So the first input must be a frame like the targets.

    Example:

    >>> model = VariationalBiLSTM(units=32, latent_dim=4, output="bernoulli")
    >>> model.compile(optimizer="adam")
    >>> history = model.fit(np.random.randint(0, 2, size=(8, 5, 3)), verbose=0)
    >>> model.generate(batch_size=2, length=5).shape
    (2, 5, 3)
    """

    def __init__(
        self,
        units,
        latent_dim,
        output,
        alpha=0.005,
        beta=0.005,
        gamma=0.0,
        skip_gradient=0.5,
        auxiliary_gradient="full",
        prior="learned",
        **kwargs,
    ):
        super().__init__(units, latent_dim, output, **kwargs)
        self.alpha = check_non_negative("alpha", alpha)
        self.beta = check_non_negative("beta", beta)
        self.gamma = check_non_negative("gamma", gamma)
        self.skip_gradient = check_probability("skip_gradient", skip_gradient)
        self.auxiliary_gradient = check_choice("auxiliary_gradient", auxiliary_gradient, ("full", "target"))
        self.prior = check_choice("prior", prior, ("learned", "standard_normal"))

    @property
    def noise_dim(self):
        return self.latent_dim + self.units

    @property
    def head_input_dim(self):
        return 2 * self.units

    def same_features_for(self):
        return super().same_features_for() or "the backward LSTM of VariationalBiLSTM"

    def _own_weights(self):
        weights = {"aux_nll": self.alpha, "state_nll": self.beta, "activity": self.gamma}
        return {name: weight for name, weight in weights.items() if weight > 0}

    @property
    def term_names(self):
        return (*super().term_names, *self._own_weights())

    def term_weights(self):
        return {**super().term_weights(), **self._own_weights()}

    def build_networks(self, input_dim, target_dim):
        policy = {"dtype": self.dtype_policy}
        self.backward_encoder = self.new_backward_encoder(target_dim)
        self.cell = SplitLSTMCell(self.units, name="cell", **policy)
        self.cell.build((None, input_dim + self.latent_dim + self.units))
        self.posterior = self.new_gaussian("posterior", 2 * self.units)
        self.prior_network = self.new_prior(self.prior, self.units)

        def decoder(name):
            layer = AuxiliaryDecoder(self.units, self.hidden_units, clip=self.clip, name=name, **policy)
            layer.build((None, None, self.latent_dim))
            return layer

        self.auxiliary_decoder = decoder("auxiliary_decoder")
        if self.beta > 0:
            self.state_decoder = decoder("state_decoder")
        self.build_upper()

    def step_weights(self, latent_network):
        """What the loop multiplies by; `latent_network` is that of posterior or prior."""
        auxiliary = self.auxiliary_decoder.network.inside(self.latent_dim)
        return self.cell.inside(self.latent_dim + self.units), latent_network.inside(self.units), auxiliary

    def step(self, weights, state, inputs, skip=False, draw=reparametrized):
        """(h_{t-1}, c_{t-1}) to the same of t. `skip` for all steps, or one more of the inputs."""
        gates_inside, latent_network, auxiliary = weights
        h, c = state
        gates, before, noise, *skip_t = inputs
        latent = latent_network(stopped(h, *(skip_t or [skip])), before)
        z = draw(*latent, noise[..., : self.latent_dim])
        params = auxiliary(z)
        b = reparametrized(*self.auxiliary_decoder.gaussian(params), float32(noise[..., self.latent_dim :]))
        b = ops.cast(b, self.compute_dtype)
        h, c = lstm_step(gates + gates_inside(ops.concatenate([z, b, h], axis=-1)), c)
        return (h, c), (h, z, latent, b, params)

    def _skip(self, shape, training):
        """Whether the gradient stops, 0 or 1 (batch, time, 1), or a `bool` for all; never where none is taken."""
        if training is False or self.skip_gradient in (0, 1):
            return self.skip_gradient == 1
        skip = keras.random.uniform((*shape, 1), seed=self.seed_generator) < self.skip_gradient
        return ops.cast(skip, self.compute_dtype)

    def infer(self, inputs, targets, mask, noise, training):
        batch, time = ops.shape(targets)[:2]
        read = ops.concatenate([inputs[:, :1], targets], axis=1)
        read_mask = None if mask is None else ops.concatenate([mask[:, :1], mask], axis=1)
        b = self.backward_encoder(read, mask=read_mask, training=training)[:, :time]
        skip = self._skip((batch, time), training)
        before_loop = [self.cell.before(inputs), self.posterior.before(stopped(b, skip)), noise]
        step = functools.partial(self.step, skip=skip) if isinstance(skip, bool) else self.step
        before_loop = swap_time_and_batch(before_loop if isinstance(skip, bool) else [*before_loop, skip])
        state, _ = self.initial_state(batch)
        state, out = recurrence(step, self.step_weights(self.posterior), state, before_loop)
        h, z, posterior, b_drawn, params = swap_time_and_batch(out)
        h_before = previous(h)
        prior = self.prior_network(stopped(h_before, skip))
        top, upper_state = self.run_upper(h, training)
        output = self.head(ops.concatenate([top, b_drawn], axis=-1))
        target_stopped = self.auxiliary_gradient == "target"
        extra = {"auxiliary": params, "backward_states": stopped(b, target_stopped)}
        if self.beta > 0:
            extra |= {"state": self.state_decoder(z), "states_before": stopped(h_before, target_stopped)}
        if self.gamma > 0:
            extra["states"] = h
        return Steps(output, prior, posterior, z, extra), (state, upper_state)

    def step_terms(self, steps, sequences):
        terms, extra = super().step_terms(steps, sequences), steps.extra
        if self.alpha > 0:
            terms["aux_nll"] = self.auxiliary_decoder.nll(extra["auxiliary"], extra["backward_states"])
        if self.beta > 0:
            terms["state_nll"] = self.state_decoder.nll(extra["state"], extra["states_before"])
        if self.gamma > 0:
            terms["activity"] = ops.sum(ops.square(float32(extra["states"])), axis=-1)
        return terms

    def make_generate_step(self, draw=reparametrized):
        weights = self.step_weights(self.prior_network)

        def generate_step(state, x, noise):
            state, upper_state = state
            state, (h, _, _, b, _) = self.step(weights, state, (self.cell.before(x), None, noise), draw=draw)
            top, upper_state = self.upper.step(h, upper_state)
            return self.head(ops.concatenate([top, b], axis=-1)), (state, upper_state)

        return generate_step
