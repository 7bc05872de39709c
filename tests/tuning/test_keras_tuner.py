"""What is used of Keras Tuner beside its interface is as it was: an upgrade that changes it fails here first."""

import inspect

import keras_tuner
import pytest
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from tuning.oracles import Tuner, new_oracle

BAYESIAN, HYPERBAND = keras_tuner.oracles.BayesianOptimizationOracle, keras_tuner.oracles.HyperbandOracle


@pytest.mark.parametrize(
    ("owner", "name", "signature"),
    [
        (keras_tuner.Oracle, "_get_oracle_fname", "(self)"),
        (keras_tuner.Oracle, "_get_trial_dir", "(self, trial_id)"),
        (keras_tuner.Oracle, "_save_trial", "(self, trial)"),
        (keras_tuner.Oracle, "_random_values", "(self)"),
        (keras_tuner.Oracle, "_duplicate", "(self, values)"),
        (BAYESIAN, "_vectorize_trials", "(self)"),
        (BAYESIAN, "_random_populate_space", "(self)"),
        (HYPERBAND, "_get_num_brackets", "(self)"),
        (HYPERBAND, "_get_size", "(self, bracket_num, round_num)"),
        (HYPERBAND, "_get_epochs", "(self, bracket_num, round_num)"),
        (HYPERBAND, "_start_new_bracket", "(self)"),
        (HYPERBAND, "_increment_bracket_num", "(self)"),
        (BaseTuner, "_get_tuner_fname", "(self)"),
        (BaseTuner, "_is_worker", "(self)"),
        (OracleServicer, "__init__", "(self, oracle)"),
        (protos, "get_service_grpc", "()"),
    ],
)
def test_private_functions(owner, name, signature):
    assert str(inspect.signature(getattr(owner, name))) == signature


@pytest.mark.parametrize(
    ("tuner", "names"),
    [
        ("random", ("_retry_queue",)),
        ("bayesian", ("_retry_queue", "gpr")),
        ("hyperband", ("_retry_queue", "_brackets", "_current_bracket", "_current_iteration")),
    ],
)
def test_private_attributes(tuner, names):
    oracle = new_oracle(tuner, keras_tuner.Objective("val_elbo", "max"), 27, seed=0, epochs=80)
    above = type(oracle).__mro__[2]
    assert above.__module__.startswith("keras_tuner.") and set(names) <= vars(above(objective="loss")).keys()


def test_what_stands_in_the_place_of_keras_tuners_own_is_called_by_it():
    create, end = (  # synchronized
        inspect.getclosurevars(function).nonlocals["func"]
        for function in (keras_tuner.Oracle.create_trial, keras_tuner.Oracle.end_trial)
    )
    called = {
        create: ("populate_space", "_save_trial", "save"),
        end: ("_save_trial", "save"),
        keras_tuner.oracles.RandomSearchOracle.populate_space: ("_random_values",),
        BAYESIAN.populate_space: ("_vectorize_trials", "_random_populate_space"),
        HYPERBAND.populate_space: ("_start_new_bracket", "_increment_bracket_num"),
        BaseTuner.__init__: ("_get_tuner_fname", "reload"),
        BaseTuner.on_trial_end: ("save",),
    }
    for function, names in called.items():
        assert set(names) <= set(function.__code__.co_names), function
    assert issubclass(Tuner, BaseTuner)
