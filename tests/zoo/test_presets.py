"""The command that a preset names, and presets of released weights."""

import keras
import numpy as np

from tests.models.test_released_weights import REFERENCE
from tests.zoo.command_line import done, refused
from zf_keras import ZForcing, presets
from zf_keras.models.z_forcing import from_released_weights
from zoo import recipes
from zoo.presets import command as command_of
from zoo.runs import Run


def test_command_of_a_recipe_of_the_zoo(tmp_path):
    for name, small, settings, expected in (
        ("digits_presets/rnn", False, (), "digits_presets/rnn"),
        ("digits_presets/rnn", True, (), "digits_presets/rnn --small"),
        ("digits_presets/rnn", False, ["model.units=7"], "recipe.toml  # the recipe below"),
    ):
        recipe = recipes.load(name, small, settings)
        run = Run.begin(tmp_path / str(len(expected)), recipe, small, None)
        backend = keras.config.backend()
        assert command_of(run) == f"KERAS_BACKEND={backend} python -m zoo train {expected}"


def test_convert(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with np.load(REFERENCE / "gaussian_aux_zh.npz") as file:
        arrays = {name[2:]: file[name] for name in file if name.startswith("w.")}
    np.savez("checkpoint.npz", **arrays)
    done("convert", "checkpoint.npz", "released", "--output", "gaussian", "--auxiliary", "zh", "--alpha", "0.25")
    model, expected = ZForcing.from_preset("released"), from_released_weights(arrays, "gaussian", "zh")
    assert (model.alpha, model.beta, model.auxiliary) == (0.25, 1.0, "zh")
    for mine, kept in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, kept)
    assert "Converted from `checkpoint.npz`" in presets.load_assets("released").card
    assert "has 'emb_mod.0.bias'" in refused("convert", "checkpoint.npz", "other", "--output", "categorical")
    assert "There is no file" in refused("convert", "nothing.npz", "other", "--output", "gaussian")
    assert not (tmp_path / "other").exists()
