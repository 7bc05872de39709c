"""What the models with a latent z_t share: the KL term with its weight and free nats, the bounds, training aids.

loss = nll + w * kl + the model's further terms,    elbo = -(nll + kl)
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from zf_keras.arguments import check_choice, check_non_negative, check_positive, check_size, optional
from zf_keras.inference.latents import encode, interpolate
from zf_keras.inference.likelihood import BOUNDS, log_mean_exp
from zf_keras.inference.particle_loop import particle_loop
from zf_keras.layers.backward_encoder import BackwardEncoder
from zf_keras.layers.lstm_stack import LSTMStack
from zf_keras.layers.network import GaussianNetwork, Network, StandardNormal
from zf_keras.models.base import SequenceModel
from zf_keras.probability import Gaussian, float32
from zf_keras.seeds import seeded, seeds_of_steps


class LatentSteps(NamedTuple):
    """Per-step parameters and terms, each (batch, time, ...)."""

    output: Any  # parameters of p(y_t | ...), (batch, time, head.params_dim)
    prior: Gaussian  # p(z_t | ...), (batch, time, latent_dim) each
    posterior: Gaussian  # q(z_t | ...), (batch, time, latent_dim) each
    latent: Any  # z_t, drawn from the posterior, (batch, time, latent_dim)
    terms: dict  # name -> (batch, time) nats, zero at masked steps

    def log_weight(self):
        """log p(y_t | ...) + log p(z_t | ...) - log q(z_t | ...), (batch, time) nats."""
        return self.prior.log_prob(self.latent) - self.posterior.log_prob(self.latent) - self.terms["nll"]


class LatentModel(SequenceModel):
    """Base of the models with a latent; their `infer` gives `LatentSteps`, by `latent_steps`.

    Args:
        latent_dim: int. Size of z_t.
        kl_weight: float or `keras.optimizers.schedules.LearningRateSchedule`. w, constant or over
            training updates (`KLAnnealing`). The count of updates is saved with the model. Defaults to `1.0`.
        free_nats: float. The KL cost of a step is max(free_nats, KL_t), in nats (Kingma et al. 2016, eq. 15, with
            one group a step). Then "kl" remains the true KL, and the loss has "kl_cost". Defaults to `0.0`.
        clip: float or `None`. Bound of mean and log-variance of the latent's Gaussians. Defaults to `8.0`.
        num_samples: int. K > 1 trains on K draws a sequence, by the `bound`. Validation is on one draw. Defaults
            to `1`.
        bound: what K > 1 draws are trained on. `"iwae"`: the importance-weighted bound (Burda et al. 2016, eq. 8)
            instead of nll + w * kl. `"fivo"`: the bound of a particle filter (Maddison et al. 2017), resampled
            where the effective sample size is below K / 2, without gradients through the resampling; for models
            without further terms. In both w multiplies log q(z) - log p(z). `"elbo"`: the mean of nll + w * kl.
            Defaults to `"iwae"`.
        bag_of_words: float. Weight of "bow_nll", the cost of the words to come given z_t (Zhao et al. 2017,
            here for a latent at every step): the mean of -log p(y_s | z_t) over s >= t. Defaults to `0.0`.
        units, output, ...: as for `SequenceModel`.
    """

    def __init__(
        self,
        units,
        latent_dim,
        output,
        kl_weight=1.0,
        free_nats=0.0,
        clip=8.0,
        num_samples=1,
        bag_of_words=0.0,
        bound="iwae",
        **kwargs,
    ):
        super().__init__(units, output, **kwargs)
        self.bound = check_choice("bound", bound, BOUNDS)
        self.latent_dim = check_size("latent_dim", latent_dim)
        self.num_samples = check_size("num_samples", num_samples)
        self.free_nats = check_non_negative("free_nats", free_nats)
        self.bag_of_words = check_non_negative("bag_of_words", bag_of_words)
        self.clip = optional(check_positive, "clip", clip)
        if not isinstance(kl_weight, keras.optimizers.schedules.LearningRateSchedule):
            kl_weight = check_non_negative("kl_weight", kl_weight)
        self.kl_weight = kl_weight
        if free_nats and num_samples > 1 and bound != "elbo":
            raise ValueError(
                f"`free_nats` bounds the KL, which the objective of num_samples > 1 by {bound!r} does not have. "
                f"Received: free_nats={free_nats}, num_samples={num_samples}."
            )
        if bound == "fivo" and num_samples == 1:
            raise ValueError("`bound='fivo'` needs particles: num_samples > 1. Received: num_samples=1.")
        if bound == "fivo" and self.dropout and self.num_layers > 1:
            raise ValueError(
                "`bound='fivo'` takes single steps, which have no dropout between layers. "
                f"Received: dropout={self.dropout}, num_layers={self.num_layers}."
            )
        for name, given in (("bound", bound == "fivo"), ("bag_of_words", bag_of_words)):
            if self.segment_length and given:
                raise ValueError(
                    f"`segment_length` is not for models with `{name}`, whose steps depend on one another otherwise. "
                    f"Received: segment_length={self.segment_length}, {name}={given if name != 'bound' else bound!r}."
                )
        if self.num_streams and bound == "fivo":
            raise ValueError(
                "`num_streams` is not for models with `bound='fivo'`, whose particles each have a state. "
                f"Received: num_streams={self.num_streams}."
            )
        if bag_of_words and not self.tokens:
            raise ValueError(f"`bag_of_words` needs a categorical output. Received: bag_of_words={bag_of_words}.")

    # Parts that several models have.

    def new_prior(self, prior, input_dim):
        """The prior of a model with the argument `prior`, as a layer on (..., input_dim)."""
        if prior == "standard_normal":
            network = StandardNormal(self.latent_dim, dtype=self.dtype_policy, name="prior")
            network.build((None, None, input_dim))
            return network
        return self.new_gaussian("prior", input_dim)

    def new_gaussian(self, name, input_dim):
        """A network (..., input_dim) to a Gaussian of the latent."""
        network = GaussianNetwork(self.latent_dim, self.hidden_units, self.clip, name=name, dtype=self.dtype_policy)
        network.build((None, None, input_dim))
        return network

    def new_backward_encoder(self, input_dim):
        """The backward LSTM on (..., input_dim), with the model's layers and dropout."""
        encoder = BackwardEncoder(
            self.units,
            self.num_layers,
            self.dropout,
            self.seed_generator,
            dtype=self.dtype_policy,
            name="backward_encoder",
        )
        encoder.lstm.segment_length = self.segment_length
        encoder.build((None, None, input_dim))
        return encoder

    def build_upper(self):
        """The deterministic layers above a stochastic recurrence."""
        self.upper = LSTMStack(
            self.units, self.num_layers - 1, self.dropout, self.seed_generator, dtype=self.dtype_policy, name="upper"
        )
        self.upper.build((None, None, self.units))

    def initial_state(self, batch_size):
        """(h_0, c_0) of the recurrence, and of the layers above it: zeros."""
        zeros = ops.zeros((batch_size, self.units), dtype=self.compute_dtype)
        return (zeros, zeros), self.upper.initial_state(batch_size)

    def run_upper(self, h, training, state):
        """Outputs of the layers above for h (batch, time, units), and their last states."""
        return self.upper(self.drop(h, training) if self.num_layers > 1 else h, state, training=training)

    # Terms, loss and metrics.

    @property
    def noise_dim(self):
        return self.latent_dim

    @property
    def loss_weights(self):
        kl = {"kl": 0.0, "kl_cost": self.kl_weight} if self.free_nats else {"kl": self.kl_weight}
        return {**super().loss_weights, **kl, **nonzero(bow_nll=self.bag_of_words)}

    def current_weights(self):
        schedule = keras.optimizers.schedules.LearningRateSchedule
        return {
            name: float32(weight(self.updates)) if isinstance(weight, schedule) else weight
            for name, weight in self.loss_weights.items()
        }

    def metric_names(self):
        return (*super().metric_names(), "kl_weight")

    @seeded("LatentModel.build")
    def build(self, input_shape):
        further = [name for name in self.loss_weights if name not in ("nll", "kl")]
        if self.bound == "fivo" and further:
            raise ValueError(f"`bound='fivo'` has no place for the term {further[0]!r}: set its weight to 0.")
        super().build(input_shape)
        if self.bag_of_words:
            self.bag_of_words_network = Network(
                self.head.num_classes, self.hidden_units, dtype=self.dtype_policy, name="bag_of_words"
            )
            self.bag_of_words_network.build((None, None, self.latent_dim))
        self.updates = self.add_weight(shape=(), dtype="int", initializer="zeros", trainable=False, name="updates")

    def sequences(self, data, training=False):
        return super().sequences(data, training and self.bound != "fivo")  # particles are not rows

    def steps(self, sequences, noise, context=None, training=None, state=None):
        if training and self.bound == "fivo":
            return self._particle_steps(sequences)
        return super().steps(sequences, noise, context, training, state)

    def _particle_steps(self, sequences):
        """`LatentSteps` of the terms alone: "nll" and "kl", means over the particles, and "fivo", what is minimised."""
        x, y = self.read(sequences, True)
        context, mask = self.context(x, y, sequences.mask, True), sequences.mask

        def terms(steps, y, log_probs, log_weights, log_ratio):
            of_particles = (-log_probs, steps.posterior.kl(steps.prior))
            weights = ops.exp(log_weights)
            return [ops.sum(weights * ops.reshape(x, ops.shape(weights)), axis=1) for x in of_particles]

        seeds = seeds_of_steps(ops.shape(sequences.targets)[1], self.seed_generator)
        scores, (nll, kl) = particle_loop(
            self,
            sequences,
            x,
            context,
            seeds,
            num_particles=self.num_samples,
            proposal="posterior",
            resample_below=0.5,
            resampling="systematic",
            each=terms,
            kl_weight=self.current_weights()["kl"],
        )
        terms = {"nll": nll, "kl": kl, "fivo": -scores}
        if mask is not None:
            terms = {name: ops.where(mask, term, 0.0) for name, term in terms.items()}
        return self.steps_of(terms)

    def steps_of(self, terms):
        return LatentSteps(None, None, None, None, terms)

    def latent_steps(self, sequences, output, prior, posterior, latent, **terms):
        """`LatentSteps` of a batch: the terms that all models have, then the model's own."""
        kl = posterior.kl(prior)
        shared = {"nll": -self.score(output, sequences.targets, sequences.scale, sequences.observed), "kl": kl}
        if self.free_nats:
            shared["kl_cost"] = ops.maximum(kl, self.free_nats)
        if self.bag_of_words:
            shared["bow_nll"] = self._bag_of_words_nll(latent, sequences)
        if self.num_samples > 1 and self.bound == "iwae":
            shared["sampled_kl"] = posterior.log_prob(latent) - prior.log_prob(latent)
        return LatentSteps(output, prior, posterior, latent, shared | terms)

    def _bag_of_words_nll(self, z, sequences):
        log_probs = ops.log_softmax(float32(self.bag_of_words_network(z)), axis=-1)
        words = ops.cast(ops.expand_dims(sequences.targets, 1), "int32")  # (batch, 1, time)
        batch, _, time = ops.shape(words)
        # (batch, t, s): log p(y_s | z_t)
        log_probs = ops.take_along_axis(log_probs, ops.broadcast_to(words, (batch, time, time)), axis=2)
        step = ops.arange(time, dtype="int32")
        to_come = ops.expand_dims(step[None, :] >= step[:, None], 0)
        if sequences.mask is not None:
            to_come = ops.logical_and(to_come, ops.expand_dims(sequences.mask, 1))
        to_come = float32(to_come)
        return -ops.sum(to_come * log_probs, axis=2) / ops.maximum(ops.sum(to_come, axis=2), 1.0)

    def objective(self, terms, weights, training):
        if training and self.bound == "fivo":
            return terms["fivo"]
        if not training or self.num_samples == 1 or self.bound == "elbo":
            return super().objective(terms, weights, training)
        log_weights = -(terms["nll"] + weights["kl"] * terms["sampled_kl"])
        bound = log_mean_exp(self._by_sequence(log_weights))
        others = {name: weight for name, weight in weights.items() if name not in ("nll", "kl")}
        if not others:
            return -bound
        return ops.mean(self._by_sequence(super().objective(terms, others, training)), axis=1) - bound

    def _by_sequence(self, x):
        return ops.reshape(x, (-1, self.num_samples))

    def metric_values(self, terms, weights):
        # Weighted by the cost that it multiplies: so the means over an epoch in which the weight rises
        # still add up to the loss. The tiny number is for a cost of zero.
        cost = "kl_cost" if self.free_nats else "kl"
        kl_weight = ops.broadcast_to(float32(weights[cost]), ops.shape(terms[cost]))
        return {
            **super().metric_values(terms, weights),
            "elbo": (-(terms["nll"] + terms["kl"]), None),
            "kl_weight": (kl_weight, terms[cost] + 1e-12),
        }

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training:
            self.updates.assign_add(1)
        return loss

    encode = encode
    interpolate = interpolate


def nonzero(**weights):
    """The weights that are not zero: a term of weight zero is left out, with its network."""
    return {name: weight for name, weight in weights.items() if weight}


def previous(first, h):
    """h_{t-1} for every t, with `first` (batch, units) as h_0. h: (batch, time, units)."""
    batch, time, units = ops.shape(h)
    # On TensorFlow the gradient of `slice` is faster than that of an index.
    return ops.concatenate([first[:, None], ops.slice(h, (0, 0, 0), (batch, time - 1, units))], axis=1)
