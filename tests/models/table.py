"""The models and options that the shared tests run over."""

import numpy as np

from tests.support import set_random_weights
from zf_keras import RNN, ZForcing

FEATURES, NUM_CLASSES = 3, 7

#: name -> (class, arguments). A new model or option adds its line here.
MODELS = {
    "rnn": (RNN, {"units": 5}),
    "rnn_embedding": (RNN, {"units": 5, "embedding_dim": 4, "output_network": "linear"}),
    "z_forcing": (ZForcing, {"units": 5, "latent_dim": 2, "alpha": 0.3, "beta": 0.2}),
    "z_forcing_released": (
        ZForcing,
        {
            "units": 5,
            "latent_dim": 2,
            "alpha": 0.3,
            "beta": 0.2,
            "auxiliary": "zh",
            "latent_units": 3,
            "embedding_dim": 4,
        },
    ),
    "z_forcing_options": (
        ZForcing,
        {
            "units": 5,
            "latent_dim": 2,
            "alpha": 0.3,
            "beta": 0.2,
            "auxiliary_cost": "l2",
            "auxiliary_gradient": "strict",
            "inputs_to_latent": True,
            "output_network": "mlp",
            "clip": None,
            "free_nats": 0.5,
        },
    ),
    "z_forcing_elbo": (ZForcing, {"units": 5, "latent_dim": 2, "alpha": 0, "beta": 0}),
}
LATENT = [name for name, (cls, _) in MODELS.items() if cls is not RNN]

OUTPUTS = {
    "gaussian": {},
    "gaussian_mixture": {"num_components": 3},
    "bernoulli": {},
    "categorical": {"num_classes": NUM_CLASSES},
}


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
