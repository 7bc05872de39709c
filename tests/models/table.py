"""The models and options that the shared tests run over."""

import keras
import numpy as np

from tests.support import set_random_weights
from zf_keras import RNN, SRNN, STORN, VRNN, VariationalBiLSTM, ZForcing

FEATURES, NUM_CLASSES = 3, 7
SIZES = {"units": 5, "latent_dim": 2}
AUXILIARY = {"alpha": 0.3, "beta": 0.2}

#: name -> (class, arguments). A new model or option adds its line here.
MODELS = {
    "rnn": (RNN, {"units": 5}),
    "storn": (STORN, SIZES),
    "vrnn": (VRNN, SIZES),
    "srnn": (SRNN, SIZES),
    "z_forcing": (ZForcing, SIZES | AUXILIARY),
    "variational_bilstm": (VariationalBiLSTM, SIZES | AUXILIARY),
}
#: Those above with every output; those below with one.
OPTIONS = {
    "rnn_options": (RNN, {"units": 5, "embedding_dim": 4, "output_network": "linear", "num_layers": 2}),
    "storn_options": (STORN, SIZES | {"num_layers": 2, "embedding_dim": 4, "free_nats": 0.5}),
    "vrnn_i": (VRNN, SIZES | {"prior": "standard_normal", "num_layers": 2, "output_network": "linear"}),
    "srnn_filtering": (SRNN, SIZES | {"smoothing": False, "residual_posterior": False, "clip": None}),
    "srnn_options": (SRNN, SIZES | {"residual_posterior": False, "num_layers": 2, "hidden_units": 4}),
    "z_forcing_released": (ZForcing, SIZES | AUXILIARY | {"auxiliary": "zh", "latent_units": 3, "embedding_dim": 4}),
    "z_forcing_options": (
        ZForcing,
        SIZES
        | AUXILIARY
        | {
            "auxiliary_cost": "l2",
            "auxiliary_gradient": "strict",
            "inputs_to_latent": True,
            "output_network": "mlp",
            "clip": None,
            "free_nats": 0.5,
            "num_layers": 2,
        },
    ),
    "z_forcing_elbo": (ZForcing, SIZES | {"alpha": 0, "beta": 0}),
    "variational_bilstm_options": (
        VariationalBiLSTM,
        SIZES
        | {
            "alpha": 0.3,
            "beta": 0,
            "gamma": 0.1,
            "prior": "standard_normal",
            "skip_gradient": 1,
            "auxiliary_gradient": "target",
            "num_layers": 2,
        },
    ),
}
EVERY_OUTPUT = tuple(MODELS)
MODELS |= OPTIONS
#: Arguments that leave no chance in a gradient.
NO_CHANCE = {"variational_bilstm": {"skip_gradient": 0}}
LATENT = [name for name, (cls, _) in MODELS.items() if cls is not RNN]

OUTPUTS = {
    "gaussian": {},
    "gaussian_mixture": {"num_components": 3},
    "bernoulli": {},
    "categorical": {"num_classes": NUM_CLASSES},
}
#: Every model with every output, and every option.
CASES = [(name, output) for name in EVERY_OUTPUT for output in OUTPUTS] + [(name, "gaussian") for name in OPTIONS]
#: Every model and option with one output, every output with two models: for what models do alike whatever the output.
PAIRS = [(name, output) for name, output in CASES if output == "gaussian" or name in ("rnn", "z_forcing")]
#: JAX compiles a program for each of these, and compiling is what tests on it cost. There, every output with one
#: model, and the models without their options: TensorFlow has those, of the same `keras.ops`.
if keras.config.backend() == "jax":
    MODELS_HERE = EVERY_OUTPUT
    CASES_HERE = [
        (name, output) for name, output in PAIRS if name == "rnn" or (name in MODELS_HERE and output == "gaussian")
    ]
    PAIRS_HERE = CASES_HERE
else:
    CASES_HERE, PAIRS_HERE, MODELS_HERE = CASES, PAIRS, tuple(MODELS)
#: Each way to the next state, for what is the same in all models and compiled for each.
FEW_HERE = ("rnn", "srnn", "z_forcing") if keras.config.backend() == "jax" else EVERY_OUTPUT
LATENT_HERE = [name for name in MODELS_HERE if name in LATENT]


def make(name, output="gaussian", random=True, **kwargs):
    """A built model with seeded random weights."""
    cls, arguments = MODELS[name]
    model = cls(output=output, seed=0, **{**OUTPUTS[output], **arguments, **kwargs})
    model.build((None, None) if output == "categorical" else (None, None, FEATURES))
    return set_random_weights(model) if random else model


def sequences(output="gaussian", count=6, time=5, seed=0):
    rng = np.random.default_rng(seed)
    if output == "categorical":
        return rng.integers(0, NUM_CLASSES, size=(count, time))
    x = rng.normal(size=(count, time, FEATURES)).astype("float32")
    return (x > 0).astype("float32") if output == "bernoulli" else x
