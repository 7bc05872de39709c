"""What all models share: data to sequences, terms to loss and metrics, likelihood, saving.

Data flows one way. `call`: data -> inputs, targets, mask -> the model's `infer` -> a named tuple of per-step
parameters. `compute_loss`: parameters -> the model's `step_terms`, each (batch, time) -> summed over the valid
steps, weighed, averaged over the batch.
"""

import inspect

import keras
import numpy as np
from keras import ops

from zf_keras import data as data_lib
from zf_keras.arguments import check_choice, check_positive_int
from zf_keras.compiled import compiled
from zf_keras.layers.heads import get_head
from zf_keras.models.generation import Generation


class SequenceModel(Generation, keras.Model):
    """Base of all models.

    A model defines `build_networks`, `infer` and `make_generate_step`, and, where it has more terms than the output's
    negative log-likelihood or another state than an LSTM's, `step_terms`, `term_weights`, `term_names` and
    `initial_state`.
    Every constructor argument is kept as an attribute of its name; `get_config` needs nothing else.
    """

    #: The constructor's argument. (In Keras a property, which only functional models have a use for.)
    output = None
    #: Standard-normal numbers that a step draws.
    noise_dim = 0
    #: Loss terms that are metrics too.
    term_names = ("nll",)
    #: Whether a term of the loss scores the inputs too.
    scores_inputs = False

    def __init__(
        self,
        units,
        output,
        hidden_units=None,
        num_components=20,
        num_classes=None,
        output_network="mlp",
        embedding_dim=None,
        start_token=0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive_int("units", units)
        check_choice("output_network", output_network, ("linear", "mlp"))
        for name, value in (("hidden_units", hidden_units), ("embedding_dim", embedding_dim)):
            if value is not None:
                check_positive_int(name, value)
        self.units = units
        self.hidden_units = units if hidden_units is None else hidden_units
        self.num_components = num_components
        self.num_classes = num_classes
        self.output_network = output_network
        self.embedding_dim = embedding_dim
        self.start_token = start_token
        self.seed = seed
        head_hidden_units = self.hidden_units if output_network == "mlp" else None
        template = get_head(output, num_components, num_classes, head_hidden_units)
        # Past Keras's tracking of attributes: they are no layers of the model, and never built.
        self.__dict__.update(output=output, _head_template=template)
        self.tokens = self._head_template.tokens
        if self.tokens and not 0 <= start_token < self._head_template.num_classes:
            raise ValueError(
                "`start_token` must be a token, in [0, num_classes). "
                f"Received: start_token={start_token}, num_classes={self._head_template.num_classes}."
            )
        self.seed_generator = keras.random.SeedGenerator(seed, name="noise")

    # What a model defines.

    def build_networks(self, input_dim, target_dim):
        """Makes and builds the layers. input_dim, target_dim: sizes of an embedded x_t and y_t."""
        raise NotImplementedError

    def infer(self, inputs, targets, mask, noise):
        """Per-step parameters of a batch.

        Args:
            inputs: tensor (batch, time, input_dim), embedded x.
            targets: tensor (batch, time, target_dim), embedded y.
            mask: tensor (batch, time), true where valid, or `None`.
            noise: tensor (batch, time, noise_dim).

        Returns:
            A named tuple of tensors (batch, time, ...) whose field `output` holds the head's parameters, and the
            state after the last step.
        """
        raise NotImplementedError

    def initial_state(self, batch_size):
        """The state before the first step: a nest of tensors (batch_size, ...)."""
        zeros = ops.zeros((batch_size, self.units), dtype=self.compute_dtype)
        return (zeros, zeros)

    def make_generate_step(self):
        """The function of one step of the generative model.

        Returns:
            `(state, x_t, noise_t) -> (output parameters, state)`, with x_t embedded.
        """
        raise NotImplementedError

    def step_terms(self, steps, sequences):
        """Loss terms of each step: a dict of tensors (batch, time) in nats, "nll" among them."""
        return {"nll": -self.head.log_prob(steps.output, sequences.targets)}

    def term_weights(self):
        """What each term is multiplied by in the loss, now."""
        return {"nll": 1.0}

    def step_log_weights(self, steps, sequences):
        """Log importance weight of each step's draw, (batch, time) nats; the log-likelihood without latents."""
        return self.head.log_prob(steps.output, sequences.targets)

    def metric_values(self, terms, weights):
        """Metrics of a batch: a dict name -> (values (batch,), the weight of each in the mean, or `None`)."""
        return {"elbo": (-terms["nll"], None), **{name: (terms[name], None) for name in self.term_names}}

    # Building and saving.

    def build(self, input_shape):
        shapes = input_shape if isinstance(input_shape, dict) else {"targets": input_shape}
        shapes = {key: tuple(shape) for key, shape in shapes.items() if key != "mask"}
        rank, axes = (2, "(batch, time)") if self.tokens else (3, "(batch, time, features)")
        for key, shape in shapes.items():
            if len(shape) != rank:
                raise ValueError(f"`{key}` must have {rank} axes, {axes}. Received: shape={shape}.")
        if self.tokens:
            self.features = {"inputs": None, "targets": None}
            input_dim = target_dim = self._head_template.num_classes
        else:
            input_dim, target_dim = (
                shapes.get(key, shapes.get(other))[-1] for key, other in (("inputs", "targets"), ("targets", "inputs"))
            )
            self._check_same_features(input_dim, target_dim)
            self.features = {"inputs": input_dim, "targets": target_dim}
        self.head = self.new_head("head")
        self.head.build((None, None, self.units))
        self.embedding = None
        if self.embedding_dim is not None:
            kwargs = {"dtype": self.dtype_policy, "name": "embedding"}
            if self.tokens:
                self.embedding = keras.layers.Embedding(input_dim, self.embedding_dim, **kwargs)
            else:
                self.embedding = keras.layers.Dense(self.embedding_dim, **kwargs)
            self.embedding.build((None, None, input_dim))
            input_dim = target_dim = self.embedding_dim
        self.build_networks(input_dim, target_dim)
        self._means = {name: keras.metrics.Mean(name=name) for name in self.metric_names()}

    def metric_names(self):
        return ("elbo", *self.term_names)

    def _check_same_features(self, inputs, targets):
        for reason, holds in (("embedding_dim", self.embedding_dim), ("beta > 0", self.scores_inputs)):
            if inputs != targets and holds:
                raise ValueError(
                    f"`inputs` and `targets` must have the same features with {reason}. "
                    f"Received: {inputs} and {targets}."
                )

    def new_head(self, name):
        """A head like the output's, for frames like the targets."""
        features = self.features["targets"]
        return self._head_template.with_features(features, name=name, dtype=self.dtype_policy)

    def get_build_config(self):
        return {"features": self.features} if self.built else None

    def build_from_config(self, config):
        if config and self.tokens:
            self.build((None, None))
        elif config:
            self.build({key: (None, None, size) for key, size in config["features"].items()})

    def get_config(self):
        config = super(keras.Model, self).get_config()
        for cls in type(self).__mro__[: type(self).__mro__.index(SequenceModel) + 1]:
            for name, parameter in inspect.signature(cls.__init__).parameters.items():
                if name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                    config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config):
        return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    def save_own_variables(self, store):
        # Keras saves no seed generators; training goes on from a saved file with the same noise.
        super().save_own_variables(store)
        store["noise"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        variables = {key: store[key] for key in store.keys()}  # noqa: SIM118, it has no other way
        if "noise" in variables:
            self.seed_generator.state.assign(np.asarray(variables.pop("noise")))
        super().load_own_variables(variables)

    # From data to loss.

    def sequences(self, data):
        """`Sequences(inputs, targets, mask)` of an array or dict."""
        return data_lib.sequences(data, self.start_token)

    def check_data(self, data):
        """Raises a `ValueError` that names what is wrong with `data`, an array or dict, if anything is."""
        features = self.features if self.built else None
        data_lib.check(data, self._head_template, features, self.scores_inputs)

    def embed(self, frames):
        """Frames (..., features) or tokens (...) as the recurrences read them."""
        if self.tokens:
            frames = ops.cast(frames, "int32")
        if self.embedding is not None:
            return self.embedding(frames)
        if self.tokens:
            return ops.one_hot(frames, self.head.num_classes, dtype=self.compute_dtype)
        return ops.cast(frames, self.compute_dtype)

    def draw_noise(self, batch_size, time, generator):
        """Standard-normal noise (batch_size, time, noise_dim)."""
        shape = (batch_size, time, self.noise_dim)
        return keras.random.normal(shape, dtype=self.compute_dtype, seed=generator)

    def call(self, data, training=None, noise=None):
        inputs, targets, mask = self.sequences(data)
        if noise is None:
            noise = self.draw_noise(*ops.shape(targets)[:2], self.seed_generator)
        steps, _ = self.infer(self.embed(inputs), self.embed(targets), mask, noise)
        return steps

    def loss_terms(self, data, noise=None):
        """The terms of the loss, before their weights.

        Args:
            data: array or dict.
            noise: tensor (batch, time, noise_dim) in the place of the standard-normal draw. Defaults to a draw.

        Returns:
            Dict of tensors (batch,), in nats a sequence.

        Raises:
            ValueError: names what is wrong with `data` or `noise`.
        """
        if data_lib.is_concrete(data):
            data = self._concrete(data)
        count_and_time = self._count_and_time(data)
        if noise is None:
            noise = self.draw_noise(*count_and_time, self.seed_generator)
        expected = (*count_and_time, self.noise_dim)
        if tuple(noise.shape) != expected:
            raise ValueError(f"`noise` must be of shape {expected}. Received: shape={tuple(noise.shape)}.")
        return self._loss_terms(keras.tree.map_structure(ops.convert_to_tensor, data), noise)

    @compiled
    def _loss_terms(self, data, noise):
        sequences = self.sequences(data)
        return self._sum_steps(self.step_terms(self(data, noise=noise), sequences), sequences.mask)

    def _sum_steps(self, terms, mask):
        if mask is not None:
            terms = {name: ops.where(mask, term, 0.0) for name, term in terms.items()}
        return {name: ops.sum(term, axis=1) for name, term in terms.items()}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        _check_only_x(y, sample_weight)
        sequences = self.sequences(x)
        terms = self._sum_steps(self.step_terms(y_pred, sequences), sequences.mask)
        weights = self.term_weights()
        for name, (values, value_weights) in self.metric_values(terms, weights).items():
            self._means[name].update_state(values, value_weights)
        return ops.mean(sum(weight * terms[name] for name, weight in weights.items()))

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        _check_only_x(y, kwargs.get("sample_weight"))
        x = data_lib.checked(x, self.check_data)
        if validation_data is not None:
            # A tuple is (x, y, sample_weight), as Keras has it.
            first, *rest = validation_data if isinstance(validation_data, tuple) else (validation_data,)
            _check_only_x(*rest)
            validation_data = data_lib.checked(first, self.check_data)
        return super().fit(x, None, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        _check_only_x(y, kwargs.get("sample_weight"))
        if not kwargs.get("_use_cached_eval_dataset"):
            x = data_lib.checked(x, self.check_data)
        return super().evaluate(x, None, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        return super().predict(data_lib.checked(x, self.check_data), *args, **kwargs)

    # Likelihood.

    def log_likelihood(self, data, num_samples=1, seed=None, batch_size=128, verbose="auto"):
        """Importance-weighted bound on log p(y), exact where the model has no latent.

        log 1/K sum_k exp(sum_t log p(y_t | ...) + log p(z_t | ...) - log q(z_t | ...)), z ~ q
        (Burda et al. 2016, eq. 8). With one sample its mean is the ELBO.

        Args:
            data: array or dict.
            num_samples: int. K. Defaults to `1`.
            seed: int or `None`. The same seed gives the same draws; `None` goes on with the model's own.
            batch_size: int. How many (sequence, sample) pairs are computed at a time, which bounds the
                memory. Defaults to `128`.
            verbose: `"auto"`, 0 or 1. Whether to show a progress bar; `"auto"` does for more than one pass.

        Returns:
            NumPy array (batch,), nats.

        Raises:
            ValueError: names what is wrong with an argument.
        """
        check_positive_int("num_samples", num_samples)
        check_positive_int("batch_size", batch_size)
        data = self._concrete(data)
        num_samples = num_samples if self.noise_dim else 1
        count, time = self._count_and_time(data)
        rows = np.repeat(np.arange(count), num_samples)
        log_weights = [
            self._log_weights(batch, noise)
            for batch, noise in self._passes(data, rows, time, seed, batch_size, verbose)
        ]
        log_weights = np.concatenate([ops.convert_to_numpy(w) for w in log_weights])[: len(rows)]
        log_weights = log_weights.astype("float64").reshape(count, num_samples)
        top = log_weights.max(axis=1, keepdims=True)
        return (top[:, 0] + np.log(np.mean(np.exp(log_weights - top), axis=1))).astype("float32")

    @compiled
    def _log_weights(self, data, noise):
        sequences = self.sequences(data)
        log_weights = self.step_log_weights(self(data, noise=noise), sequences)
        return self._sum_steps({"log_weight": log_weights}, sequences.mask)["log_weight"]

    def _concrete(self, data):
        if not data_lib.is_arrays(data):
            raise ValueError(f"Data must be an array or a dict of arrays. Received: {type(data)}.")
        self.check_data(data)
        data = data if isinstance(data, dict) else {"targets": data}
        data = {key: ops.convert_to_numpy(value) for key, value in data.items() if value is not None}
        if not self.built:
            self.build({key: value.shape for key, value in data.items()})
        return data

    def _count_and_time(self, data):
        """Batch size and number of predicted steps."""
        if not isinstance(data, dict):
            data = {"targets": data}
        if data.get("targets") is not None:
            return tuple(data["targets"].shape[:2])
        count, time = data["inputs"].shape[:2]
        return count, time - 1

    def _passes(self, data, rows, time, seed, batch_size, verbose=0):
        """Batches of `rows` of `data`, and noise for each; the last is filled up, to be traced only once."""
        generator = self._generator(seed)
        starts = range(0, len(rows), batch_size)
        size = min(batch_size, len(rows))
        shown = verbose == 1 or (verbose == "auto" and len(starts) > 1)
        progress = keras.utils.Progbar(len(starts)) if shown else None
        for start in starts:
            batch_rows = np.resize(rows[start : start + size], size)
            noise = self.draw_noise(size, time, generator)
            yield {key: ops.convert_to_tensor(x[batch_rows]) for key, x in data.items()}, noise
            if progress:
                progress.add(1)

    def _generator(self, seed):
        return self.seed_generator if seed is None else keras.random.SeedGenerator(seed)


def _check_only_x(y=None, sample_weight=None):
    # Without y, Keras would drop a sample_weight silently.
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(f"zf_keras models take no `{name}`: data is one array, or a dict inputs, targets, mask.")
