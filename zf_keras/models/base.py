"""What all models compute: data to sequences, terms to loss and metrics.

Data flows one way. `call`: data -> `Sequences` -> the model's `context` and `infer` -> `Steps` with per-step parameters
and terms, (batch, time) nats each. `compute_loss`: terms -> summed over the steps, weighed, averaged over the batch.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zf_keras import replicas
from zf_keras._private import loss_metric
from zf_keras.arguments import check_finite
from zf_keras.compiled import compiled
from zf_keras.data.checks import check, check_categories, check_inputs_given, check_streams
from zf_keras.data.padding import cut, padded_size, padded_to, pads
from zf_keras.data.sequences import FIRST, is_concrete
from zf_keras.export.model import export
from zf_keras.inference.generation import forecast, generate
from zf_keras.inference.imputation import impute
from zf_keras.inference.likelihood import log_likelihood
from zf_keras.inference.particles import step_scores
from zf_keras.inference.passes import arrays, count_and_time, noise_of, rows_of
from zf_keras.inference.prompts import prompt_state
from zf_keras.models.fitting import check_only_x
from zf_keras.models.reading import ReadingModel
from zf_keras.models.segments import segmented_terms
from zf_keras.presets.model import PresetsOfClass, from_preset, save_to_preset


class Steps(NamedTuple):
    """Per-step parameters and terms of a model without latents."""

    output: Any  # parameters of p(y_t | ...), (batch, time, head.params_dim)
    terms: dict  # name -> (batch, time) nats, zero at masked steps

    def log_weight(self):
        """log p(y_t | ...), (batch, time) nats."""
        return -self.terms["nll"]


class SequenceModel(ReadingModel):
    """Base of all models.

    What a model defines:

    - `build_networks(input_dim, target_dim)`: its layers; `head_input_dim`, where f_o reads more than `units` numbers.
    - `context(x, y, mask, training, state)`: what it computes from a sequence without any latent; nothing by default.
    - `infer(x, context, sequences, noise, training, state)`: `Steps` of a batch with its terms, and the last state.
    - `initial_state(batch_size)`, `step_weights(source)` and `step(weights, state, x, noise, context, latent)`: one
      step, for generation and filters.
    - `prompt_context` and `prompt_state`, where `step` leaves a part of the state to what `context` gives.
    - `loss_weights`, where it has further terms; `same_features_reason` and `scores_inputs`, where they differ.
    """

    #: Whether a term of the loss scores the inputs too.
    scores_inputs = False

    # What a model defines.

    @property
    def is_autoregressive(self):
        """Whether the inputs are the targets a step earlier, so that what is drawn can be the next input."""
        return self.lagged and self.features["inputs"] == self.features["targets"]

    def context(self, x, y, mask, training, state=None):
        """What the model computes from a batch without any latent: a nest of tensors (batch, ...).

        Args:
            x: tensor (batch, time, input_dim), embedded inputs.
            y: tensor (batch, time, target_dim), embedded targets.
            mask: tensor (batch, time), true where valid, or `None`.
            training: bool or `None`. Whether to drop.
            state: of `carried_state`, before the first step, for recurrences that do not depend on the latent. Defaults
                to zeros.
        """
        return ()

    def step_context(self, context):
        """What `step` reads of a context: a nest of tensors (batch, time, ...)."""
        return context

    def prompt_context(self, x, y, mask):
        """`context` of the prompts of a forecast, as `prompt_state` reads it."""
        return self.context(x, y, mask, False)

    def infer(self, x, context, sequences, noise, training, state=None):
        """Per-step parameters and terms of a batch.

        Args:
            x: tensor (batch, time, input_dim), embedded inputs.
            context: what `context` returned.
            sequences: `Sequences`, what is scored.
            noise: tensor (batch, time, noise_dim).
            training: bool or `None`. Whether to drop.
            state: the state before the first step, as of `initial_state`, which is the default.

        Returns:
            `Steps`, each (batch, time, ...), and the state after the last step.
        """
        raise NotImplementedError

    def initial_state(self, batch_size):
        """The state before the first step: a nest of tensors (batch_size, ...)."""
        raise NotImplementedError

    def initial_context_state(self, batch_size):
        """The state before the first step of those recurrences of `context` that `initial_state` has nothing of."""
        return ()

    def context_state(self, context):
        """As `initial_context_state`, after the last step."""
        return ()

    def carried_state(self, batch_size):
        """What training with `num_streams` carries on: the states of `infer`, and of the context."""
        return self.initial_state(batch_size), self.initial_context_state(batch_size)

    def step_weights(self, source="prior"):
        """What `step` multiplies by, read and cast once before a loop.

        Args:
            source: `"prior"` or `"posterior"`. What the latent is drawn from. Defaults to `"prior"`.
        """
        return ()

    def step(self, weights, state, x, noise, context=None, latent=None):
        """One step, the same as each of those that `infer` takes.

        Args:
            weights: of `step_weights`.
            state: nest of tensors (batch, ...), as of `initial_state`.
            x: tensor (batch, input_dim), embedded x_t.
            noise: tensor (batch, noise_dim).
            context: nest of tensors (batch, ...), `step_context` at this step, if z_t is drawn from the posterior;
                `weights` are then of that source. Defaults to `None`: z_t is drawn from the prior.
            latent: tensor (batch, latent_dim), z_t itself, if it is given. Defaults to `None`.

        Returns:
            `Steps` of the one step, (batch, ...) each, without terms, and the state after it.
        """
        raise NotImplementedError

    @property
    def loss_weights(self):
        """Terms of the loss, in the order of the metrics: name -> its weight, a number or schedule over updates."""
        return {"nll": 1.0}

    def current_weights(self):
        """The loss weights of the next update: name -> number or scalar tensor."""
        return self.loss_weights

    def metric_values(self, terms, weights):
        """Metrics of a batch: a dict name -> (values (batch,), the weight of each in the mean, or `None`)."""
        return {"elbo": (-terms["nll"], None), **{name: (terms[name], None) for name in weights}}

    def metric_names(self):
        return ("elbo", *self.loss_weights)

    # From data to loss.

    def check_data(self, data):
        """Raises a `ValueError` that names what is wrong with `data`, an array or dict, if anything is."""
        if self.replicas > 1 and (data := replicas.without_filling(data)) is None:
            return
        features = self.features if self.built else None
        check(data, self._head_template, features, self.scores_inputs, self.missing, self.scaling is not None)
        check_categories(data, self.cardinalities)
        check_inputs_given(data, self.lagged)

    def check_training_data(self, data):
        if self.num_streams:
            check_streams(data, self.num_streams)
        if self.scaling is not None and self.built and not self.scaling.adapted:
            raise ValueError("`scaling` is not known: call `model.adapt(training_data)` before `fit`.")
        self.check_data(data)

    def draw_noise(self, batch_size, time, generator):
        """Standard-normal noise (batch_size, time, noise_dim), the same under every precision, up to rounding."""
        noise = keras.random.normal((batch_size, time, self.noise_dim), dtype="float32", seed=generator)
        return ops.cast(noise, self.compute_dtype)

    def call(self, data, training=None, noise=None):
        sequences = self.sequences(data, training)
        if noise is None:
            noise = self.draw_noise(*ops.shape(sequences.targets)[:2], self.seed_generator)
        if not training or not self.num_streams:
            return self.steps(sequences, noise, training=training)
        state = self.kept.before(ops.repeat(ops.cast(data[FIRST], "bool"), self.num_samples))
        return self.steps(sequences, noise, training=training, state=state)

    def steps(self, sequences, noise, context=None, training=None, state=None):
        """`Steps` of a batch, their terms zero at masked steps.

        Args:
            sequences: `Sequences`.
            noise: tensor (batch, time, noise_dim).
            context: of `context`, if it is known. Defaults to `None`.
            training: bool or `None`. Whether to drop.
            state: of `carried_state`, before the first step; that after the last is kept for the batch to come.
                Defaults to `None`, the initial one, and nothing is kept.
        """
        x, y = self.read(sequences, training)
        if context is None:
            context = self.context(x, y, sequences.mask, training, **({} if state is None else {"state": state}))
        first = {} if state is None else {"state": state[0]}
        if training and self.segment_length:
            terms, last = segmented_terms(self, x, context, sequences, noise, training, **first)
            steps = self.steps_of(terms)
        else:
            steps, last = self.infer(x, context, sequences, noise, training, **first)
        if steps.output is not None:
            steps = steps._replace(output=self.in_units(steps.output, sequences.scale))
        if state is not None:
            self.kept.keep((last, self.context_state(context)))
        if sequences.mask is None:
            return steps
        return steps._replace(terms={k: ops.where(sequences.mask, v, 0.0) for k, v in steps.terms.items()})

    def steps_of(self, terms):
        """`Steps` of terms alone."""
        return Steps(None, terms)

    def loss_terms(self, data, noise=None):
        """The terms of the loss, before their weights.

        Args:
            data: array or dict.
            noise: tensor (batch, time, noise_dim), instead of a standard-normal draw. Defaults to a draw.

        Returns:
            Dict of tensors (batch,), in nats a sequence.

        Raises:
            ValueError: names what is wrong with `data` or `noise`.
        """
        if is_concrete(data):
            data = arrays(self, data)
        count, time = count_and_time(data)
        padded = pads((data, noise))
        size, steps = (padded_size(count), padded_size(time)) if padded else (count, time)
        if noise is None:
            draw = noise_of if padded else type(self).draw_noise
            noise = draw(self, size, time, self.seed_generator)
        else:
            if is_concrete(noise):
                check_finite("noise", noise)
            expected = (count, time, self.noise_dim)
            if tuple(noise.shape) != expected:
                raise ValueError(f"`noise` must be of shape {expected}. Received: shape={tuple(noise.shape)}.")
            noise = padded_to(ops.convert_to_numpy(noise), size, steps) if padded else noise
        if padded:
            data = rows_of(data, np.resize(np.arange(count), size))
        terms = self._loss_terms(keras.tree.map_structure(ops.convert_to_tensor, data), noise)
        return {name: cut(term, count) for name, term in terms.items()}

    @compiled
    def _loss_terms(self, data, noise):
        return self._sums(self(data, noise=noise))

    def _sums(self, steps):
        """The terms of each sequence, (batch,) nats."""
        return {name: ops.sum(term, axis=1) for name, term in steps.terms.items()}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        check_only_x(y, sample_weight)
        terms, weights = self._sums(y_pred), self.current_weights()
        values, objective = self.metric_values(terms, weights), self.objective(terms, weights, training)
        if self.replicas == 1:
            for name, value in values.items():
                self._means[name].update_state(*value)
            return ops.mean(objective)
        rows = replicas.counted(x)
        for name, (value, value_weights) in values.items():
            of_value = replicas.of_values(rows, value)
            self._means[name].update_state(value, of_value if value_weights is None else of_value * value_weights)
        loss_metric(self).add(objective, rows)
        return replicas.mean(objective, rows)

    def objective(self, terms, weights, training):
        """What is minimised, from the terms of each sequence: (batch,) nats."""
        return sum(weight * terms[name] for name, weight in weights.items())

    # Services: functions of a model.

    log_likelihood = log_likelihood
    generate = generate
    forecast = forecast
    impute = impute
    step_scores = step_scores
    prompt_state = prompt_state
    export = export
    save_to_preset = save_to_preset
    from_preset = classmethod(from_preset)
    presets = PresetsOfClass()
