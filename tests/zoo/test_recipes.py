"""How a recipe is resolved: its forms, what it extends, and settings."""

import pytest
import tomli_w

from tests.zoo.written import PLAIN, load
from zoo import checks, components, recipes
from zoo.recipes import RecipeError


def test_forms(tmp_path):
    full, small = load(tmp_path, PLAIN), load(tmp_path, PLAIN, small=True)
    assert full.name == "recipe"
    assert full.values["model"] == {"class": "STORN", "units": 4, "latent_dim": 2, "output": "bernoulli"}
    assert small.values == full.values | {"model": full.values["model"] | {"units": 3}, "training": {"epochs": 2}}
    assert components.table(small, "training") == components.TRAINING | {"epochs": 2}
    assert components.table(small, "evaluation") == components.EVALUATION | {"num_samples": 2}
    assert components.TRAINING["epochs"] == 100  # the defaults are as they were


@pytest.mark.parametrize("small", ["model.units = 3", "[small.model]\nunits = 3", "model = { units = 3 }"])
def test_ways_to_write_the_small_form(tmp_path, small):
    text = PLAIN[: PLAIN.index("[small]")] + (small if small.startswith("[") else f"[small]\n{small}")
    assert load(tmp_path, text).values["model"]["units"] == 4
    assert load(tmp_path, text, small=True).values["model"]["units"] == 3


def test_extends(tmp_path):
    """What a recipe says holds before what it extends, over two files, in the small form too."""
    middle = 'extends = "base"\n[model]\nunits = 5\ndropout = 0.25\n[small]\ntraining.epochs = 1\n'
    text = 'extends = "middle"\ntitle = "last"\n[model]\nclass = "VRNN"\nunits = 6\n[training]\nseed = 4\n'
    values = load(tmp_path, text, base=PLAIN, middle=middle).values
    expected = {"class": "VRNN", "units": 6, "latent_dim": 2, "output": "bernoulli", "dropout": 0.25}
    assert values["model"] == expected
    assert values["title"] == "last" and values["training"] == {"epochs": 6, "seed": 4}
    assert values["data"] == {"dataset": "digits", "frames": "rows"}
    values = load(tmp_path, text, base=PLAIN, middle=middle, small=True).values
    assert values["model"] == expected | {"units": 3}
    assert values["training"] == {"epochs": 1, "seed": 4}


def test_extended_inline_tables_are_replaced(tmp_path):
    text = 'extends = "base"\n[schedule]\nkl_weight = { initial = 0.5, epochs = 2 }\n'
    assert load(tmp_path, text, base=PLAIN).values["schedule"]["kl_weight"] == {"initial": 0.5, "epochs": 2}


@pytest.mark.parametrize("model", ['[model]\n"units" = 5', "model = { units = 5 }"])
def test_extends_with_keys_written_otherwise(tmp_path, model):
    assert load(tmp_path, f'extends = "base"\n{model}\n', base=PLAIN).values["model"]["units"] == 5


def test_a_long_chain_of_extends(tmp_path):
    others = {f"r{i}": f'extends = "r{i + 1}"\n' for i in range(1000)}
    recipe = load(tmp_path, 'extends = "r0"\n[model]\nunits = 7\n', r1000=PLAIN, **others)
    assert recipe.values["model"] == {"class": "STORN", "units": 7, "latent_dim": 2, "output": "bernoulli"}


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("model.units=64", "model.units", 64),
        (" model.units = 0x10 ", "model.units", 16),
        ("optimizer.learning_rate=3e-4", "optimizer.learning_rate", 3e-4),
        pytest.param(
            "optimizer.learning_rate=1",
            "optimizer.learning_rate",
            1,
        ),
        ("optimizer.amsgrad=true", "optimizer.amsgrad", True),
        ("optimizer.class=SGD", "optimizer.class", "SGD"),
        ('optimizer.class="SGD"', "optimizer.class", "SGD"),
        ("optimizer.class='SGD'", "optimizer.class", "SGD"),
        ("title=a=b, c", "title", "a=b, c"),
        ('title=" [x] "', "title", " [x] "),
        ("schedule.kl_weight=0.5", "schedule.kl_weight", 0.5),
        ("schedule.kl_weight.initial=0.5", "schedule.kl_weight", {"initial": 0.5, "increment": 0.001}),
        ("schedule.kl_weight={initial=0, epochs=3}", "schedule.kl_weight", {"initial": 0, "epochs": 3}),
        ('schedule.learning_rate={decay="cosine"}', "schedule.learning_rate", {"decay": "cosine"}),
        ("schedule.learning_rate.decay=cosine", "schedule.learning_rate", {"decay": "cosine"}),
    ],
)
def test_set(tmp_path, setting, key, value):
    before, after = load(tmp_path, PLAIN), load(tmp_path, PLAIN, setting)
    found = checks.lookup(after.values, key)
    assert found == value and type(found) is type(value)
    assert after.origins[setting.split("=")[0].strip()] == f"--set {setting}"
    rest = [{k: v for k, v in recipes._flatten(recipe.values) if k != key} for recipe in (before, after)]
    assert rest[0] == rest[1]


def test_later_settings_hold_and_settings_hold_before_the_small_form(tmp_path):
    recipe = load(tmp_path, PLAIN, "model.units=7", "model.units=8", small=True)
    assert recipe.values["model"]["units"] == 8 and recipe.values["training"]["epochs"] == 2


def test_set_a_list():
    recipe = recipes.load("speech/z_forcing", settings=['data.suffixes=[".wav"]'])
    assert recipe.values["data"]["suffixes"] == [".wav"]


def test_set_a_token():
    recipe = recipes.load("text/z_forcing", settings=["model.unknown_token=5"])
    assert components.new_model(recipe, 1, {"num_classes": 10}).unknown_token == 5


def test_set_to_none(tmp_path):
    """Takes away what the recipe, or its base, says."""
    values = load(tmp_path, PLAIN, "training.epochs=7", "model.units=5", "training.epochs=none").values
    assert "training" not in values and values["model"]["units"] == 5


@pytest.mark.parametrize("name", ["digits/z_forcing", "music/jsb_chorales_srnn", "timit/z_forcing_kla_aux"])
@pytest.mark.parametrize("small", [False, True])
def test_as_a_run_keeps_it(name, small):
    recipe = recipes.load(name, small, ["model.dropout=0.125", "title=ü \"quoted\" \\ 'it'"])
    again = recipes.from_text("kept.toml", tomli_w.dumps(recipe.values))
    assert again.values == recipe.values and again.name == "kept.toml"
    assert again.values["model"]["dropout"] == 0.125
    assert tomli_w.dumps(again.values) == tomli_w.dumps(recipe.values)


def test_settings_for():
    settings = ["frame_size=40", "data.piece_frames = 5", "last=pad", "valid=0.25"]
    values = recipes.settings_for("speech", settings)
    assert values == {"frame_size": 40, "piece_frames": 5, "last": "pad", "valid": 0.25}
    for setting, message in {
        "frame_sise=40": "unknown key 'data.frame_sise'. The nearest is 'frame_size'.",
        "frame_size=big": "data.frame_size must be an integer. Received: 'big'.",
        "frame_size": "must be key=value",
        "on_error=skip": "unknown key 'data.on_error'.",  # of the command line
        "standardize=false": "unknown key 'data.standardize'.",  # of `load_data`
    }.items():
        with pytest.raises(RecipeError, match=rf"^--set {setting}: ") as error:
            recipes.settings_for("speech", [setting])
        assert message in str(error.value)


def test_settings_for_a_list():
    assert recipes.settings_for("text", ['suffixes=[".md"]']) == {"suffixes": [".md"]}
