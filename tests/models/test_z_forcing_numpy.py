"""`ZForcing` and `RNN` against their equations, written a second time in NumPy."""

import numpy as np
import pytest
from keras import ops

from tests import numpy_z_forcing as oracle
from zf_keras import RNN, ZForcing

LATENT, FEATURES, CLASSES, COMPONENTS = 3, 2, 6, 3
LENGTHS = (6, 2, 4)

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
    {"free_nats": 0.7},
    {"kl_weight": 0.3},
    {"hidden_units": 7},
    {"auxiliary": "zh"},
    {"auxiliary_cost": "l2"},
    {"auxiliary_cost": "l2", "auxiliary": "zh", "clip": 0.1},
    {"auxiliary_gradient": "strict"},
    {"auxiliary_gradient": "strict", "auxiliary": "zh", "embedding_dim": 4},
    {"auxiliary_gradient": "detached"},
    {"inputs_to_latent": True},
    {"inputs_to_latent": True, "embedding_dim": 4},
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
    "free_nats": 0.7,
    "clip": 1.0,
}

# Output, keys given, options, scale of the weights.
Z_FORCING = [
    *(
        (output, given, {}, 0.5)
        for output in OUTPUTS
        for given in (ARRAY, MASKED, APART, INPUTS, MASKED_INPUTS)
    ),
    *((output, MASKED, options, 0.5) for output in ("gaussian", "categorical") for options in OPTIONS),
    *((output, APART, MANY, 0.5) for output in OUTPUTS),
    *((output, MASKED, {}, 2.0) for output in OUTPUTS),
    ("gaussian", MASKED, {"clip": None}, 1.0),
    ("gaussian_mixture", MASKED_INPUTS, MANY | {"auxiliary_cost": "l2", "alpha": 1.0}, 2.0),
    ("bernoulli", MASKED_INPUTS, MANY | {"auxiliary_gradient": "strict", "beta": 0.0}, 2.0),
    ("categorical", MASKED, {"start_token": 2}, 0.5),
    ("categorical", MASKED, {"start_token": 5, "embedding_dim": 4, "inputs_to_latent": True}, 0.5),
]
RNNS = [
    *(
        (output, given, {}, 0.5)
        for output in OUTPUTS
        for given in (ARRAY, MASKED, APART, INPUTS, MASKED_INPUTS)
    ),
    *((output, MASKED, {"embedding_dim": 4, "output_network": "linear"}, 2.0) for output in OUTPUTS),
    ("categorical", MASKED, {"start_token": 2}, 0.5),
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
    mask = np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
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


def assert_steps_close(actual, expected, what):
    """At the valid steps of every sequence."""
    actual = ops.convert_to_numpy(actual)
    for i, steps in enumerate(expected):
        assert_close(actual[i, : len(steps)], steps, f"{what}, sequence {i}")


@pytest.mark.parametrize("row", Z_FORCING, ids=name)
def test_z_forcing_is_its_equations(row):
    model, weights, options = make(ZForcing, row, latent_dim=LATENT)
    data, exact = make_data(*row[:2])
    time = max(LENGTHS) - (exact["targets"] is None)
    noise = np.random.default_rng(3).normal(size=(len(LENGTHS), time, LATENT)).astype("float32")

    terms = model.loss_terms(data, noise=noise)
    steps = model(data, noise=noise)

    options = {"alpha": 0.005, "beta": 0.005} | options
    expected = oracle.z_forcing(weights, **exact, noise=np.float64(noise), **options)
    assert weights.read == set(weights)

    names = {"nll", "kl"}
    names |= {"kl_cost"} if options.get("free_nats") else set()
    names |= {"aux_nll"} if options["alpha"] else set()
    names |= {"backward_nll"} if options["beta"] else set()
    assert set(terms) == names
    for term in names:
        assert_close(terms[term], expected[term], term)

    assert_steps_close(steps.latent, expected["z"], "z")
    assert_steps_close(steps.prior.mean, expected["prior_mean"], "prior mean")
    assert_steps_close(steps.prior.log_variance, expected["prior_log_variance"], "prior log-variance")
    assert_steps_close(steps.posterior.mean, expected["posterior_mean"], "posterior mean")
    assert_steps_close(
        steps.posterior.log_variance, expected["posterior_log_variance"], "posterior log-variance"
    )
    assert_steps_close(steps.output, expected["output"], "output")

    log_weights = ops.convert_to_numpy(model.step_log_weights(steps, model.sequences(data)))
    log_weights = [w[: len(z)].sum() for w, z in zip(log_weights, expected["z"], strict=True)]
    assert_close(log_weights, -expected["nll"] + expected["log_pz"] - expected["log_qz"], "log-weights")


@pytest.mark.parametrize("row", RNNS, ids=name)
def test_rnn_is_its_equations(row):
    model, weights, options = make(RNN, row)
    data, exact = make_data(*row[:2])
    terms = model.loss_terms(data)
    expected = oracle.rnn(weights, **exact, **options)
    assert weights.read == set(weights)
    assert set(terms) == {"nll"}
    assert_close(terms["nll"], expected["nll"], "nll")
    assert_close(model.log_likelihood(data, verbose=0), -expected["nll"], "log-likelihood")
    assert_steps_close(model(data).output, expected["output"], "output")
