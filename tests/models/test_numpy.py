"""Every model against its equations, written a second time in NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from tests import numpy_models as oracle
from zf_keras import RNN, SRNN, STORN, VRNN, VariationalBiLSTM, ZForcing

LATENT, FEATURES, CLASSES, COMPONENTS = 3, 2, 6, 3
LENGTHS = (6, 1, 4)

# Which keys of the data are given, and the features of their frames.
ARRAY = {"targets": FEATURES}
MASKED = {"targets": FEATURES, "mask": None}
APART = {"inputs": FEATURES, "targets": FEATURES, "mask": None}
EXOGENOUS = {"inputs": 4, "targets": FEATURES, "mask": None}
INPUTS = {"inputs": FEATURES}
MASKED_INPUTS = {"inputs": FEATURES, "mask": None}

OUTPUTS = {
    "gaussian": {},
    "gaussian_mixture": {"num_components": COMPONENTS},
    "bernoulli": {},
    "categorical": {"num_classes": CLASSES},
}
# Options that change no value, given the weights and noise.
IDLE = ("hidden_units", "kl_weight", "dropout", "word_dropout", "auxiliary_gradient", "skip_gradient")

# Rows: output, keys given, options, scale of the weights.


def alone(*options):
    """A row for each dict of options."""
    return [("gaussian", MASKED, of_row, 0.5) for of_row in options]


def together(options, given=APART):
    """A row for each output."""
    return [(output, given, options, 0.5) for output in OUTPUTS]


DATA = [
    *(("gaussian", given, {}, 0.5) for given in (ARRAY, APART, INPUTS)),
    *((output, MASKED_INPUTS, {}, 1.0) for output in OUTPUTS),
    ("categorical", MASKED, {"start_token": 2}, 0.5),
    ("categorical", ARRAY, {"start_token": 5, "embedding_dim": 4}, 0.5),
]
LATENTS = [
    *together({}, MASKED),
    ("categorical", MASKED, {"bag_of_words": 0.5}, 0.5),
    *alone(
        {"free_nats": 5.0},
        {"num_samples": 2},
        {"hidden_units": 7},
        {"clip": None},
        {"clip": 0.1},
        {"embedding_dim": 4},
        {"num_layers": 2},
    ),
]
OF_ALL = [
    *(("gaussian", given, {}, 0.5) for given in (ARRAY, APART, INPUTS)),
    ("categorical", MASKED_INPUTS, {}, 1.0),
    *LATENTS,
    *alone({"output_network": "linear"}),
]
MANY = {"embedding_dim": 4, "clip": 1.0, "free_nats": 2.0, "num_layers": 2, "dropout": 0.5}
WORDS = {
    "embedding_dim": 4,
    "num_samples": 2,
    "bag_of_words": 0.5,
    "num_layers": 2,
    "start_token": 2,
    "word_dropout": 0.5,
}
OF_Z_FORCING = {"auxiliary": "zh", "inputs_to_latent": True, "output_network": "mlp", "latent_units": 2}

# Model -> its oracle, rows, and rows whose steps are compared too.
MODELS = {
    RNN: (
        oracle.rnn,
        [
            *DATA,
            *((output, MASKED, {"embedding_dim": 4, "output_network": "linear"}, 1.5) for output in OUTPUTS),
            ("gaussian", MASKED, {}, 4.0),
            ("gaussian", EXOGENOUS, {}, 0.5),
        ],
        together({"num_layers": 2, "embedding_dim": 4, "dropout": 0.5}),
    ),
    STORN: (
        oracle.storn,
        [*OF_ALL, ("gaussian", EXOGENOUS, {}, 0.5)],
        [*together(MANY), ("categorical", MASKED, WORDS, 1.0)],
    ),
    VRNN: (
        oracle.vrnn,
        [*OF_ALL, ("gaussian", EXOGENOUS, {}, 0.5), *alone({"prior": "standard_normal"})],
        [
            *together(MANY),
            ("categorical", MASKED, WORDS | {"prior": "standard_normal"}, 1.0),
            ("bernoulli", EXOGENOUS, {"num_layers": 2, "prior": "standard_normal"}, 1.0),
        ],
    ),
    SRNN: (
        oracle.srnn,
        [
            *OF_ALL,
            ("gaussian", EXOGENOUS, {}, 0.5),
            *alone(
                {"smoothing": False},
                {"residual_posterior": False},
                {"smoothing": False, "residual_posterior": False},
                {"residual_posterior": False, "clip": 0.1},
            ),
        ],
        [
            *together(MANY),
            ("gaussian", APART, {"smoothing": False, "num_layers": 2, "clip": 0.1}, 1.0),
            ("categorical", MASKED, WORDS | {"smoothing": False, "residual_posterior": False}, 1.0),
        ],
    ),
    ZForcing: (
        oracle.z_forcing,
        [
            *DATA,
            *LATENTS,
            ("gaussian", EXOGENOUS, {"beta": 0.0}, 0.5),
            *alone(
                {"alpha": 0.0},
                {"beta": 0.0},
                {"alpha": 0.0, "beta": 0.0},
                {"kl_weight": 0.3},
                {"auxiliary": "zh"},
                {"auxiliary_cost": "l2"},
                {"auxiliary_gradient": "strict"},
                {"auxiliary_gradient": "detached"},
                {"inputs_to_latent": True},
                {"output_network": "mlp"},
                {"latent_units": 4},
            ),
        ],
        [
            *together(MANY | OF_Z_FORCING),
            ("gaussian", APART, MANY | OF_Z_FORCING | {"num_layers": 1}, 0.5),
            ("gaussian", MASKED, {"clip": None}, 1.0),
            ("gaussian", MASKED, {"inputs_to_latent": True, "embedding_dim": 4}, 0.5),
            ("gaussian", MASKED, {"auxiliary_cost": "l2", "auxiliary": "zh", "clip": 0.1, "alpha": 1.0}, 0.5),
            ("gaussian_mixture", MASKED, {}, 1.0),
            ("bernoulli", MASKED_INPUTS, MANY | OF_Z_FORCING | {"auxiliary_gradient": "strict", "beta": 0.0}, 1.5),
            ("categorical", MASKED, {"inputs_to_latent": True, "start_token": 2, "alpha": 0.0}, 1.5),
            ("categorical", MASKED, WORDS, 1.0),
        ],
    ),
    VariationalBiLSTM: (
        oracle.variational_bilstm,
        [
            *OF_ALL,
            *alone(
                {"alpha": 0.0},
                {"beta": 0.0},
                {"gamma": 0.5},
                {"alpha": 0.0, "beta": 0.0, "gamma": 0.5},
                {"auxiliary_gradient": "target"},
                {"skip_gradient": 1.0},
                {"prior": "standard_normal"},
            ),
        ],
        [
            *together(MANY | {"gamma": 0.5}),
            ("categorical", MASKED, WORDS | {"prior": "standard_normal", "beta": 0.0}, 1.0),
        ],
    ),
}
COMBINED = [(model, row) for model, (_, _, combined) in MODELS.items() for row in combined]
ROWS = [(model, row) for model, (_, rows, _) in MODELS.items() for row in rows] + COMBINED


def shown_once(rows):
    """Those that show an output, an option's value or a form of data of a model that none before them does."""
    seen = set()
    for model, (output, given, options, scale) in rows:
        shows = {(model, str(x)) for x in (output, given, *options.items())}
        if not shows <= seen:
            seen |= shows
            yield model, (output, given, options, scale)


if keras.config.backend() == "jax":  # which compiles each
    ROWS = list(shown_once(COMBINED + ROWS))


def name(value):
    if isinstance(value, type):
        return value.__name__
    output, given, options, scale = value
    given = "exogenous" if given == EXOGENOUS else "+".join(given)
    return " ".join([output, given, *(f"{k}={v}" for k, v in options.items()), f"x{scale}"])


class Weights(dict):
    """Random weights by their path in the model; notes which are read."""

    def __init__(self, model, scale):
        super().__init__()
        self.read = set()
        rng = np.random.default_rng(1)
        for weight in model.trainable_weights:
            value = (scale * rng.normal(size=weight.shape)).astype("float32")
            weight.assign(value)
            self[weight.path.split("/", 1)[1]] = value.astype("float64")

    def __getitem__(self, path):
        self.read.add(path)
        return super().__getitem__(path)


def make_data(output, given):
    """Random data with what is wild in the padding, and the same for the oracle."""
    rng = np.random.default_rng(2)
    lengths = np.array(LENGTHS) + ("targets" not in given)  # the first input is no target
    mask = np.arange(max(lengths)) < lengths[:, None]
    data = {"mask": mask}
    for key in ("inputs", "targets"):
        if output == "categorical":
            frames, wild = rng.integers(0, CLASSES, size=mask.shape), CLASSES + 92
        else:
            frames = rng.normal(size=(*mask.shape, given.get(key, FEATURES))).astype("float32")
            wild = np.float32(np.nan)
        if output == "bernoulli":
            frames = np.float32(frames > 0)
        if "mask" in given:
            frames[~mask] = wild
        data[key] = frames
    data = {key: data[key] for key in given}
    exact = {key: data.get(key) for key in ("inputs", "targets", "mask")}
    return data["targets"] if given == ARRAY else data, exact


def make(model_class, row):
    """A built model with random weights, its data, noise, and terms and steps as the oracle has them."""
    output, given, options, scale = row
    options = OUTPUTS[output] | options
    sizes = {"units": 5, "hidden_units": 4} | ({} if model_class is RNN else {"latent_dim": LATENT})
    model = model_class(output=output, **sizes | options)
    model.build({k: (None, None, f)[: 2 + (output != "categorical")] for k, f in given.items() if k != "mask"})
    weights = Weights(model, scale)

    data, exact = make_data(output, given)
    noise = np.random.default_rng(3).normal(size=(len(LENGTHS), max(LENGTHS), model.noise_dim)).astype("float32")
    options = {option: value for option, value in options.items() if option not in IDLE}
    terms, steps = MODELS[model_class][0](weights, **exact, noise=np.float64(noise), output=output, **options)
    assert weights.read == set(weights)
    return model, data, noise, terms, steps


def assert_close(actual, expected, what):
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, rtol=1e-5, atol=1e-5, err_msg=what)


@pytest.mark.parametrize(("model_class", "row"), ROWS, ids=name)
def test_terms(model_class, row):
    model, data, noise, expected, _ = make(model_class, row)
    terms = model.loss_terms(data, noise=noise)
    assert set(terms) == set(expected)
    for term in terms:
        assert_close(terms[term], expected[term], term)


@pytest.mark.parametrize(("model_class", "row"), COMBINED, ids=name)
def test_steps(model_class, row):
    model, data, noise, _, expected = make(model_class, row)
    steps = model(data, noise=noise)
    actual = {"output": steps.output, "log_weight": steps.log_weight()}
    if model.noise_dim:
        actual |= {"z": steps.latent, "prior": ops.stack(steps.prior, 2), "posterior": ops.stack(steps.posterior, 2)}
    assert set(actual) == set(expected)
    for what, values in actual.items():
        for i, valid in enumerate(expected[what]):
            assert_close(values[i, : len(valid)], valid, f"{what}, sequence {i}")


@pytest.mark.parametrize("row", MODELS[RNN][1], ids=name)
def test_log_likelihood_without_latents(row):
    model, data, _, terms, _ = make(RNN, row)
    assert_close(model.log_likelihood(data, verbose=0), -terms["nll"], "log-likelihood")
