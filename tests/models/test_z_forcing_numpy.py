"""`ZForcing` and `RNN` against their equations, written a second time in NumPy."""

import numpy as np
import pytest
from keras import ops

from tests import numpy_z_forcing as oracle
from zf_keras import RNN, ZForcing

LATENT, FEATURES, CLASSES, COMPONENTS = 3, 2, 6, 3
LENGTHS = (6, 1, 4)

# Which keys of the data are given.
ARRAY = ("targets",)
MASKED = ("targets", "mask")
APART = ("inputs", "targets", "mask")
INPUTS = ("inputs",)
MASKED_INPUTS = ("inputs", "mask")

OUTPUTS = ("gaussian", "gaussian_mixture", "bernoulli", "categorical")
OPTIONS = (
    {"alpha": 0.0},
    {"beta": 0.0},
    {"alpha": 0.0, "beta": 0.0},
    {"free_nats": 5.0},
    {"kl_weight": 0.3},
    {"hidden_units": 7},
    {"auxiliary": "zh"},
    {"auxiliary_cost": "l2"},
    {"auxiliary_gradient": "strict"},
    {"auxiliary_gradient": "detached"},
    {"inputs_to_latent": True},
    {"output_network": "mlp"},
    {"latent_units": 4},
    {"clip": None},
    {"clip": 0.1},
    {"embedding_dim": 4},
)
MANY = {
    "auxiliary": "zh",
    "inputs_to_latent": True,
    "output_network": "mlp",
    "latent_units": 2,
    "embedding_dim": 4,
    "free_nats": 2.0,
    "clip": 1.0,
}

# Output, keys given, options, scale of the weights.
DATA = [
    *(("gaussian", given, {}, 0.5) for given in (ARRAY, APART, INPUTS)),
    *((output, MASKED_INPUTS, {}, 1.0) for output in OUTPUTS),
    ("categorical", MASKED, {"start_token": 2}, 0.5),
    ("categorical", ARRAY, {"start_token": 5, "embedding_dim": 4}, 0.5),
]
COMBINED = [
    *((output, APART, MANY, 0.5) for output in OUTPUTS),
    ("gaussian", MASKED, {"clip": None}, 1.0),
    ("gaussian", MASKED, {"inputs_to_latent": True, "embedding_dim": 4}, 0.5),
    ("gaussian", MASKED, {"auxiliary_cost": "l2", "auxiliary": "zh", "clip": 0.1, "alpha": 1.0}, 0.5),
    ("gaussian_mixture", MASKED, {}, 1.0),
    ("bernoulli", MASKED_INPUTS, MANY | {"auxiliary_gradient": "strict", "beta": 0.0}, 1.5),
    ("categorical", MASKED, {"inputs_to_latent": True, "start_token": 2, "alpha": 0.0}, 1.5),
]
Z_FORCING = [
    *DATA,
    *((output, MASKED, {}, 0.5) for output in OUTPUTS),
    *(("gaussian", MASKED, options, 0.5) for options in OPTIONS),
    *COMBINED,
]
RNNS = [
    *DATA,
    *((output, MASKED, {"embedding_dim": 4, "output_network": "linear"}, 1.5) for output in OUTPUTS),
    ("gaussian", MASKED, {}, 4.0),
]


def name(row):
    output, given, options, scale = row
    return " ".join([output, "+".join(given), *(f"{k}={v}" for k, v in options.items()), f"x{scale}"])


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
            frames, wild = rng.normal(size=(*mask.shape, FEATURES)).astype("float32"), np.float32(np.nan)
        if output == "bernoulli":
            frames = np.float32(frames > 0)
        if "mask" in given:
            frames[~mask] = wild
        data[key] = frames
    data = {key: data[key] for key in given}
    exact = {key: data.get(key) for key in ("inputs", "targets", "mask")}
    return data["targets"] if given == ARRAY else data, exact


def make(model_class, row, **sizes):
    """A built model with random weights, its weights, and arguments for the oracle."""
    output, _, options, scale = row
    of_output = {"gaussian_mixture": {"num_components": COMPONENTS}, "categorical": {"num_classes": CLASSES}}
    options = of_output.get(output, {}) | options
    model = model_class(units=5, output=output, **{"hidden_units": 4} | sizes | options)
    model.build((None, None) if output == "categorical" else (None, None, FEATURES))
    unknown = ("hidden_units", "kl_weight", "auxiliary_gradient")
    options = {"output": output} | {k: v for k, v in options.items() if k not in unknown}
    return model, Weights(model, scale), options


def assert_close(actual, expected, what):
    np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, rtol=1e-5, atol=1e-5, err_msg=what)


def make_z_forcing(row):
    """The model, its data, noise, and what the oracle says."""
    model, weights, options = make(ZForcing, row, latent_dim=LATENT)
    data, exact = make_data(*row[:2])
    noise = np.random.default_rng(3).normal(size=(len(LENGTHS), max(LENGTHS), LATENT)).astype("float32")
    options = {"alpha": 0.005, "beta": 0.005} | options
    expected = oracle.z_forcing(weights, **exact, noise=np.float64(noise), **options)
    assert weights.read == set(weights)
    return model, data, noise, expected


@pytest.mark.parametrize("row", Z_FORCING, ids=name)
def test_terms_of_z_forcing(row):
    model, data, noise, expected = make_z_forcing(row)
    terms = model.loss_terms(data, noise=noise)
    assert set(terms) == {"nll", "kl", "kl_cost", "aux_nll", "backward_nll"} & set(expected)
    for term in terms:
        assert_close(terms[term], expected[term], term)


@pytest.mark.parametrize("row", COMBINED, ids=name)
def test_steps_of_z_forcing(row):
    model, data, noise, expected = make_z_forcing(row)
    steps = model(data, noise=noise)
    actual = {
        "z": steps.latent,
        "prior_mean": steps.prior.mean,
        "prior_log_variance": steps.prior.log_variance,
        "posterior_mean": steps.posterior.mean,
        "posterior_log_variance": steps.posterior.log_variance,
        "output": steps.output,
    }
    for what in actual:
        values = ops.convert_to_numpy(actual[what])
        for i, valid in enumerate(expected[what]):
            assert_close(values[i, : len(valid)], valid, f"{what}, sequence {i}")

    log_weights = ops.convert_to_numpy(model.step_log_weights(steps, model.sequences(data)))
    log_weights = [w[:length].sum() for w, length in zip(log_weights, LENGTHS, strict=True)]
    assert_close(log_weights, -expected["nll"] + expected["log_pz"] - expected["log_qz"], "log-weights")


@pytest.mark.parametrize("row", RNNS, ids=name)
def test_rnn(row):
    model, weights, options = make(RNN, row)
    data, exact = make_data(*row[:2])
    expected = oracle.rnn(weights, **exact, **options)
    assert weights.read == set(weights)
    terms = model.loss_terms(data)
    assert set(terms) == {"nll"}
    assert_close(terms["nll"], expected["nll"], "nll")
    assert_close(model.log_likelihood(data, verbose=0), -expected["nll"], "log-likelihood")
