"""Search spaces: every draw is a recipe that can be, the default is the recipe itself."""

import keras_tuner
import pytest

from tuning import spaces
from tuning.spaces import SpaceError, check_space, find, ready, recipe_with
from zoo import recipes
from zoo.checks import RecipeError, lookup
from zoo.components import MODELS, arguments_of, new_model, new_optimizer

#: What is searched of a model whose constructor takes an argument.
SEARCHED = {
    "units": "model.units",
    "hidden_units": "model.hidden_units",
    "dropout": "model.dropout",
    "latent_dim": "model.latent_dim",
    "kl_weight": "schedule.kl_weight",
    "alpha": "model.alpha",
    "beta": "model.beta",
}


def recipe_of(cls, **settings):
    """The digits' recipe with another model, of what its constructor takes."""
    taken = arguments_of(MODELS[cls])
    wanted = {"latent_dim": 4, "alpha": 0.0005, "beta": 0}
    left_out = {"schedule.kl_weight": "none"} if "kl_weight" not in taken else {}
    own = {f"model.{name}": value if name in taken else "none" for name, value in wanted.items()}
    settings = {"model.class": cls, **own, **left_out, **settings}
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


@pytest.mark.parametrize("cls", MODELS)
def test_every_draw_is_a_recipe(cls):
    recipe = recipe_of(cls)
    drawn = list(draws(ready, recipe, 100))
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
        for name in ("latent_dim", "alpha", "beta"):
            assert getattr(model, name, None) == settings.get(f"model.{name}")
    assert all(len({str(settings[key]) for settings in drawn}) > 3 for key in drawn[0])
    taken = arguments_of(MODELS[cls])
    assert set(drawn[0]) == {key for name, key in SEARCHED.items() if name in taken} | {"optimizer.learning_rate"}


@pytest.mark.parametrize("cls", MODELS)
def test_the_default_is_the_recipe(cls):
    recipe = recipe_of(cls)
    settings = ready(keras_tuner.HyperParameters(), recipe)
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


def test_a_new_model_is_searched_by_what_its_constructor_takes(monkeypatch):
    class Even(MODELS["STORN"]):
        def __init__(self, units, latent_dim, output, alpha=0.1, **kwargs):
            super().__init__(units, latent_dim, output, **kwargs)
            self.alpha = alpha
            if units % 8:
                raise ValueError(f"`units` must be a multiple of 8. Received: units={units}.")

    monkeypatch.setitem(MODELS, "Even", Even)
    recipe = recipe_of("Even", **{"model.units": 16})
    drawn = list(draws(find(None, recipe), recipe, 30))
    assert {settings["model.units"] for settings in drawn} == {8, 16, 24, 32}  # not 12
    assert any(settings["model.alpha"] for settings in drawn) and "model.beta" not in drawn[0]
    check_space(find(None, recipe), recipe)
