"""The benchmarks find each model of the package by its name."""

import pytest

from benchmarks import training_step
from benchmarks.models import MODELS, new_model


@pytest.mark.parametrize("name", MODELS)
def test_new_model(name):
    model = new_model(name, 3, 2, output="gaussian", hidden_units=4)
    assert (type(model).__name__, model.units, model.hidden_units) == (name, 3, 4)
    assert getattr(model, "latent_dim", 2) == 2


def test_training_step_takes_their_names(capsys):
    with pytest.raises(SystemExit):
        training_step.main(["--models", "LSTM"])
    error = capsys.readouterr().err
    assert all(name in error for name in MODELS)
