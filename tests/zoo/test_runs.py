"""The files of a run, how it begins, and what it refuses."""

import json

import keras
import numpy as np
import pytest
import tomli_w

from tests.zoo.conftest import begin_tiny
from tests.zoo.written import TINY
from zf_keras.datasets import digits
from zoo import recipes, runs
from zoo.runs import ENVIRONMENT, RECIPE, Run, RunError


def test_environment_and_recipe(tiny_original):
    environment = json.loads(tiny_original.path(ENVIRONMENT).read_text())
    assert environment["recipe"] == "tiny" == tiny_original.name
    assert environment["data"] is None and environment["data_checksum"] is None
    assert environment["backend"] == keras.config.backend()
    assert environment["versions"]["keras"] == keras.__version__ and environment["versions"]["numpy"] == np.__version__
    assert keras.config.backend() in environment["versions"]
    assert environment["devices"] and environment["cpu_cores"] > 0
    assert len(environment["date"]) == len("2026-01-31")
    kept = recipes.from_text("kept", tiny_original.path(RECIPE).read_text())
    assert kept.values == recipes.load(str(tiny_original.directory.parent / "tiny.toml")).values
    assert not list(tiny_original.directory.glob("partial-*"))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("steps_per_epoch = 3", "steps_per_epoch = 4", "training.steps_per_epoch"),
        ('frames = "rows"', 'frames = "pixels"', "data.frames"),
        ("units = 4", "units = 5", "model.units"),
    ],
)
def test_a_recipe_that_was_changed(tiny, old, new, key):
    text = tiny.path(RECIPE).read_text()
    assert old in text
    tiny.path(RECIPE).write_text(text.replace(old, new))
    with pytest.raises(RunError, match=rf"recipe\.toml was changed since the run began: {key}\. "):
        Run(tiny.directory)


def test_data_that_the_recipe_can_not_train_on():
    recipe = recipes.load("digits/z_forcing")
    data = digits.load_data("rows")
    runs.check_data(recipe, data)
    with pytest.raises(RunError, match="The valid part holds no sequence"):
        runs.check_data(recipe, data._replace(valid=data.valid[:0]))
    with pytest.raises(RunError, match=r"The model does not take the data: .*0 and 1"):
        runs.check_data(recipe, data._replace(train=data.train + 0.5))


def test_begin(tmp_path):
    (tmp_path / "run").mkdir()
    run = begin_tiny(tmp_path / "run")  # empty
    assert run.rows() == [] and run.results() is None
    with pytest.raises(
        RunError, match=r"is not empty\. Go on with it by `resume`, or choose another folder by --run-dir"
    ):
        begin_tiny(tmp_path / "run")
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"other is not empty\. Choose another folder by --run-dir"):
        begin_tiny(other)
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
    with pytest.raises(RunError, match=r"other is not the folder of a run: it has no recipe\.toml"):
        Run(other)


def test_small_is_in_the_name(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    run = Run.begin(tmp_path / "run", recipes.load(str(path)), small=True, data_directory=None)
    assert run.name == "tiny (small)" == Run(tmp_path / "run").name


def test_a_run_of_a_recipe_that_was_changed_by_hand(tmp_path):
    run = begin_tiny(tmp_path / "run")
    run.path(RECIPE).write_text(tomli_w.dumps(run.recipe.values | {"training": {"epoch": 3}}))
    with pytest.raises(recipes.RecipeError, match=r"run/recipe\.toml, line \d+: unknown key 'training\.epoch'"):
        Run(run.directory)
