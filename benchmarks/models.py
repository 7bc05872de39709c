"""The models that are measured, by name."""

import inspect

from zf_keras.models.registry import by_name

MODELS = by_name()


def new_model(name, units, latent_dim, **arguments):
    """A model of the package; `latent_dim` is for those with a latent."""
    if "latent_dim" in inspect.signature(MODELS[name]).parameters:
        arguments["latent_dim"] = latent_dim
    return MODELS[name](units, **arguments)
