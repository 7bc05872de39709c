"""Data that was prepared otherwise than the recipe says."""

import pytest

from zf_keras import datasets
from zoo import recipes, runs
from zoo.recipes import RecipeError
from zoo.runs import RunError


def test_prepared_with_what_the_recipe_does_not_say(speech):
    """The recipe is of whole recordings, the data of pieces."""
    directory = speech.folder / "pieces"
    datasets.module("speech").prepare(
        speech.folder / "wav", directory, frame_size=20, piece_frames=2, split="folders", verbose=False
    )
    recipe = recipes.load(str(speech.folder / "tiny.toml"))
    with pytest.raises((RecipeError, RunError), match="piece_frames"):
        runs.load_data(recipe, directory)


@pytest.mark.parametrize("setting", ["split=random", "seed=0", "valid=0.25", "piece_frames=2"])
def test_prepared_as_the_recipe_says(speech, tmp_path, setting):
    settings = [f"data.{each}" for each in (setting, "split=random", "valid=0.25")]
    recipe = recipes.load("speech/z_forcing", settings=["data.frame_size=20", "data.piece_frames=2", *settings])
    options = {key: value for key, value in recipe.values["data"].items() if key != "dataset"}
    datasets.module("speech").prepare(speech.folder / "wav", tmp_path / "data", verbose=False, **options)
    assert len(runs.load_data(recipe, tmp_path / "data").train) > 3
    other = {"split": "folders", "seed": 1, "valid": 0.3, "piece_frames": 3}[setting.partition("=")[0]]
    key = setting.partition("=")[0]
    recipe.values["data"][key] = other
    with pytest.raises(RecipeError, match=f"^--set data.{setting}: the data in .* was prepared with {key} = "):
        runs.load_data(recipe, tmp_path / "data")


def test_frames_that_are_not_standardised_are_no_recipe():
    """Bits a sample and written samples are told from standardised frames."""
    with pytest.raises(RecipeError, match=r"unknown key 'data\.standardize'"):
        recipes.load("speech/z_forcing", settings=["data.standardize=false"])
