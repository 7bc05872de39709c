"""The files of a run, and what a run does with what is not finite."""

import csv
import json
import math
import shutil
import types

import keras
import numpy as np
import pytest
import tomli_w
from keras import ops
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from zf_keras.datasets import digits
from zoo import components, evaluation, recipes, runs, training
from zoo.__main__ import main
from zoo.runs import BEST, ENVIRONMENT, LAST, LOG, METRICS, RECIPE, NonFiniteError, Run, RunError

TEXT = """
title = "a test"
[data]
dataset = "digits"
frames = "rows"
[model]
class = "RNN"
units = 4
output = "gaussian"
[optimizer]
class = "Adam"
learning_rate = 0.01
[training]
batch_size = 50
steps_per_epoch = 3
epochs = 3
[evaluation]
batch_size = 250
"""
STEPS = 3


@keras.saving.register_keras_serializable("tests.zoo.test_runs")
class Spike(keras.optimizers.schedules.LearningRateSchedule):
    """0.01, but for one update."""

    def __init__(self, at, value):
        self.at, self.value = at, value

    def __call__(self, step):
        return ops.where(ops.equal(ops.cast(step, "int32"), self.at), ops.cast(self.value, "float32"), 0.01)

    def get_config(self):
        return {"at": self.at, "value": self.value}


def begin(directory, text=TEXT):
    path = directory.parent / "recipe.toml"
    path.write_text(text)
    return Run.begin(directory, recipes.load(str(path)), small=False, data_directory=None)


def with_spike(patch, at, value):
    patch.setattr(components, "new_optimizer", lambda recipe, steps: keras.optimizers.Adam(Spike(at, value)))


def updates(path):
    return int(keras.saving.load_model(path).optimizer.iterations)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose best epoch is its first: the second has an update at far too high a rate."""
    run = begin(tmp_path_factory.mktemp("trained") / "run", TEXT.replace("gaussian", "bernoulli"))
    with pytest.MonkeyPatch.context() as patch:
        with_spike(patch, STEPS + 1, 3.0)
        training.train(run, verbose=0)
    return run


@pytest.fixture
def copied(trained, tmp_path):
    shutil.copytree(trained.directory, tmp_path / "run")
    return Run(tmp_path / "run")


# Files.


def test_metrics(trained):
    with trained.path(METRICS).open() as file:
        table = list(csv.reader(file))
    assert table[0][0] == "epoch" and len(table) == 4
    expected = {"epoch", "learning_rate", *(f"{v}{name}" for v in ("", "val_") for name in ("loss", "elbo", "nll"))}
    assert set(table[0]) == expected
    rows = trained.rows()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [dict(zip(table[0], map(float, line), strict=True)) for line in table[1:]] == rows
    for row in rows:
        assert all(map(math.isfinite, row.values()))
        assert row["learning_rate"] == pytest.approx(0.01)
        assert row["val_loss"] == pytest.approx(-row["val_elbo"], rel=1e-5) == pytest.approx(row["val_nll"], rel=1e-5)
        assert row["nll"] == pytest.approx(-row["elbo"], rel=1e-5)
    assert rows[0]["val_elbo"] > rows[2]["val_elbo"] + 1 and rows[0]["val_elbo"] > rows[1]["val_elbo"] + 1


def test_tensorboard(trained):
    events = EventAccumulator(str(trained.path("tensorboard"))).Reload()
    rows = trained.rows()
    assert set(events.Tags()["tensors"]) == {name for name in rows[0] if name != "epoch"} | {"seconds"}
    for name in rows[0]:
        if name != "epoch":
            found = events.Tensors(name)
            assert [event.step for event in found] == [STEPS, 2 * STEPS, 3 * STEPS]
            values = [
                np.frombuffer(e.tensor_proto.tensor_content, "<f4") for e in found if e.tensor_proto.tensor_content
            ]
            values = values or [e.tensor_proto.float_val for e in found]
            np.testing.assert_allclose(np.ravel(values), [row[name] for row in rows], rtol=1e-6)


def test_environment_and_recipe(trained):
    environment = json.loads(trained.path(ENVIRONMENT).read_text())
    assert environment["recipe"] == "recipe" == trained.name
    assert environment["data"] is None and environment["data_checksum"] is None
    assert environment["backend"] == keras.config.backend()
    assert environment["versions"]["keras"] == keras.__version__ and environment["versions"]["numpy"] == np.__version__
    assert keras.config.backend() in environment["versions"]
    assert environment["devices"] and environment["cpu_cores"] > 0
    assert len(environment["date"]) == len("2026-01-31")
    kept = recipes.from_text("kept", trained.path(RECIPE).read_text())
    assert kept.values == recipes.load(str(trained.directory.parent / "recipe.toml")).values
    assert not list(trained.directory.glob("partial-*"))


def test_log(trained):
    lines = trained.path(LOG).read_text().splitlines()
    found = [line.split(" ", 2)[2] for line in lines]
    assert found[0] == f"Begins after 0 epochs of 3 updates, on {keras.config.backend()}"
    for line, row in zip(found[1:4], trained.rows(), strict=True):
        assert line.startswith(f"Epoch {row['epoch']}: val_elbo {row['val_elbo']:.6g}, ")
    assert found[4:] == ["Trained for 3 epochs: complete. Best was epoch 1."]


def test_best_and_last(trained):
    """What the files hold is what the rows say of their epochs."""
    valid = digits.load_data("rows").valid
    for name, epoch in ((BEST, 1), (LAST, 3)):
        assert updates(trained.path(name)) == epoch * STEPS
        model = keras.saving.load_model(trained.path(name))
        elbo = model.log_likelihood(valid, batch_size=250).mean()
        assert elbo == pytest.approx(trained.rows()[epoch - 1]["val_elbo"], rel=1e-5)
    assert evaluation.evaluate(trained, verbose=0)["epoch"] == 1


def test_nothing_is_left_to_do(copied):
    before = {path.name: path.read_bytes() for path in copied.directory.iterdir() if path.suffix in (".keras", ".csv")}
    assert len(before) == 3
    training.train(copied, verbose=0)
    assert {name: copied.path(name).read_bytes() for name in before} == before
    assert copied.path(LOG).read_text().endswith("Trained for 3 epochs: complete.\n")


def better_row(run):
    rows = run.rows()
    return {**rows[-1], "epoch": len(rows) + 1, "val_elbo": rows[0]["val_elbo"] + 1}


def test_epoch_of_the_results_after_a_kill(copied):
    """Killed after the row of an epoch was written and before its model was: best.keras is of epoch 1."""
    copied.write_rows([*copied.rows(), better_row(copied)])
    assert evaluation.evaluate(copied, verbose=0)["epoch"] == 1


def test_resumed_after_a_kill_between_row_and_model(copied):
    rows = copied.rows()
    copied.write_rows([*rows, better_row(copied)])
    training.train(copied, verbose=0)
    assert copied.rows() == rows


def test_files_that_do_not_fit(copied):
    rows = copied.rows()
    copied.write_rows(rows[:2])
    with pytest.raises(RunError, match=r"last\.keras can't be used: metrics\.csv has 2 rows, it is of 3 epochs"):
        training.train(copied, verbose=0)
    assert "Stopped: " in copied.path(LOG).read_text()
    copied.write_rows(rows)
    copied.path(BEST).unlink()
    with pytest.raises(RunError, match=r"best\.keras, of epoch 1, is gone.* copy last\.keras in its place"):
        training.train(copied, verbose=0)
    copied.path(LAST).write_bytes(copied.path(LAST).read_bytes()[:-100])
    with pytest.raises(RunError, match=r"last\.keras can't be used"):
        training.train(copied, verbose=0)
    copied.path(ENVIRONMENT).write_text("{")
    with pytest.raises(RunError, match=r"environment\.json can't be read"):
        Run(copied.directory)


def test_best_model_of_another_run(copied, trained):
    other = json.loads(copied.path(ENVIRONMENT).read_text()) | {"id": "another"}
    copied.path(ENVIRONMENT).write_text(json.dumps(other))
    run = Run(copied.directory)
    run.save_model(keras.saving.load_model(run.path(LAST)), 3)
    with pytest.raises(RunError, match=r"best\.keras can't be used: it is of another run"):
        training.train(run, verbose=0)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("steps_per_epoch = 3", "steps_per_epoch = 4", "training.steps_per_epoch"),
        ('frames = "rows"', 'frames = "pixels"', "data.frames"),
        ("units = 4", "units = 5", "model.units"),
    ],
)
def test_a_recipe_that_was_changed(copied, old, new, key):
    text = copied.path(RECIPE).read_text()
    assert old in text
    copied.path(RECIPE).write_text(text.replace(old, new))
    with pytest.raises(RunError, match=rf"recipe\.toml was changed since the run began: {key}\. "):
        Run(copied.directory)


def test_more_epochs_may_be_asked_for(copied):
    text = copied.path(RECIPE).read_text()
    assert "epochs = 3\n" in text
    copied.path(RECIPE).write_text(text.replace("epochs = 3\n", "epochs = 4\n"))
    training.train(Run(copied.directory), verbose=0)
    assert [row["epoch"] for row in copied.rows()] == [1, 2, 3, 4]
    decay = {"training": {"epochs": 3}, "schedule": {"learning_rate": {"decay": "cosine"}}}
    assert "training.epochs" in recipes.fixed_settings(decay) and "training.epochs" not in recipes.fixed_settings(
        {"training": {"epochs": 3}}
    )


def test_epochs_of_an_optimizer_that_counts_otherwise(tmp_path):
    """With accumulated gradients `iterations` is not the number of updates."""
    text = TEXT.replace("[optimizer]\n", "[optimizer]\ngradient_accumulation_steps = 2\n")
    run = begin(tmp_path / "run", text)
    training.train(run, verbose=0)
    before = run.path(LAST).read_bytes()
    training.train(Run(run.directory), verbose=0)
    assert run.path(LAST).read_bytes() == before


def test_data_that_the_recipe_can_not_train_on():
    recipe = recipes.load("digits/z_forcing")
    data = digits.load_data("rows")
    runs.check_data(recipe, data)
    with pytest.raises(RunError, match="The valid part holds no sequence"):
        runs.check_data(recipe, data._replace(valid=data.valid[:0]))
    with pytest.raises(RunError, match=r"The model does not take the data: .*0 and 1"):
        runs.check_data(recipe, data._replace(train=data.train + 0.5))


# Beginnings.


def test_begin(tmp_path):
    (tmp_path / "run").mkdir()
    run = begin(tmp_path / "run")  # empty
    assert run.rows() == [] and run.results() is None
    with pytest.raises(
        RunError, match=r"is not empty\. Go on with it by `resume`, or choose another folder by --run-dir"
    ):
        begin(tmp_path / "run")
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"other is not empty\. Choose another folder by --run-dir"):
        begin(other)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
    with pytest.raises(RunError, match=r"other is not the folder of a run: it has no recipe\.toml"):
        Run(other)


def test_small_is_in_the_name(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT)
    run = Run.begin(tmp_path / "run", recipes.load(str(path)), small=True, data_directory=None)
    assert run.name == "recipe (small)" == Run(tmp_path / "run").name


def test_a_run_of_a_recipe_that_was_changed_by_hand(tmp_path):
    run = begin(tmp_path / "run")
    run.path(RECIPE).write_text(tomli_w.dumps(run.recipe.values | {"training": {"epoch": 3}}))
    with pytest.raises(recipes.RecipeError, match=r"run/recipe\.toml, line \d+: unknown key 'training\.epoch'"):
        Run(run.directory)


# Not finite.


def arrays(run):
    """Weights of last.keras, all finite."""
    weights = keras.saving.load_model(run.path(LAST)).get_weights()
    assert weights and all(np.isfinite(weight).all() for weight in weights)
    return weights


def indices(run, update):
    data = run.load_data()
    batches = run.batches(data.train, training=True)
    return ", ".join(map(str, batches.order(update // len(batches))[update % len(batches)].tolist()))


def test_a_term_that_is_not_finite(tmp_path, monkeypatch, capsys):
    """Weights of 1e30 after update 4: update 5 has no finite loss. `resume` stops at the same update."""
    run = begin(tmp_path / "run")
    with_spike(monkeypatch, STEPS + 1, 1e30)
    with pytest.raises(NonFiniteError) as error:
        training.train(run, verbose=0)
    message = str(error.value)
    number = STEPS + 2
    where = f"Update {number} (epoch 2, batch 2; training sequences {indices(run, number)}): "
    assert message.startswith(f"{where}nll not finite. ")
    assert "lower optimizer.learning_rate" in message and str(run.directory) in message
    assert updates(run.path(LAST)) == updates(run.path(BEST)) == STEPS
    assert len(run.rows()) == 1
    before, weights = run.path(LAST).read_bytes(), arrays(run)
    assert main(["resume", str(run.directory)]) == 1
    assert capsys.readouterr().err.strip() == f"python -m zoo resume: {message}"
    assert run.path(LAST).read_bytes() == before
    for weight, again in zip(weights, arrays(run), strict=True):
        np.testing.assert_array_equal(weight, again)
    assert run.path(LOG).read_text().count(f"Stopped: {where}nll not finite. ") == 2


@pytest.mark.parametrize("at", [STEPS + 1, 2 * STEPS - 1], ids=["within the epoch", "the last of it"])
def test_an_update_that_is_not_finite(tmp_path, monkeypatch, at):
    """All terms are finite, the weights after it are not: it is named, and not the next."""
    run = begin(tmp_path / "run")
    with_spike(monkeypatch, at, math.nan)
    with pytest.raises(NonFiniteError) as error:
        training.train(run, verbose=0)
    where = f"Update {at} (epoch {1 + at // STEPS}, batch {at % STEPS}; training sequences {indices(run, at)}): "
    assert str(error.value).startswith(
        f"{where}the weights after it not finite, all terms of the loss finite: the gradient or its step is not. "
    )
    assert len(run.rows()) == 1 and updates(run.path(LAST)) == updates(run.path(BEST)) == STEPS
    arrays(run)


def test_a_sequence_that_is_not_finite_in_the_loss(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    parts = {split: rng.normal(size=(20, 4, 2)).astype("float32") for split in ("train", "valid", "test")}
    parts["train"][7, 2, 1] = 1e30
    monkeypatch.setattr(runs, "load_data", lambda recipe, directory: types.SimpleNamespace(**parts))
    text = TEXT.replace("batch_size = 50", "batch_size = 4").replace("steps_per_epoch = 3", "steps_per_epoch = 5")
    run = begin(tmp_path / "run", text)
    order = run.batches(parts["train"], training=True).order(0)
    (at,) = (i for i, batch in enumerate(order) if 7 in batch)
    with pytest.raises(NonFiniteError) as error:
        training.train(run, verbose=0)
    sequences = ", ".join(map(str, order[at]))
    assert str(error.value).startswith(f"Update {at} (epoch 1, batch {at}; training sequences {sequences}): nll not")


def test_a_validation_that_is_not_finite(tmp_path, monkeypatch):
    """Weights of 1e30 after the last update of epoch 2, finite themselves."""
    run = begin(tmp_path / "run")
    with_spike(monkeypatch, 2 * STEPS - 1, 1e30)
    with pytest.raises(RunError, match=r"^Validation after epoch 2: val_\w+ is (nan|inf|-inf)\. .*learning_rate"):
        training.train(run, verbose=0)
    assert len(run.rows()) == 1 and updates(run.path(LAST)) == updates(run.path(BEST)) == STEPS
    arrays(run)
    assert "Stopped: Validation after epoch 2" in run.path(LOG).read_text()


# Clipping.


def test_global_clipnorm(tmp_path):
    """A step of SGD at rate 1 is the gradient: no longer than the norm, and of no other direction."""
    text = TEXT.replace('"Adam"\nlearning_rate = 0.01', '"SGD"\nlearning_rate = 1.0\nglobal_clipnorm = 0.01')
    batch = digits.load_data("rows").train[:20]
    path, moves = tmp_path / "recipe.toml", []
    for each in (text, text.replace("global_clipnorm = 0.01", "")):
        path.write_text(each)
        recipe = recipes.load(str(path))
        keras.utils.set_random_seed(1)
        model = components.new_model(recipe, STEPS, {})
        model.compile(optimizer=components.new_optimizer(recipe, STEPS))
        model.build(batch.shape)
        before = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
        model.train_on_batch(batch)
        after = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
        moves.append(np.concatenate([np.ravel(b - a) for a, b in zip(after, before, strict=True)]).astype("float64"))
    clipped, free = moves
    length = np.linalg.norm(free)
    assert length > 0.5
    assert np.linalg.norm(clipped) == pytest.approx(0.01, rel=1e-3)
    np.testing.assert_allclose(clipped, free * 0.01 / length, atol=1e-6)
