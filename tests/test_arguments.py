"""What is no number, no integer or no bool is refused, NumPy's are taken; sizes are bounded before memory is used."""

import json
import math
import sys

import numpy as np
import pytest

from tests.models.table import make, sequences
from zf_keras import (
    RNN,
    SRNN,
    VRNN,
    AuxiliaryDecoder,
    BackwardEncoder,
    DividedAfter,
    GaussianHead,
    KLAnnealing,
    StochasticLSTMCell,
    VariationalBiLSTM,
    ZForcing,
    arguments,
)

NO_NUMBERS = (True, "1", None, math.nan, math.inf, -math.inf, 10**400, 1j, [1], np.array([1.0]), np.bool_(True))


@pytest.mark.parametrize("check", [arguments.check_non_negative, arguments.check_positive, arguments.check_probability])
def test_numbers(check):
    for value in (*NO_NUMBERS, -1):
        with pytest.raises(ValueError, match=r"^`x` must be .*Received: x="):
            check("x", value)
    for value in (1, 0.5, np.float32(0.5), np.int64(1), np.uint8(1), sys.float_info.min):
        got = check("x", value)
        assert got == value and type(got) in (int, float)


def test_rates():
    for value in (*NO_NUMBERS, -0.1, 1, 1.0):
        with pytest.raises(ValueError, match=r"`x` must be in \[0, 1\)"):
            arguments.check_rate("x", value)
    assert arguments.check_rate("x", np.float64(0)) == 0


@pytest.mark.parametrize("check", [arguments.check_positive_int, arguments.check_size, arguments.check_units])
def test_integers(check):
    for value in (*NO_NUMBERS, 1.0, np.float32(1), 0, -1):
        if not isinstance(value, int) or value < 2:
            with pytest.raises(ValueError, match=r"^`x` must be a positive integer. Received: x="):
                check("x", value)
    for value in (1, np.int8(1), np.uint64(7)):
        assert check("x", value) == value and type(check("x", value)) is int


def test_bools():
    for value in (1, 0, "no", None, 1.0):
        with pytest.raises(ValueError, match="`x` must be True or False"):
            arguments.check_bool("x", value)
    assert arguments.check_bool("x", np.bool_(False)) is False


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (ZForcing, {"clip": True}),
        (ZForcing, {"alpha": True}),
        (ZForcing, {"beta": "0"}),
        (ZForcing, {"kl_weight": True}),
        (ZForcing, {"kl_weight": math.inf}),
        (ZForcing, {"free_nats": True}),
        (ZForcing, {"inputs_to_latent": "no"}),
        (ZForcing, {"latent_units": 0}),
        (ZForcing, {"num_samples": True}),
        (ZForcing, {"num_samples": 10**9}),
        (ZForcing, {"auxiliary": ["z"]}),
        (SRNN, {"smoothing": "no"}),
        (SRNN, {"residual_posterior": 1}),
        (VRNN, {"prior": None}),
        (VariationalBiLSTM, {"gamma": True}),
        (VariationalBiLSTM, {"skip_gradient": True}),
        *((RNN, {name: 10**12}) for name in ("units", "hidden_units", "embedding_dim", "num_layers")),
        (VRNN, {"latent_dim": 10**12}),
        (RNN, {"units": 2**20}),
        (RNN, {"units": True}),
        (RNN, {"dropout": True}),
        (RNN, {"word_dropout": "0.1"}),
        (RNN, {"start_token": 1.5}),
        (RNN, {"start_token": True}),
        (RNN, {"start_token": -1}),
        (RNN, {"start_token": None}),
        (RNN, {"unknown_token": 1.5}),
        (RNN, {"output": "categorical", "num_classes": 5, "start_token": 5}),
        (RNN, {"output": "categorical", "num_classes": 5, "unknown_token": 5}),
        (RNN, {"output": "categorical", "num_classes": 10**12}),
    ],
)
def test_models(cls, values):
    right = {"units": 4, "output": "gaussian"} | ({} if cls is RNN else {"latent_dim": 2})
    name = list(values)[-1]
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        cls(**{**right, **values})


def test_numpy_arguments_become_pythons():
    model = ZForcing(
        units=np.int64(4),
        latent_dim=np.uint8(2),
        output="gaussian",
        alpha=np.float32(0.5),
        clip=np.float64(3),
        dropout=np.float32(0.25),
        inputs_to_latent=np.bool_(True),
        seed=np.int32(7),
    )
    config = model.get_config()
    assert json.loads(json.dumps(config)) == config
    assert (config["units"], config["alpha"], config["inputs_to_latent"], config["seed"]) == (4, 0.5, True, 7)


@pytest.mark.parametrize(
    ("cls", "right", "wrong"),
    [
        (BackwardEncoder, {"units": 3}, {"units": 2.5}),
        (BackwardEncoder, {"units": 3}, {"units": 10**12}),
        (BackwardEncoder, {"units": 3}, {"num_layers": 0}),
        (BackwardEncoder, {"units": 3}, {"dropout": True}),
        (AuxiliaryDecoder, {"units": 3, "hidden_units": 4}, {"hidden_units": 0}),
        (AuxiliaryDecoder, {"units": 3, "hidden_units": 4}, {"clip": True}),
        (AuxiliaryDecoder, {"units": 3, "hidden_units": 4}, {"clip": -1.0}),
        (StochasticLSTMCell, {"units": 3, "latent_dim": 2}, {"units": 10**12}),
        (StochasticLSTMCell, {"units": 3, "latent_dim": 2}, {"hidden_units": 0}),
        (StochasticLSTMCell, {"units": 3, "latent_dim": 2}, {"context_dim": -1}),
        (StochasticLSTMCell, {"units": 3, "latent_dim": 2}, {"inputs_to_latent": "no"}),
        (StochasticLSTMCell, {"units": 3, "latent_dim": 2}, {"clip": math.nan}),
        (GaussianHead, {}, {"features": 2.0}),
        (GaussianHead, {}, {"hidden_units": 10**12}),
    ],
)
def test_layers(cls, right, wrong):
    cls(**right)
    (name, _), *_ = wrong.items()
    with pytest.raises(ValueError, match=rf"`{name}`.*Received: {name}="):
        cls(**{**right, **wrong})


@pytest.mark.parametrize(
    "make_schedule",
    [
        lambda x: KLAnnealing(initial=x),
        lambda x: KLAnnealing(0.2, x),
        lambda x: KLAnnealing(0.2, 0.1, x),
        lambda x: DividedAfter(x, 2, 3, 4),
        lambda x: DividedAfter(1.0, x, 3, 4),
        lambda x: DividedAfter(1.0, 2, x, 4),
        lambda x: DividedAfter(1.0, 2, 3, x),
    ],
)
def test_schedules(make_schedule):
    for value in (math.nan, math.inf, True, "1", None):
        with pytest.raises(ValueError, match=r"needs finite numbers, .*Received: .*=(nan|inf|True|1|None)"):
            make_schedule(value)
    make_schedule(np.float32(1))


def test_noise_is_finite():
    model, x = make("z_forcing"), sequences(count=2)
    noise = np.zeros((2, 5, 2), "float32")
    noise[1, 2, 0] = math.nan
    for value, message in ((noise, r"`noise` must be finite. It holds nan at index \(1, 2, 0\)"), (noise + 1, "nan")):
        with pytest.raises(ValueError, match=message):
            model.loss_terms(x, noise=value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x: model.log_likelihood(x, num_samples=10**9), "`num_samples` must be at most"),
        (lambda model, x: model.log_likelihood(x, num_samples=True), "num_samples=True"),
        (lambda model, x: model.log_likelihood(x, batch_size=1.5), "batch_size=1.5"),
        (lambda model, x: model.forecast(x, 1, 10**9), "`num_samples` must be at most"),
        (lambda model, x: model.forecast(x, 10**9, 100), "`num_samples` and `horizon` must be smaller"),
        (lambda model, x: model.generate(10**11, 2), "`batch_size` and `length` must be smaller"),
        (lambda model, x: model.generate(1, 10**11), "`batch_size` and `length` must be smaller"),
        (lambda model, x: model.generate(1, 2, temperature=True), "temperature=True"),
        (lambda model, x: model.encode(x, batch_size=0), "batch_size=0"),
        (lambda model, x: model.interpolate(x, x, num_points=10**9), "`num_points` must be at most"),
    ],
)
def test_calls(call, message):
    with pytest.raises(ValueError, match=message):
        call(make("srnn"), sequences(count=2))


def test_a_batch_larger_than_the_data_is_the_data():
    model, x = make("rnn"), sequences(count=2)
    np.testing.assert_allclose(model.log_likelihood(x, batch_size=10**11), model.log_likelihood(x), rtol=1e-6)


def test_a_cell_takes_what_it_was_built_for():
    cell = StochasticLSTMCell(units=4, latent_dim=1, context_dim=2)
    cell.build((None, 3 + 2 + 1))
    states = [np.zeros((2, 4), "float32")] * 2
    cell(np.zeros((2, 6), "float32"), states)
    with pytest.raises(ValueError, match=r"of 3 \+ 2 \+ 1 numbers, for which it was built. Received: 5 numbers"):
        cell(np.zeros((2, 5), "float32"), states)
    right = {"x": 3, "context": 2, "noise": 1}

    def scan(**sizes):
        return cell.scan(**{name: size and np.zeros((2, 5, size), "float32") for name, size in sizes.items()})

    scan(**right)
    for name, size in (("x", 2), ("x", 4), ("context", 1), ("context", None), ("noise", 2)):
        with pytest.raises(ValueError, match=rf"`{name}` must be of shape \(batch, time, {right[name]}\)"):
            scan(**{**right, name: size})
