"""A run that was stopped, however and however often, ends as if it had not been."""

import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from io import BytesIO

import h5py
import pytest

from zoo import recipes, training
from zoo.runs import BEST, LAST, METRICS, Run, training_batches

RECIPE = """
title = "a test"
[data]
dataset = "digits"
frames = "rows"
[model]
class = "STORN"
units = 6
latent_dim = 2
output = "bernoulli"
dropout = 0.2
[optimizer]
class = "Adam"
learning_rate = 0.01
global_clipnorm = 1.0
[schedule]
kl_weight = { initial = 0.1, increment = 0.001 }
learning_rate = { decay = "cosine" }
[training]
batch_size = 50
steps_per_epoch = 5
epochs = 4
samples_every = 0
[evaluation]
num_samples = 2
batch_size = 250
"""


def begin(directory, *settings):
    path = directory.parent / "recipe.toml"
    path.write_text(RECIPE)
    return Run.begin(directory, recipes.load(str(path), settings=settings), small=False, data_directory=None)


def weights(path):
    """Everything in a .keras file: weights, optimizer, counters, random state."""
    with zipfile.ZipFile(path) as file, h5py.File(BytesIO(file.read("model.weights.h5"))) as store:
        found = {}
        store.visititems(
            lambda name, item: found.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
        return found


def assert_same(run, other):
    assert run.path(METRICS).read_text() == other.path(METRICS).read_text()
    for name in (LAST, BEST):
        first, second = weights(run.path(name)), weights(other.path(name))
        assert len(first) > 30 and first.keys() == second.keys()
        assert [key for key in first if first[key] != second[key]] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = begin(tmp_path_factory.mktemp("whole") / "run")
    training.train(run, verbose=0)
    assert len(run.rows()) == 4
    return run


def test_killed_at_random_steps(whole, tmp_path, lean_children):
    """kill -9, from outside, at random moments, and resumed each time."""
    run = begin(tmp_path / "run")
    program = "import sys; from zoo import runs, training; training.train(runs.Run(sys.argv[1]), verbose=0)"
    rng, kills = random.Random(os.getpid()), 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", program, str(run.directory)], stderr=subprocess.PIPE)
        epochs = len(run.rows())
        while process.poll() is None and len(run.rows()) == epochs:
            time.sleep(0.001)  # it is training now
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        error = process.communicate()[1].decode()
        assert process.returncode in (0, -signal.SIGKILL), error
        kills += process.returncode != 0
    training.train(Run(run.directory), verbose=0)
    assert kills >= 1
    assert_same(run, whole)


def test_stopped_before_or_after_each_file_and_within_an_epoch(whole, tmp_path, monkeypatch):
    """Between the row of the first epoch and its last.keras; then between last.keras and best.keras of the second; then
    within the third.
    """
    run = begin(tmp_path / "run")
    replace = os.replace
    for moment in (3, 8):
        calls = []

        def interrupted(*paths, calls=calls, moment=moment):
            calls.append(paths)
            if len(calls) == moment:
                raise KeyboardInterrupt
            replace(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", interrupted)
            with pytest.raises(KeyboardInterrupt):
                training.train(Run(run.directory), verbose=0)
    check = training.Epochs.on_train_batch_end

    def interrupted(self, batch, logs=None):
        check(self, batch, logs)
        if (self.epoch, batch) == (2, 3):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training.Epochs, "on_train_batch_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.train(Run(run.directory), verbose=0)
    assert len(run.rows()) == 2
    training.train(Run(run.directory), verbose=0)
    assert_same(run, whole)
    before = run.path(LAST).read_bytes()
    training.train(Run(run.directory), verbose=0)  # nothing is left to do
    assert run.path(LAST).read_bytes() == before


def test_states_that_are_carried_on(tmp_path):
    """Of two pieces an image: an epoch of three updates ends between the two."""
    settings = "training.piece_length=4", "training.steps_per_epoch=3", "training.epochs=2", "model.dropout=0"
    runs = []
    for name, stops in (("whole", (None,)), ("stopped", (1, None))):
        (tmp_path / name).mkdir()
        runs.append(begin(tmp_path / name / "run", *settings))
        for until in stops:
            training.train(Run(runs[-1].directory), verbose=0, until=until)
    assert_same(*runs)
    state = [key for key in weights(runs[0].path(LAST)) if key.startswith("kept/")]
    assert len(state) == 4
    with pytest.raises(recipes.RecipeError, match=r"training\.piece_length: one device trains on pieces"):
        training_batches(runs[0].recipe, runs[0].load_data().train, replicas=2)
