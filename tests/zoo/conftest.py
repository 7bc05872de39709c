"""One trained run of a tiny recipe, shared by the tests of a worker."""

import shutil

import pytest

from zoo import evaluation, recipes, training
from zoo.runs import Run

TINY = """
title = "tiny"
[data]
dataset = "digits"
frames = "rows"
[model]
class = "RNN"
units = 4
output = "bernoulli"
[optimizer]
class = "Adam"
learning_rate = 0.01
[training]
batch_size = 50
steps_per_epoch = 2
epochs = 3
[evaluation]
batch_size = 250
"""


def begin_tiny(directory, **settings):
    """A run of the tiny recipe with other settings, such as `training__seed=1`."""
    path = directory.parent / "tiny.toml"
    path.write_text(TINY)
    changed = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    return Run.begin(directory, recipes.load(str(path), settings=changed), small=False, data_directory=None)


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory):
    run = begin_tiny(tmp_path_factory.mktemp("tiny") / "run")
    training.train(run, verbose=0)
    evaluation.evaluate(run, verbose=0)
    return run


@pytest.fixture
def tiny(tiny_original, tmp_path):
    """A copy of a run that was trained and evaluated, to be damaged."""
    shutil.copytree(tiny_original.directory, tmp_path / "run")
    return Run(tmp_path / "run")
