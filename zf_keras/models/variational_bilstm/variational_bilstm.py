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

from typing import Unpack

import keras
from keras import ops

from zf_keras.arguments import check_choice, check_non_negative, check_probability
from zf_keras.cells.split_lstm import SplitLSTMCell
from zf_keras.layers.auxiliary_decoder import AuxiliaryDecoder
from zf_keras.layers.network import split_gaussian
from zf_keras.loops.parts import Part, draw, gated, joined
from zf_keras.loops.recurrence import recurrence
from zf_keras.loops.scan import swap_time_and_batch
from zf_keras.models.arguments import OfLatent, documented
from zf_keras.models.latent import LatentModel, LatentSteps, nonzero, previous
from zf_keras.probability import float32, reparametrized


class StopGradientWhere(Part):
    """x, with its gradient stopped where the other argument, (..., 1), is 1, not where it is 0."""

    reads_arguments = (1,)

    def forward(self, x, where):
        return (ops.where(ops.cast(where, "bool"), ops.stop_gradient(x), x),)

    def gradient(self, arguments, results):
        return 1 - arguments[1], lambda kept, d: (d * kept, None)


class DrawState(Part):
    """b~_t from the parameters of p(b_t | z_t) and standard-normal noise."""

    reads_arguments = (0, 1)

    def __init__(self, decoder):
        self.decoder = decoder

    def forward(self, params, noise):
        return (ops.cast(reparametrized(*self.decoder.gaussian(params), float32(noise)), params.dtype),)

    def gradient(self, arguments, results):
        params, noise = arguments
        mean, log_variance = self.decoder.gaussian(params)
        sigma = ops.exp(0.5 * log_variance)
        slopes = [1 - ops.square(mean), 0.5 * sigma * float32(noise)]
        slopes = joined(slopes[: params.shape[-1] // noise.shape[-1]])
        if self.decoder.clip is not None:
            slopes = ops.where(ops.abs(float32(params)) < self.decoder.clip, slopes, 0.0)
        return [ops.cast(each, params.dtype) for each in (slopes, sigma)], self.back

    def back(self, slopes, d):
        slopes, sigma = slopes
        return joined([d] * (slopes.shape[-1] // d.shape[-1])) * slopes, d * sigma


stop_gradient_where = StopGradientWhere()


@documented(
    layers="of the backward LSTM and of the recurrence, whose first has the latents and whose last the output reads"
)
@keras.saving.register_keras_serializable("zf_keras")
class VariationalBiLSTM(LatentModel):
    """Variational Bi-LSTM: the latent is a channel from a backward LSTM to the forward one.

    In training and in generation the forward LSTM reads a draw of the backward state given z_t; only the
    posterior needs the backward LSTM itself, so generation uses it for a prompt alone.
    Source: Shabanian et al. 2017.

    Args:
        units: int. Size of h_t and of b_t.
        latent_dim: int. Size of z_t.
        {output}
        alpha: float >= 0. Weight of -log p(b_t | z_t), "aux_nll"; it is a density of `units` numbers a step, which
            may come to outweigh the bound. Paper's values: 1, and 0.001 for sequential MNIST. Defaults to `0.005`.
        beta: float >= 0. Weight of -log p(h_{t-1} | z_t), "state_nll"; 0 leaves its network out. Paper's values: 1,
            and 0 for TIMIT and sequential MNIST. Defaults to `0.005`.
        gamma: float >= 0. Weight of the activity regularisation |h_t|^2, "activity", which the paper compares with
            the beta term. Defaults to `0.0`.
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
        **kwargs: Unpack[OfLatent],
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

    @property
    def same_features_reason(self):
        return super().same_features_reason or "the backward LSTM of VariationalBiLSTM"

    @property
    def loss_weights(self):
        own = nonzero(aux_nll=self.alpha, state_nll=self.beta, activity=self.gamma)
        return {**super().loss_weights, **own}

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

    def context(self, x, y, mask, training, state=None):
        read = ops.concatenate([x[:, :1], y], axis=1)
        read_mask = None if mask is None else ops.concatenate([mask[:, :1], mask], axis=1)
        return self.backward_encoder(read, mask=read_mask, training=training)[:, : ops.shape(y)[1]]

    def infer(self, x, context, sequences, noise, training, state=None):
        b, skip, terms = context, self._skip(ops.shape(x)[:2], training), {}

        def stopped(x):
            return x if skip is None else stop_gradient_where(x, skip)

        # q(z_t) = f_q([h_{t-1}, b_t]),  b~_t ~ p(b_t | z_t),  h_t = LSTM([x_t, z_t, b~_t], h_{t-1})
        read = [x, stopped(b), noise] + ([] if skip is None else [skip])
        x, b_stopped, noise, *skips = swap_time_and_batch(read)
        known = [self.cell.precomputed_gates(x), self.posterior.precomputed(b_stopped), *self._split(noise), *skips]
        first, upper_state = state or self.initial_state(ops.shape(b)[0])
        state, out = recurrence(self.transition, self.step_weights("posterior"), first, known)
        h, z, q, b_drawn, b_params = swap_time_and_batch(out)
        q = split_gaussian(q, None)
        h_before = previous(first[0], h)
        # p(z_t) = f_p(h_{t-1})
        p = self.prior_network(stopped(h_before))
        # p(y_t) = f_o([h_t, b~_t])
        top, upper_state = self.run_upper(h, training, upper_state)
        output = self.head(ops.concatenate([top, b_drawn], axis=-1))
        # p(b_t | z_t),  p(h_{t-1} | z_t),  |h_t|^2
        target = ops.stop_gradient if self.auxiliary_gradient == "target" else lambda x: x
        if self.alpha:
            terms["aux_nll"] = self.auxiliary_decoder.nll(b_params, target(b))
        if self.beta:
            terms["state_nll"] = self.state_decoder.nll(self.state_decoder(z), target(h_before))
        if self.gamma:
            terms["activity"] = ops.sum(ops.square(float32(h)), axis=-1)
        return self.latent_steps(sequences, output, p, q, z, **terms), (state, upper_state)

    def _skip(self, shape, training):
        """1 where the gradient stops, else 0, (batch, time, 1); `None` for nowhere, and with training=False."""
        if training is False or self.skip_gradient == 0:
            return None
        if self.skip_gradient == 1:
            return ops.ones((*shape, 1), dtype=self.compute_dtype)
        skip = keras.random.uniform((*shape, 1), seed=self.seed_generator) < self.skip_gradient
        return ops.cast(skip, self.compute_dtype)

    def transition(self, weights, state, inputs, latent=None):
        """From (h_{t-1}, c_{t-1}) to (h_t, c_t); z_t is drawn from the network of `weights`."""
        loop_gates, network, auxiliary = weights
        h, c = state
        gates, known, noise, state_noise, *skip = inputs
        drawn_from = network(stop_gradient_where(h, *skip) if skip else h, known)
        z = draw(drawn_from, noise) if latent is None else latent
        b_params = auxiliary(z)
        b = DrawState(self.auxiliary_decoder)(b_params, state_noise)
        h, c, _ = gated(gates + loop_gates(z, b, h), c)
        return (h, c), (h, z, drawn_from, b, b_params)

    def _split(self, noise):
        """The noise of z_t, and that of b~_t."""
        return ops.split(noise, [self.latent_dim], axis=-1)

    def step_weights(self, source="prior"):
        network = self.prior_network if source == "prior" else self.posterior
        auxiliary = self.auxiliary_decoder.network.for_loop(self.latent_dim)
        return self.cell.loop_gates(self.latent_dim + self.units), network.for_loop(self.units), auxiliary

    def step(self, weights, state, x, noise, context=None, latent=None):
        state, upper_state = state
        h_before = state[0]
        known = None if context is None else self.posterior.precomputed(context)
        inputs = (self.cell.precomputed_gates(x), known, *self._split(noise))
        state, (h, z, drawn_from, b, _) = self.transition(weights, state, inputs, latent)
        drawn_from = split_gaussian(drawn_from, None)
        p, q = (drawn_from, None) if context is None else (self.prior_network(h_before), drawn_from)
        top, upper_state = self.upper.step(h, upper_state)
        return LatentSteps(self.head(ops.concatenate([top, b], axis=-1)), p, q, z, {}), (state, upper_state)
