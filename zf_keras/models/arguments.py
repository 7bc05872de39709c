"""The arguments that models share: their documentation, written once, and the signature of a model's class."""

import inspect
from typing import Any, TypedDict

OF_ALL = """\
        hidden_units: int. Size of the networks' hidden layers. Defaults to `units`.
        num_components: int. Components of `"gaussian_mixture"` or `"logistic_mixture"`, only for those. Defaults to
            `20` and `10`.
        num_classes: int. Tokens of `"categorical"`, only for that output.
        output_network: f_o, `"mlp"` (one hidden layer) or `"linear"`; a `DistributionHead` has its own. Defaults to
            `"{output_network}"`.
        embedding_dim: int or `None`. Size of a linear embedding of frames, or an embedding table of tokens, of
            x_t and y_t; `None` for frames as they are and one-hot tokens. Defaults to `None`.
        start_token: int. x_1 of token data. Defaults to `0`.
        num_layers: int. Stacked LSTM layers{layers}. Defaults to `1`.
        dropout: float. Rate on embedded x_t and y_t and between layers, in training. Defaults to `0.0`.
        word_dropout: float. Rate at which x_t is hidden from the forward network in training, for tokens (Bowman
            et al. 2016). Defaults to `0.0`.
        unknown_token: int or `None`. Token that is read instead of a hidden word; `None` for zeros instead of
            its embedding. Defaults to `None`.
        segment_length: int or `None`. Steps that training computes at a time, and again in the gradient: a long
            sequence then needs the memory of one segment, and up to half as much time again. The same gradients,
            but for other draws of dropout. Defaults to `None`, all steps.
        num_streams: int or `None`. Trains on `zf_keras.datasets.Pieces` of so many streams: the state after each
            piece is that before the next, without its gradient. What reads backwards begins anew at the end of each
            piece. Everything but `fit` takes whole sequences. Defaults to `None`, every sequence is whole.
        cardinalities: sequence of int or `None`. Numbers of ids of each column of `categories`, which are embedded.
            Defaults to `None`, no categories.
        missing: `"skip"` for data with missing values, NaN or false in `observed`: they are not scored. The networks
            read a flag for each, and in the place of a missing x_t the mean that the model expects there. Defaults to
            `None`, NaN is an error.
        scaling: `"standard"`, `"mean_abs"` or a `Scaling`: what frames are divided by as they are read, and the output
            is multiplied by. Defaults to `None`.
        seed: int or `None`. Seed of the initial weights and of the model's own random numbers.
"""
OF_LATENT = """\
        kl_weight: float or schedule over training updates, such as `KLAnnealing()`. Defaults to `1.0`.
        free_nats: float >= 0. The KL cost of a step is max(free_nats, KL_t). Defaults to `0.0`.
        num_samples: int. K > 1 trains on K draws a sequence, by the `bound`. Defaults to `1`.
        bound: `"iwae"` (Burda et al. 2016), `"fivo"` (a particle filter's, Maddison et al. 2017; for models without
            further terms) or `"elbo"`, of the K draws. Defaults to `"iwae"`.
        bag_of_words: float >= 0. Weight of the cost of the words to come given z_t, for tokens (Zhao et al. 2017).
            Defaults to `0.0`.
        clip: float or `None`. Bound of mean and log-variance of the latent's Gaussians. Defaults to `8.0`.
"""
OUTPUT = """\
        output: `"gaussian"`, `"gaussian_mixture"`, `"student_t"`, `"truncated_gaussian"`, `"log_normal"`, `"beta"`,
            `"poisson"`, `"negative_binomial"`, `"zero_inflated_poisson"`, `"zero_inflated_negative_binomial"`,
            `"zero_inflated_log_normal"`, `"bernoulli"`, `"categorical"`, `"logistic_mixture"` or a `DistributionHead`.
"""


class OfAll(TypedDict, total=False):
    """Arguments that every model takes, for editors; `signature` reads the constructors."""

    hidden_units: int | None
    num_components: int
    num_classes: int | None
    output_network: str
    embedding_dim: int | None
    start_token: int
    num_layers: int
    dropout: float
    word_dropout: float
    unknown_token: int | None
    segment_length: int | None
    num_streams: int | None
    cardinalities: Any
    missing: str | None
    scaling: Any
    seed: int | None
    name: str
    dtype: Any


class OfLatent(OfAll, total=False):
    """Arguments that every model with latents takes."""

    kl_weight: Any
    free_nats: float
    bound: str
    clip: float | None
    num_samples: int
    bag_of_words: float


def signature(cls, base):
    """The signature of a model's class: its own arguments, then those that it passes on, up to the class `base`."""
    classes = cls.__mro__[: cls.__mro__.index(base) + 1]
    constructors = [vars(each)["__init__"] for each in classes if "__init__" in vars(each)]
    parameters = {}
    for constructor in constructors:
        for name, parameter in list(inspect.signature(constructor).parameters.items())[1:]:
            if name in parameters or parameter.kind is parameter.VAR_KEYWORD:
                continue
            own = constructor is constructors[0]
            parameters[name] = parameter if own else parameter.replace(kind=parameter.KEYWORD_ONLY)
    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    return inspect.Signature([*parameters.values(), rest])


def documented(layers="", has_latents=True, output_network="mlp"):
    """Class decorator: fills in `{output}` and `{shared}` among the arguments of a docstring.

    Args:
        layers: str. Where the model has its `num_layers`, to follow "Stacked LSTM layers ".
        has_latents: bool. Whether the model has the arguments of latents.
        output_network: str. Default of the argument.
    """
    shared = (OF_LATENT if has_latents else "") + OF_ALL.format(
        layers=f" {layers}" if layers else "", output_network=output_network
    )

    def document(cls):
        cls.__doc__ = cls.__doc__.replace("        {output}\n", OUTPUT).replace("        {shared}\n", shared)
        return cls

    return document
