"""What the models with a latent z_t share: the KL term with its weight and free nats, the bound, encoding.

loss = nll + w * kl + the model's further terms,    elbo = -(nll + kl)
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_non_negative, check_positive_int
from zf_keras.compiled import compiled
from zf_keras.models.sequence_model import SequenceModel
from zf_keras.probability import Gaussian, float32


class Steps(NamedTuple):
    """Per-step parameters, each (batch, time, ...)."""

    output: Any  # parameters of p(y_t | ...), (batch, time, head.params_dim)
    prior: Gaussian  # p(z_t | ...), (batch, time, latent_dim) each
    posterior: Gaussian  # q(z_t | ...), (batch, time, latent_dim) each
    latent: Any  # z_t, drawn from the posterior, (batch, time, latent_dim)
    extra: dict  # what the model's further terms need, by name


class Encoding(NamedTuple):
    """The posterior of every step, each (batch, time, latent_dim); zero at masked steps."""

    mean: Any
    sample: Any


class StochasticRNN(SequenceModel):
    """Base of the models with a latent; their `infer` gives `Steps`.

    Args:
        latent_dim: int. Size of z_t.
        kl_weight: float or `keras.optimizers.schedules.LearningRateSchedule`. w, constant or over
            training updates (`KLAnnealing`). The count of updates is saved with the model. Defaults to `1.0`.
        free_nats: float. The KL cost of a step is max(free_nats, KL_t), in nats (Kingma et al. 2016, eq. 15, with
            one group a step). Then "kl" stays the true KL, and "kl_cost" is what the loss has. Defaults to `0.0`.
        units, output, ...: as for `SequenceModel`.
    """

    def __init__(self, units, latent_dim, output, kl_weight=1.0, free_nats=0.0, **kwargs):
        super().__init__(units, output, **kwargs)
        check_positive_int("latent_dim", latent_dim)
        check_non_negative("free_nats", free_nats)
        if not isinstance(kl_weight, keras.optimizers.schedules.LearningRateSchedule):
            check_non_negative("kl_weight", kl_weight)
        self.latent_dim = latent_dim
        self.kl_weight = kl_weight
        self.free_nats = free_nats

    @property
    def noise_dim(self):
        return self.latent_dim

    @property
    def term_names(self):
        return ("nll", "kl", *(("kl_cost",) if self.free_nats else ()))

    def metric_names(self):
        return (*super().metric_names(), "kl_weight")

    def build(self, input_shape):
        super().build(input_shape)
        self.updates = self.add_weight(shape=(), dtype="int", initializer="zeros", trainable=False, name="updates")

    def current_kl_weight(self):
        """w of the next update."""
        if isinstance(self.kl_weight, keras.optimizers.schedules.LearningRateSchedule):
            return float32(self.kl_weight(self.updates))
        return float32(self.kl_weight)

    def step_terms(self, steps, sequences):
        terms = super().step_terms(steps, sequences)
        terms["kl"] = steps.posterior.kl(steps.prior)
        if self.free_nats:
            terms["kl_cost"] = ops.maximum(terms["kl"], self.free_nats)
        return terms

    def term_weights(self):
        kl_cost = "kl_cost" if self.free_nats else "kl"
        return {**super().term_weights(), kl_cost: self.current_kl_weight()}

    def metric_values(self, terms, weights):
        kl_cost = "kl_cost" if self.free_nats else "kl"
        # Weighted by the cost that it multiplies: so the means over an epoch in which the weight rises
        # still add up to the loss. The tiny number is for a cost of zero.
        kl_weight = ops.broadcast_to(weights[kl_cost], ops.shape(terms["kl"]))
        return {
            **super().metric_values(terms, weights),
            "elbo": (-(terms["nll"] + terms["kl"]), None),
            "kl_weight": (kl_weight, terms[kl_cost] + 1e-12),
        }

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if training:
            self.updates.assign_add(1)
        return loss

    def step_log_weights(self, steps, sequences):
        log_ratio = steps.prior.log_prob(steps.latent) - steps.posterior.log_prob(steps.latent)
        return super().step_log_weights(steps, sequences) + log_ratio

    def encode(self, data, seed=None, batch_size=128, verbose="auto"):
        """The posterior q(z_t | ...) of every step.

        Args:
            data: array or dict.
            seed: int or `None`. The same seed gives the same samples; `None` goes on with the model's own.
            batch_size: int. Sequences computed at a time. Defaults to `128`.
            verbose: `"auto"`, 0 or 1. As for `log_likelihood`.

        Returns:
            `Encoding(mean, sample)`, NumPy arrays (batch, time, latent_dim) each. The means are given the
            samples of the steps before.

        Raises:
            ValueError: names what is wrong with an argument.
        """
        check_positive_int("batch_size", batch_size)
        data = self._concrete(data)
        count, time = self._count_and_time(data)
        passes = self._passes(data, np.arange(count), time, seed, batch_size, verbose)
        encodings = [map(ops.convert_to_numpy, self._encode(*batch)) for batch in passes]
        return Encoding(*(np.concatenate(parts)[:count] for parts in zip(*encodings, strict=True)))

    @compiled
    def _encode(self, data, noise):
        steps, mask = self(data, noise=noise), self.sequences(data).mask
        encoding = (float32(steps.posterior.mean), float32(steps.latent))
        if mask is None:
            return encoding
        return tuple(ops.where(ops.expand_dims(mask, -1), x, 0.0) for x in encoding)
