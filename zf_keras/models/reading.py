"""From data to what the networks read: frames scaled and embedded, covariates beside them, gaps filled.

x_t = [embed((y_{t-1} - shift) / scale), u_t, missing_{t-1}],    y_t likewise, with u_t and missing_t

u_t: covariates, static numbers, embedded ids, and the logarithm of a scale by sequence. In the place of a missing
y_{t-1} x_t has the model's own mean, its latents at the means of their prior, given all that came before.
"""

import keras
import numpy as np
from keras import ops

from zf_keras.data.moments import Moments
from zf_keras.data.sequences import Sequences, sequences_of
from zf_keras.inference.passes import frames_of
from zf_keras.loops.scan import scan
from zf_keras.loops.xla import is_portable
from zf_keras.models.configured import ConfiguredModel
from zf_keras.probability import float32


class ReadingModel(ConfiguredModel):
    """A model that knows what its networks read, and in which units its output is."""

    def sequences(self, data, training=False):
        """`Sequences` of an array or dict; in training `num_samples` rows of each."""
        if not isinstance(data, dict):
            data = {"targets": data}
        if self.missing or self.scaling is not None:
            data = {key: float32(x) if key in ("targets", "inputs") and x is not None else x for key, x in data.items()}
        sequences = sequences_of(data, self.start, self.missing is not None)
        scale = None if self.scaling is None else self.scaling.of_sequences(sequences.targets, self._valid(sequences))
        known = self.known(data, ops.shape(sequences.targets)[1], scale)
        if known is not None and sequences.mask is not None:
            known = ops.where(ops.expand_dims(sequences.mask, -1), known, 0.0)
        if scale is not None:
            scale = scale * ops.ones_like(sequences.targets)
        sequences = sequences._replace(known=known, scale=scale)
        if self.missing and data.get("inputs") is None:
            read = ops.concatenate([sequences.inputs[:, :1], self.filled(sequences)[:, :-1]], axis=1)
            sequences = sequences._replace(inputs=read)
        if not training or self.num_samples == 1:
            return sequences
        return Sequences(*(x if x is None else ops.repeat(x, self.num_samples, axis=0) for x in sequences))

    @property
    def start(self):
        """x_1 where it is not known: the start token, or the frame that is read as zeros."""
        if self.tokens:
            return self.start_token
        return 0.0 if self.scaling is None or self.scaling.by_sequence else ops.convert_to_tensor(self.scaling.shift)

    def start_frames(self, batch_size):
        """`start` of each of some sequences, (batch_size, ...)."""
        shape = (batch_size,) if self.tokens else (batch_size, self.features["targets"])
        return self.head.as_values(ops.zeros(shape) + self.start)

    def _valid(self, sequences):
        """Where a value of the targets is there, or `None`."""
        valid = sequences.observed
        if sequences.mask is None:
            return valid
        mask = ops.expand_dims(sequences.mask, -1)
        return mask if valid is None else ops.logical_and(mask, valid)

    def known(self, data, time, scale=None):
        """What is read beside each frame, (batch, time, known_dim), of a dict with the model's covariates.

        Args:
            data: dict.
            time: int or scalar tensor. Steps.
            scale: tensor (batch, 1, features), of `Scaling.of_sequences`, or `None`.

        Returns:
            Tensor, or `None` where there is nothing to read.
        """
        if not self.known_dim:
            return None
        parts, of_sequence = [], []
        if "covariates" in self.features:
            covariates = ops.cast(data["covariates"], self.compute_dtype)
            of_frames = data.get("targets") is None and data.get("inputs") is not None
            parts.append(covariates[:, 1:] if of_frames else covariates)
        if "static" in self.features:
            of_sequence.append(ops.cast(data["static"], self.compute_dtype))
        for column, table in enumerate(self.category_tables):
            of_sequence.append(table(ops.cast(data["categories"], "int32")[:, column]))
        if scale is not None:
            of_sequence.append(ops.cast(ops.log(scale[:, 0]), self.compute_dtype))
        if of_sequence:
            parts.append(ops.repeat(ops.concatenate(of_sequence, axis=-1)[:, None], time, axis=1))
        return ops.concatenate(parts, axis=-1)

    def embed(self, frames, scale=None):
        """Frames (..., features) or tokens (...) as the recurrences read them, but for what is beside them."""
        if self.tokens:
            frames = ops.cast(frames, "int32")
        elif self.scaling is not None:
            frames = self.scaling(frames, scale)
        if self.embedding is not None:
            return self.embedding(frames if self.tokens else ops.cast(frames, self.compute_dtype))
        if self.tokens:
            return ops.one_hot(frames, self.head.num_classes, dtype=self.compute_dtype)
        return ops.cast(frames, self.compute_dtype)

    def beside(self, embedded, known=None, observed=None):
        """Embedded frames (..., dim) with what is read beside them, and flags where a value is missing."""
        parts = [embedded] if known is None else [embedded, known]
        if self.missing:
            flags = ops.zeros((*ops.shape(embedded)[:-1], self.features["targets"]), dtype=self.compute_dtype)
            if observed is not None:
                flags = 1.0 - ops.cast(observed, self.compute_dtype)
            parts.append(flags)
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def read_frames(self, frames, known=None, scale=None, observed=None):
        """x_t, of one step or of all, as `step` and the networks read it, without dropout.

        Args:
            frames: tensor (..., features), or (...) of tokens.
            known: of `known`, at these steps.
            scale: tensor (..., features), of `Sequences`, or `None`.
            observed: bool tensor (..., features), of the frames; `None` for all.
        """
        return self.beside(self.embed(frames, scale), known, observed)

    def drop(self, x, training):
        """`x` with dropout in training."""
        if not training or not self.dropout:
            return x
        return keras.random.dropout(x, self.dropout, seed=self.seed_generator)

    def _embed_inputs(self, inputs, scale, training):
        """x_t as it is embedded, words dropped in training (Bowman et al. 2016)."""
        if not training or not self.word_dropout:
            return self.embed(inputs, scale)
        dropped = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator) < self.word_dropout
        if self.unknown_token is not None:
            return self.embed(ops.where(dropped, ops.cast(self.unknown_token, inputs.dtype), inputs))
        embedded = self.embed(inputs)
        return ops.where(ops.expand_dims(dropped, -1), ops.zeros_like(embedded), embedded)

    def read(self, sequences, training=None):
        """x_t and y_t as the networks read them: embedded, with dropout in training. (batch, time, ...) each."""
        inputs, targets, _, known, scale, observed, inputs_observed = sequences
        x = self.beside(self._embed_inputs(inputs, scale, training), known, inputs_observed)
        x = self.drop(x, training)
        return x, self.drop(self.beside(self.embed(targets, scale), known, observed), training)

    # The output, in the user's units.

    def in_units(self, params, scale=None):
        """Parameters of the output in the user's units. scale: (..., features), of `Sequences`, or `None`."""
        if self.scaling is None or self.head.scales is None:
            return params
        return self.head.at_scale(params, *self.scaling.shift_and_scale(scale))

    def score(self, params, values, scale=None, observed=None, head=None):
        """log p of frames, as far as they are observed, (...) nats, by parameters as a head gives them."""
        head, params = head or self.head, self.in_units(params, scale)
        return head.log_prob(params, values) if observed is None else head.log_prob(params, values, observed)

    def filled(self, sequences):
        """The targets, (batch, time, features), with the model's own means in the place of what is missing."""
        observed, targets = sequences.observed, self.head.as_values(sequences.targets)
        count = ops.shape(targets)[0]

        def fill():
            weights, noise = self.step_weights(), ops.zeros((count, self.noise_dim), dtype=self.compute_dtype)

            def step(state, inputs):
                state, frame, seen = state
                x = self.read_frames(frame, inputs.get("known"), inputs.get("scale"), seen)
                steps, state = self.step(weights, state, x, noise)
                mean = float32(self.head.mean(self.in_units(steps.output, inputs.get("scale"))))
                frame = ops.where(inputs["observed"], inputs["targets"], mean)
                return (state, frame, inputs["observed"]), frame

            inputs = {"targets": targets, "observed": observed, "known": sequences.known, "scale": sequences.scale}
            inputs = {key: ops.swapaxes(x, 0, 1) for key, x in inputs.items() if x is not None}
            first = (self.initial_state(count), targets[:, 0] * 0.0 + self.start, ops.ones_like(observed[:, 0]))
            return ops.reshape(ops.swapaxes(scan(step, first, inputs)[1], 0, 1), ops.shape(targets))

        filled = fill() if is_portable() else ops.cond(ops.all(observed), lambda: targets, fill)
        return ops.stop_gradient(filled)

    def adapt(self, data):
        """Takes the scale of `scaling="standard"` from training data, to be called once before `fit`.

        Args:
            data: array or dict, or a finite stream of them.

        Raises:
            ValueError: the model has no such scaling, or `data` is not accepted.

        Example:

        >>> model = RNN(units=8, output="gaussian", scaling="standard")
        >>> x = np.random.default_rng(0).normal(300.0, 20.0, size=(8, 5, 1))
        >>> model.adapt(x)
        >>> model.compile(optimizer="adam")
        >>> history = model.fit(x, verbose=0)
        """
        if self.scaling is None or self.scaling.by_sequence:
            raise ValueError(f"`adapt` is for models with scaling='standard'. Received: scaling={self.scaling}.")
        values, sizes = [], []
        for frames in frames_of(self, data):
            if not values:
                values, sizes = ([Moments() for _ in frames.T] for _ in range(2))
            for column, of_values, of_sizes in zip(frames.T, values, sizes, strict=True):
                seen = column[~np.isnan(column)]
                if len(seen):
                    of_values.add(seen)
                    of_sizes.add(np.abs(seen))
        if empty := [i for i, each in enumerate(values) if not each.count]:
            raise ValueError(f"`data` has no value of feature {empty[0]}.")
        if self._head_template.scales == "positive":
            shift, scale = np.zeros(len(values)), [each.mean for each in sizes]
        else:
            shift, scale = [each.mean for each in values], [each.std for each in values]
        self.scaling.take(shift, scale, values[0].count)
