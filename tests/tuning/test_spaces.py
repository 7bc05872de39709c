"""Search spaces: every draw is a recipe that can be, the default is the recipe itself."""

import keras_tuner
import pytest

from tuning import spaces
from tuning.spaces import SPACES, SpaceError, check_space, find, recipe_with
from zoo import recipes
from zoo.checks import RecipeError, lookup
from zoo.components import new_model, new_optimizer


def recipe_of(cls, **settings):
    auxiliary = {"model.alpha": 0.0005, "model.beta": 0} if cls in ("ZForcing", "VariationalBiLSTM") else {}
    if cls == "RNN":
        settings = {"model.latent_dim": "none", "schedule.kl_weight": "none", **settings}
    settings = {"model.class": cls, "model.alpha": "none", "model.beta": "none", **auxiliary, **settings}
    return recipes.load("digits/z_forcing", True, [f"{key}={value}" for key, value in settings.items()])


def draws(space, recipe, count, seed=0):
    """Settings of random draws."""
    declared = keras_tuner.HyperParameters()
    space(declared, recipe)
    for draw in range(count):
        hp = keras_tuner.HyperParameters()
        for number, each in enumerate(declared.space):
            hp.merge([each])
            hp.values[each.name] = each.random_sample(seed + 100 * draw + number)
        yield space(hp, recipe)


@pytest.mark.parametrize("cls", SPACES)
def test_every_draw_is_a_recipe(cls):
    recipe = recipe_of(cls)
    drawn = list(draws(SPACES[cls], recipe, 100))
    for settings in drawn:
        changed = recipe_with(recipe, settings)
        assert all(lookup(changed.values, key) == value for key, value in settings.items())
    for settings in drawn[:5]:
        changed = recipe_with(recipe, settings)
        model, optimizer = new_model(changed, 20, {}), new_optimizer(changed, 20)
        assert model.units == settings["model.units"] and model.hidden_units == settings["model.hidden_units"]
        assert model.dropout == settings["model.dropout"]
        rate = optimizer.get_config()["learning_rate"]["config"]["initial_learning_rate"]
        assert rate == settings["optimizer.learning_rate"]
        if cls != "RNN":
            assert model.latent_dim == settings["model.latent_dim"]
        if "model.alpha" in settings:
            assert (model.alpha, model.beta) == (settings["model.alpha"], settings["model.beta"])
    assert all(len({str(settings[key]) for settings in drawn}) > 3 for key in drawn[0])
    expected = {"model.units", "model.hidden_units", "model.dropout", "optimizer.learning_rate"}
    expected |= set() if cls == "RNN" else {"model.latent_dim", "schedule.kl_weight"}
    expected |= {"model.alpha", "model.beta"} if cls in ("ZForcing", "VariationalBiLSTM") else set()
    assert set(drawn[0]) == expected


@pytest.mark.parametrize("cls", SPACES)
def test_the_default_is_the_recipe(cls):
    recipe = recipe_of(cls)
    settings = SPACES[cls](keras_tuner.HyperParameters(), recipe)
    for key, value in settings.items():
        given = lookup(recipe.values, key)
        assert value == (given if given is not None else {"model.dropout": 0.0, "model.hidden_units": 32}[key])


def test_zero_is_a_fifth_of_the_draws_of_alpha_and_the_rest_is_log_uniform():
    recipe = recipe_of("ZForcing")
    drawn = [settings["model.alpha"] for settings in draws(spaces.auxiliary_weights, recipe, 1000)]
    positive = sorted(value for value in drawn if value)
    assert 0.16 < 1 - len(positive) / len(drawn) < 0.24
    assert positive[0] >= 5e-6 and positive[-1] <= 5e-2
    assert 3e-4 < positive[len(positive) // 2] < 9e-4  # the recipe's own in the middle


@pytest.mark.parametrize(
    "kl_weight", ["none", "1.0", "0.5", "{ initial = 0.2, increment = 5e-5 }", "{ initial = 0.05, epochs = 30 }"]
)
def test_annealing_begins_as_the_recipe_has_it(kl_weight):
    recipe = recipe_of("VRNN", **{"schedule.kl_weight": kl_weight})
    given = lookup(recipe.values, "schedule.kl_weight")
    settings = spaces.kl_annealing(keras_tuner.HyperParameters(), recipe)
    if kl_weight == "0.5":
        assert settings == {}
        return
    assert settings == {"schedule.kl_weight": given if isinstance(given, dict) else None}
    for drawn in draws(spaces.kl_annealing, recipe, 50):
        new_model(recipe_with(recipe, drawn), 20, {})


def test_a_space_of_ones_own(tmp_path, monkeypatch):
    recipe = recipe_of("ZForcing")
    (tmp_path / "mine.py").write_text(
        "def wide(hp, recipe):\n"
        "    if hp.Boolean('plain'):\n"
        "        return {'model.alpha': 0.0}\n"
        "    with hp.conditional_scope('plain', [False]):\n"
        "        return {'model.alpha': hp.Float('alpha', 0.1, 1.0), 'training.batch_size': hp.Choice('b', [8, 16])}\n"
        "number = 3\n"
    )
    space = find(f"{tmp_path / 'mine.py'}:wide", recipe)
    check_space(space, recipe)
    assert recipe_with(recipe, space(keras_tuner.HyperParameters(), recipe)).values["training"]["batch_size"] == 8
    monkeypatch.syspath_prepend(tmp_path)
    check_space(find("mine:wide", recipe), recipe)
    for name in ("mine", "mine:narrow", "nowhere:wide", f"{tmp_path / 'none.py'}:wide"):
        with pytest.raises(SpaceError, match=r"^--space "):
            find(name, recipe)


def test_what_is_wrong_with_a_space_shows_before_the_first_trial():
    recipe = recipe_of("ZForcing")

    def wrong(settings):
        def space(hp, recipe):
            hp.Int("model.units", 1, 3)
            return settings(hp)

        return space

    cases = (
        (lambda hp: {"model.unit": 3}, "unknown key 'model.unit'.*nearest is 'units'"),
        (lambda hp: {"model.units": 0.5}, "model.units must be an integer"),
        (lambda hp: {"model.units": 2 - hp.Int("model.units", 1, 3)}, "units"),  # only for some draws
        (lambda hp: {"data.frames": "rows"}, "A space sets keys of"),
        (lambda hp: {"training.epochs": 3}, "not training.epochs"),
        (lambda hp: None, "must return a dict"),
        (lambda hp: {}, "must return a dict"),
    )
    for settings, message in cases:
        with pytest.raises(SpaceError, match=message):
            check_space(wrong(settings), recipe)
    with pytest.raises(SpaceError, match="declares no hyperparameter"):
        check_space(lambda hp, recipe: {"model.units": 3}, recipe)
    with pytest.raises(RecipeError, match=r"the search space, model\.units = -1"):
        recipe_with(recipe, {"model.units": -1})
