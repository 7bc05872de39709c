"""What a model is made of: its arguments, its layers, and its files."""

import keras
import numpy as np
from keras import ops

from zf_keras.arguments import check_choice, check_rate, check_seed, check_size, check_token, check_units, optional
from zf_keras.data.sequences import COVARIATES, FIRST, TIMELESS
from zf_keras.heads import DistributionHead, get_head, without_void
from zf_keras.layers.lstm_stack import LSTMStack
from zf_keras.layers.scaling import KINDS, Scaling
from zf_keras.models.arguments import signature
from zf_keras.models.carried import CarriedState
from zf_keras.models.fitting import CheckedModel
from zf_keras.seeds import SeedGenerator, seeded


class ConfiguredModel(CheckedModel):
    """A model that is made, built, saved and loaded; `SequenceModel` adds what it computes.

    Every constructor argument is kept as an attribute of its name; `get_config` needs nothing else.
    """

    #: The constructor's argument. (In Keras it is a property that only functional models use.)
    output = None
    #: Standard-normal numbers that a step draws.
    noise_dim = 0
    #: Draws of the latents for each sequence in training.
    num_samples = 1
    #: What `output_network` is where it is not given.
    default_output_network = "mlp"

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.__signature__ = signature(cls, ConfiguredModel)

    def __init__(
        self,
        units,
        output,
        hidden_units=None,
        num_components=None,
        num_classes=None,
        output_network=None,
        embedding_dim=None,
        start_token=0,
        num_layers=1,
        dropout=0.0,
        word_dropout=0.0,
        unknown_token=None,
        segment_length=None,
        num_streams=None,
        cardinalities=None,
        missing=None,
        scaling=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if self.variable_dtype in ("float16", "bfloat16"):
            raise ValueError(
                f"`dtype` must keep the weights in float32, as mixed_{self.variable_dtype} does. "
                f"Received: dtype={self.dtype_policy.name}."
            )
        self.units = check_units("units", units)
        self.hidden_units = self.units if hidden_units is None else check_size("hidden_units", hidden_units)
        self.embedding_dim = optional(check_size, "embedding_dim", embedding_dim)
        self.num_layers = check_size("num_layers", num_layers)
        self.dropout = check_rate("dropout", dropout)
        self.word_dropout = check_rate("word_dropout", word_dropout)
        self.segment_length = optional(check_size, "segment_length", segment_length)
        self.num_streams = optional(check_size, "num_streams", num_streams)
        if self.num_streams and self.replicas > 1:
            raise ValueError(
                f"`num_streams` is for one device. Received: num_streams={num_streams} for {self.replicas}."
            )
        self.seed = optional(check_seed, "seed", seed)
        self.num_components = optional(check_size, "num_components", num_components)
        self.num_classes = optional(check_size, "num_classes", num_classes)
        if output_network is not None:
            check_choice("output_network", output_network, ("linear", "mlp"))
        own_head = isinstance(output, DistributionHead)
        if output_network is None and not own_head:
            output_network = self.default_output_network
        self.output_network = output_network
        # With a head of the user's, `hidden_units` is for the networks of the latent, if there are any.
        head_hidden_units = self.hidden_units
        if own_head:
            head_hidden_units = hidden_units if type(self).noise_dim == 0 else None
        template = get_head(
            output,
            head_hidden_units,
            output_network,
            num_components=self.num_components,
            num_classes=self.num_classes,
        )
        # Set past Keras's tracking of attributes: they are not layers of the model, and never built.
        self.__dict__.update(output=output, _head_template=template)
        self.tokens = template.tokens
        most = template.num_classes if self.tokens else None
        self.start_token = check_token("start_token", start_token, most)
        self.unknown_token = None if unknown_token is None else check_token("unknown_token", unknown_token, most)
        if word_dropout and not self.tokens:
            raise ValueError(f"`word_dropout` needs a categorical output. Received: word_dropout={word_dropout}.")
        self.cardinalities = check_cardinalities(cardinalities)
        self.missing = None if missing is None else check_choice("missing", missing, ("skip",))
        for name, value in (("missing", missing), ("scaling", scaling)):
            if value is not None and self.tokens:
                raise ValueError(f"`{name}` is for frames, not for tokens. Received: {name}={value!r}.")
        if self.missing and self.num_streams:
            raise ValueError(
                "`missing` is not for models with `num_streams`, whose sequences are in pieces. "
                f"Received: missing={missing!r}, num_streams={num_streams}."
            )
        if self.missing:
            template.check_observed()
        self.scaling = scaling_of(scaling, template)
        self.seed_generator = SeedGenerator(self.seed, name="noise")

    @property
    def head_input_dim(self):
        """Size of what the output network f_o reads."""
        return self.units

    def build_networks(self, input_dim, target_dim):
        """Makes and builds the layers. input_dim, target_dim: sizes of an embedded x_t and y_t."""
        raise NotImplementedError

    def new_stack(self, name, input_dim):
        """`num_layers` deterministic LSTMs on (..., input_dim), with the model's dropout."""
        stack = LSTMStack(
            self.units, self.num_layers, self.dropout, self.seed_generator, dtype=self.dtype_policy, name=name
        )
        stack.segment_length = self.segment_length
        stack.build((None, None, input_dim))
        return stack

    @seeded("SequenceModel.build")
    def build(self, input_shape):
        shapes = input_shape if isinstance(input_shape, dict) else {"targets": input_shape}
        shapes = {key: tuple(shape) for key, shape in shapes.items() if key not in ("mask", "observed", FIRST)}
        beside = {key: shapes.pop(key)[-1] for key in COVARIATES if key in shapes}
        if not shapes:
            raise ValueError(f"`input_shape` needs a shape of `targets` or `inputs`. Received: {input_shape}.")
        if beside.get("categories", 0) != len(self.cardinalities or ()):
            raise ValueError(
                f"`categories` needs the argument `cardinalities`, one for each column. Received: "
                f"cardinalities={self.cardinalities} for {beside.get('categories', 0)} columns."
            )
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
        self.features |= beside
        self.head = self.new_head("head")
        self.head.build((None, None, self.head_input_dim))
        self.embedding = None
        if self.embedding_dim is not None:
            kwargs = {"dtype": self.dtype_policy, "name": "embedding"}
            if self.tokens:
                self.embedding = keras.layers.Embedding(input_dim, self.embedding_dim, **kwargs)
            else:
                self.embedding = keras.layers.Dense(self.embedding_dim, **kwargs)
            self.embedding.build((None, None, input_dim))
            input_dim = target_dim = self.embedding_dim
        self._build_known()
        self.build_networks(input_dim + self.beside_dim, target_dim + self.beside_dim)
        self.kept = None
        if self.num_streams:
            self.kept = CarriedState(self.carried_state, self.num_streams * self.num_samples, name="carried_state")
        self._means = {name: keras.metrics.Mean(name=name) for name in self.metric_names()}

    def _build_known(self):
        """Makes and builds what reads covariates, scales and gaps, and counts the numbers that are read of them."""
        features = self.features["targets"]
        self.category_tables = []
        for i, count in enumerate(self.cardinalities or ()):
            size = min(50, (count + 1) // 2)  # as in GluonTS
            table = keras.layers.Embedding(count, size, dtype=self.dtype_policy, name=f"category_{i}")
            table.build((None,))
            self.category_tables.append(table)
        self.known_dim = self.features.get("covariates", 0) + self.features.get("static", 0)
        self.known_dim += sum(table.output_dim for table in self.category_tables)
        if self.scaling is not None:
            if self.features["inputs"] != features:
                raise ValueError(
                    f"`inputs` and `targets` must have the same features with `scaling`. Received: {self.features}."
                )
            self.scaling.build((None, None, features))
            self.known_dim += features * self.scaling.by_sequence
        self.beside_dim = self.known_dim + (features if self.missing else 0)

    @property
    def same_features_reason(self):
        """What requires inputs and targets to have the same features, or `None`."""
        return "embedding_dim" if self.embedding_dim else None

    def _check_same_features(self, inputs, targets):
        reason = self.same_features_reason
        if reason and inputs != targets:
            raise ValueError(
                f"`inputs` and `targets` must have the same features with {reason}. Received: {inputs} and {targets}."
            )

    def new_head(self, name):
        """A head like the output's, for frames like the targets."""
        features = self.features["targets"]
        return self._head_template.with_features(features, name=name, dtype=self.dtype_policy)

    def get_build_config(self):
        return {"features": self.features, "lagged": self.lagged} if self.built else None

    def build_from_config(self, config):
        self.lagged = (config or {}).get("lagged", True)
        if config:
            axes = (None,) if self.tokens else (None, None)  # of tokens, None is their last axis
            features = config["features"].items()
            self.build({key: (None, size) if key in TIMELESS else (*axes, size) for key, size in features})

    def get_config(self):
        config = super(keras.Model, self).get_config()
        for name, parameter in type(self).__signature__.parameters.items():
            if parameter.kind is not parameter.VAR_KEYWORD:
                config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config):
        arguments = {name: keras.saving.deserialize_keras_object(value) for name, value in config.items()}
        return cls(**without_void(arguments, latents=cls.noise_dim != 0))

    def save_own_variables(self, store):
        # Keras saves no seed generators; training goes on from a saved file with the same noise.
        super().save_own_variables(store)
        store["noise"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        variables = {key: store[key] for key in store.keys()}  # noqa: SIM118, it cannot be iterated otherwise
        if "noise" in variables:
            self.seed_generator.state.assign(np.asarray(variables.pop("noise")))
        super().load_own_variables(variables)


def check_cardinalities(value):
    """Numbers of ids, as a tuple; `None` for none."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"`cardinalities` must be integers, one for each category. Received: cardinalities={value!r}.")
    return tuple(check_size("cardinalities", each) for each in value)


def scaling_of(scaling, head):
    """The argument `scaling` as a new layer.

    Raises:
        ValueError: it is none, or sequences would have scales that the head does not take.
    """
    if scaling is None:
        return None
    if isinstance(scaling, Scaling):
        scaling = Scaling.from_config(scaling.get_config())
    elif isinstance(scaling, str) and scaling in KINDS:
        scaling = Scaling(scaling, name="scaling")
    else:
        raise ValueError(
            f"`scaling` must be None, {', '.join(map(repr, KINDS))} or a Scaling. Received: scaling={scaling!r}."
        )
    if scaling.by_sequence and head.scales is None:
        raise ValueError(
            f"`scaling` by sequence needs an output whose values have a scale. Received: {type(head).__name__}; "
            "'standard' scales what is read alone."
        )
    return scaling
