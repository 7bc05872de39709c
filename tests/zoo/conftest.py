"""Runs that the tests of a worker share: one of a tiny recipe, and one of speech by the command line."""

import json
import shutil
import types

import keras
import numpy as np
import pytest
import soundfile
from keras import ops

from tests.zoo.command_line import command, done, inside, refused
from tests.zoo.written import TINY
from zoo import components, evaluation, recipes, training
from zoo.runs import CARD, RESULTS, Run

STEPS = 3
SPEECH = """
title = "Tiny speech"
[data]
dataset = "speech"
frame_size = 20
split = "folders"
[model]
class = "RNN"
units = 5
output = "gaussian"
[optimizer]
class = "Adam"
learning_rate = 0.01
[training]
batch_size = 2
steps_per_epoch = 3
epochs = 2
multiple = 4
samples_every = 0
[evaluation]
batch_size = 2
[published]
metric = "bits a sample"
value = 1.25
bound = "exact"
source = "nobody"
[small]
model.units = 4
"""
RATE, LENGTHS = 8000, {"train": (300, 219, 90, 160), "valid": (200, 130), "test": (259, 101, 180)}


@keras.saving.register_keras_serializable("tests.zoo")
class Spike(keras.optimizers.schedules.LearningRateSchedule):
    """0.01, but for one update."""

    def __init__(self, at, value):
        self.at, self.value = at, value

    def __call__(self, step):
        return ops.where(ops.equal(ops.cast(step, "int32"), self.at), ops.cast(self.value, "float32"), 0.01)

    def get_config(self):
        return {"at": self.at, "value": self.value}


def with_spike(patch, at, value):
    patch.setattr(components, "new_optimizer", lambda recipe, steps: keras.optimizers.Adam(Spike(at, value)))


def begin_tiny(directory, **settings):
    """A run of the tiny recipe with other settings, such as `training__seed=1`."""
    path = directory.parent / "tiny.toml"
    path.write_text(TINY)
    changed = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    return Run.begin(directory, recipes.load(str(path), settings=changed), small=False, data_directory=None)


def updates(path):
    return int(keras.saving.load_model(path).optimizer.iterations)


@pytest.fixture(scope="session")
def tiny_original(tmp_path_factory):
    """Its best epoch is the first: the second has an update at far too high a rate."""
    run = begin_tiny(tmp_path_factory.mktemp("tiny") / "run")
    with pytest.MonkeyPatch.context() as patch:
        with_spike(patch, STEPS + 1, 3.0)
        training.train(run, verbose=0)
    evaluation.evaluate(run, verbose=0)
    return run


@pytest.fixture
def tiny(tiny_original, tmp_path):
    """A copy of a run that was trained and evaluated, to be damaged."""
    shutil.copytree(tiny_original.directory, tmp_path / "run")
    return Run(tmp_path / "run")


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def waves():
    rng = np.random.default_rng(0)
    return {
        split: [
            (3000 * np.sin(np.arange(n) / (5 + i)) + 300 * rng.normal(size=n) + 100).astype("int16")
            for i, n in enumerate(lengths)
        ]
        for split, lengths in LENGTHS.items()
    }


@pytest.fixture(scope="session")
def speech(tmp_path_factory):
    """A folder with data and a run of the small form that was stopped, could not be evaluated, and was resumed."""
    folder = tmp_path_factory.mktemp("speech")
    for split, of_split in waves().items():
        (folder / "wav" / split).mkdir(parents=True)
        for i, wave in enumerate(of_split):
            soundfile.write(folder / "wav" / split / f"{i}.wav", wave, RATE, "PCM_16")
    (folder / "tiny.toml").write_text(SPEECH)
    said = {}
    with inside(folder) as patch:
        said["not prepared"] = refused("train", "tiny.toml", "--small")
        said["prepare"] = done("prepare", "tiny.toml", "--source", "wav")
        with patch.context() as stopped:
            stopped.setattr(training.Epochs, "on_epoch_begin", interrupt)
            said["stopped"] = command("train", "tiny.toml", "--small")
        said["evaluate"] = refused("evaluate", "runs/tiny-small")
        said["generate"] = refused("generate", "runs/tiny-small")
        said["resume"] = done("resume", "runs/tiny-small")
    run = Run(folder / "runs/tiny-small")
    files = {name: run.path(name).read_text() for name in (RESULTS, CARD)}
    return types.SimpleNamespace(
        folder=folder, run=run, said=said, results=json.loads(files[RESULTS]), card=files[CARD]
    )
