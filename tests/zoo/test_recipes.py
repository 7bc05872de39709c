"""Recipes: what they hold, how they are resolved, and what is said of wrong ones."""

import re

import keras
import numpy as np
import pytest
import tomli_w

from zf_keras import DividedAfter, KLAnnealing
from zoo import checks, components, recipes
from zoo.recipes import RecipeError

PLAIN = """\
title = "a test"
[data]
dataset = "digits"
frames = "rows"
[model]
class = "STORN"
units = 4
latent_dim = 2
output = "bernoulli"
[optimizer]
class = "Adam"
learning_rate = 0.01
[schedule]
kl_weight = { initial = 0.2, increment = 0.001 }
[training]
epochs = 6
[evaluation]
num_samples = 2
[small]
model.units = 3
training.epochs = 2
"""

# Average log-likelihoods a sequence, in nats, of the tables of both papers.
SPEECH = {
    "rnn_gauss": (3539, -1900),
    "rnn_gmm": (7413, 26643),
    "vrnn_i_gauss": (8933, 28340),
    "vrnn_gauss": (9223, 28805),
    "vrnn_gmm": (9392, 28982),
    "srnn": (11991, 60550),
    "z_forcing": (14435, 68132),
    "z_forcing_kla": (14226, 68903),
    "z_forcing_aux": (15430, 69530),
    "z_forcing_kla_aux": (15024, 70469),
    "variational_bilstm": (17319, 73315),
}
PUBLISHED = {
    **{
        f"{data}/{name}": (value, "nats a sequence", {"exact" if name.startswith("rnn") else "ELBO"})
        for name, values in SPEECH.items()
        for data, value in zip(("blizzard", "timit"), values, strict=True)
    },
    "mnist/z_forcing": (-80.60, "nats a sequence", {"ELBO"}),
    "mnist/z_forcing_aux": (-80.09, "nats a sequence", {"ELBO"}),
    "mnist/variational_bilstm": (-79.78, "nats a sequence", {"ELBO"}),
    "imdb/z_forcing_0": (53.11, "perplexity", {"IWAE"}),
    "imdb/z_forcing_0025": (53.37, "perplexity", {"IWAE"}),
    "imdb/z_forcing_005": (58.83, "perplexity", {"IWAE"}),
    "imdb/variational_bilstm": (51.60, "perplexity", {"ELBO", "IWAE"}),
    "ptb/z_forcing": (1.26, "bits a character", {"ELBO", "IWAE"}),
    "ptb/variational_bilstm": (1.23, "bits a character", {"ELBO", "IWAE"}),
}

# LSTM, latent, hidden units; learning rate, batch; alpha, beta.
SIZES = {
    "blizzard/z_forcing_aux": ("ZForcing", 2048, 256, 1024, 3e-4, 128, None, None),
    "timit/z_forcing_kla": ("ZForcing", 1024, 256, 512, 1e-3, 32, 0, 0),
    "mnist/z_forcing": ("ZForcing", 1024, 256, 512, 1e-3, 32, 0, 0),
    "imdb/z_forcing_0": ("ZForcing", 500, 64, 500, 1e-3, 32, 0, 0),
    "imdb/z_forcing_0025": ("ZForcing", 500, 64, 500, 1e-3, 32, 0.0025, 0.0025),
    "imdb/z_forcing_005": ("ZForcing", 500, 64, 500, 1e-3, 32, 0.005, 0.005),
    "blizzard/variational_bilstm": ("VariationalBiLSTM", 1024, 512, 1024, 1e-3, 32, 1, 1),
    "timit/variational_bilstm": ("VariationalBiLSTM", 2048, 128, 1024, 1e-4, 128, 1, 0),
    "mnist/variational_bilstm": ("VariationalBiLSTM", 1024, 256, 1024, 1e-4, 32, 0.001, 0),
    "imdb/variational_bilstm": ("VariationalBiLSTM", 500, 64, 500, 1e-3, 32, 1, 1),
    "ptb/variational_bilstm": ("VariationalBiLSTM", 1024, 128, 1024, 1e-3, 50, 1, 1),
    "music/jsb_chorales_srnn": ("SRNN", 300, 100, 500, 1e-3, 16, None, None),
}


def write(folder, text, **others):
    """A recipe, and others beside it; the path to load it by."""
    for name, other in {"recipe": text, **others}.items():
        (folder / f"{name}.toml").write_text(other)
    return str(folder / "recipe.toml")


def load(folder, text, *settings, small=False, **others):
    return recipes.load(write(folder, text, **others), small, settings)


def without(table):
    """The plain recipe without a table."""
    return re.sub(rf"\[{table}\]\n([^\[]*\n)*", "", PLAIN)


def line_of(text, start):
    return 1 + next(i for i, line in enumerate(text.splitlines()) if line.startswith(start))


# The recipes of the zoo.


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe(name):
    forms = [recipes.load(name, small) for small in (False, True)]
    for recipe in forms:
        assert recipe.name == name and "small" not in recipe.values and "extends" not in recipe.values
        assert recipe.values["title"]
        model = components.new_model(recipe, 10, {"num_classes": 50, "start_token": 1, "unknown_token": 0})
        assert type(model).__name__ == recipe.values["model"]["class"]
        assert model.units == recipe.values["model"]["units"]
        assert model.tokens == (recipe.values["model"]["output"] == "categorical")
        optimizer = components.new_optimizer(recipe, 10)
        assert float(optimizer.learning_rate) == pytest.approx(recipe.values["optimizer"]["learning_rate"])
        assert optimizer.global_clipnorm == 100.0
    full, small = (form.values for form in forms)
    assert small["model"]["units"] < full["model"]["units"]
    for key in ("latent_dim", "hidden_units"):
        assert small["model"].get(key, 0) <= full["model"].get(key, 10**9)
    epochs = [components.table(form, "training")["epochs"] for form in forms]
    assert epochs[1] < epochs[0]
    assert full.get("published") == small.get("published")
    assert full["model"]["class"] == small["model"]["class"]


def test_names():
    names = recipes.names()
    assert len(names) > 50 and names == sorted(names)
    assert {"timit/z_forcing", "digits/z_forcing", "speech/z_forcing", "text/z_forcing"} <= set(names)
    assert not any(name.rpartition("/")[2].startswith("_") for name in names)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published(name):
    value, metric, bounds = PUBLISHED[name]
    published = recipes.load(name).values["published"]
    assert (published["value"], published["metric"]) == (value, metric)
    assert published["bound"] in bounds
    assert len(published["source"]) > 20


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_papers(name):
    cls, units, latent_dim, hidden_units, rate, batch, alpha, beta = SIZES[name]
    recipe = recipes.load(name)
    model = components.new_model(recipe, 10, {"num_classes": 50})
    assert type(model).__name__ == cls
    assert (model.units, model.latent_dim, model.hidden_units) == (units, latent_dim, hidden_units)
    assert recipe.values["optimizer"]["class"] == "Adam"
    assert recipe.values["optimizer"]["learning_rate"] == rate
    assert components.table(recipe, "training")["batch_size"] == batch
    if alpha is not None:
        assert (model.alpha, model.beta) == (alpha, beta)


def test_further_settings_of_the_papers():
    assert recipes.load("imdb/z_forcing_0").values["model"]["embedding_dim"] == 300
    assert recipes.load("ptb/variational_bilstm").values["model"]["prior"] == "standard_normal"
    assert recipes.load("timit/vrnn_i_gauss").values["model"]["prior"] == "standard_normal"
    for name in ("timit/rnn_gmm", "blizzard/vrnn_gmm"):
        assert recipes.load(name).values["model"]["output"] == "gaussian_mixture"
    for name in recipes.names():
        values = recipes.load(name).values
        if values["data"]["dataset"] in ("blizzard", "timit"):
            assert values["optimizer"]["epsilon"] == 1e-5
            annealed = values.get("schedule", {}).get("kl_weight")
            assert annealed == ({"initial": 0.2, "increment": 5e-5} if "kla" in name else None)
    srnn = recipes.load("music/nottingham_srnn")
    optimizer, model = components.new_optimizer(srnn, 7), components.new_model(srnn, 7, {})
    rates = [float(optimizer._learning_rate(n)) for n in (0, 20 * 7 - 1, 20 * 7, 21 * 7 - 1, 21 * 7, 49 * 7)]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-3 / 1.2, 1e-3 / 1.2, 1e-3 / 1.2**2, 1e-3 / 1.2**30], rtol=1e-5)
    weights = [float(model.kl_weight(n)) for n in (0, 10 * 7, 20 * 7, 49 * 7)]
    np.testing.assert_allclose(weights, [0.2, 0.6, 1, 1], rtol=1e-6)
    assert components.table(srnn, "training")["epochs"] == 50


# How a recipe is resolved.


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


@pytest.mark.parametrize("name", ["digits/z_forcing", "music/jsb_chorales_srnn", "timit/z_forcing_kla_aux"])
@pytest.mark.parametrize("small", [False, True])
def test_as_a_run_keeps_it(name, small):
    recipe = recipes.load(name, small, ["model.dropout=0.125", "title=ü \"quoted\" \\ 'it'"])
    again = recipes.from_text("kept.toml", tomli_w.dumps(recipe.values))
    assert again.values == recipe.values and again.name == "kept.toml"
    assert again.values["model"]["dropout"] == 0.125
    assert tomli_w.dumps(again.values) == tomli_w.dumps(recipe.values)


# Schedules.


@pytest.mark.parametrize(
    ("kl_weight", "expected"),
    [
        ("{ initial = 0.2, epochs = 4 }", {0: 0.2, 1: 0.22, 10: 0.4, 39: 0.98, 40: 1, 41: 1, 10**4: 1}),
        ("{ initial = 0, epochs = 1 }", {0: 0, 5: 0.5, 10: 1}),
        ("{ initial = 0.2, increment = 0.05 }", {0: 0.2, 1: 0.25, 10: 0.7, 16: 1, 17: 1}),
    ],
)
def test_kl_weight(tmp_path, kl_weight, expected):
    recipe = load(tmp_path, PLAIN, f"schedule.kl_weight={kl_weight}")
    schedule = components.new_model(recipe, 10, {}).kl_weight
    assert isinstance(schedule, KLAnnealing)
    np.testing.assert_allclose([float(schedule(n)) for n in expected], list(expected.values()), rtol=1e-5, atol=1e-7)


def test_constant_kl_weight(tmp_path):
    assert components.new_model(load(tmp_path, PLAIN, "schedule.kl_weight=0.25"), 10, {}).kl_weight == 0.25
    assert components.new_model(load(tmp_path, without("schedule")), 10, {}).kl_weight == 1.0


def rate_at(recipe, steps, n):
    optimizer = components.new_optimizer(recipe, steps)
    assert type(optimizer) is keras.optimizers.Adam
    optimizer.build([keras.Variable(np.zeros(1, "float32"))])
    optimizer.iterations.assign(n)
    return float(optimizer.learning_rate)


def test_learning_rates(tmp_path):
    constant = load(tmp_path, PLAIN)
    assert rate_at(constant, 10, 10**4) == pytest.approx(0.01)
    cosine = load(tmp_path, PLAIN, "schedule.learning_rate.decay=cosine")  # 6 epochs of 10 updates
    for n in (0, 15, 30, 45, 60, 70):
        expected = 0.01 * (1 + np.cos(np.pi * min(n, 60) / 60)) / 2
        assert rate_at(cosine, 10, n) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    divide = load(tmp_path, PLAIN, 'schedule.learning_rate={decay="divide", by=2.0, after=3}')
    for n, divisions in {0: 0, 29: 0, 30: 1, 39: 1, 40: 2, 59: 3}.items():
        assert rate_at(divide, 10, n) == pytest.approx(0.01 / 2**divisions, rel=1e-5)
    config = components.new_optimizer(divide, 10).get_config()["learning_rate"]
    assert config["config"] == {"initial": 0.01, "divisor": 2.0, "start": 30, "every": 10}
    assert keras.saving.deserialize_keras_object(config).get_config() == DividedAfter(0.01, 2.0, 30, 10).get_config()


def test_schedule_of_the_default_learning_rate(tmp_path):
    recipe = load(tmp_path, PLAIN.replace("learning_rate = 0.01\n", ""), "schedule.learning_rate.decay=cosine")
    assert rate_at(recipe, 10, 0) == pytest.approx(0.001)
    assert rate_at(recipe, 10, 30) == pytest.approx(0.0005, rel=1e-5)


def test_optimizer(tmp_path):
    text = PLAIN.replace('class = "Adam"', 'class = "AdamW"\nepsilon = 1e-5\nweight_decay = 0.25\nglobal_clipnorm = 7')
    optimizer = components.new_optimizer(load(tmp_path, text), 10)
    assert type(optimizer) is keras.optimizers.AdamW
    assert (optimizer.epsilon, optimizer.weight_decay, optimizer.global_clipnorm) == (1e-5, 0.25, 7)


def test_arguments_of_the_model(tmp_path):
    """What the data says stands back where the recipe says something else; the seed is the training's."""
    text = PLAIN.replace('"bernoulli"', '"categorical"')
    data = {"num_classes": 50, "start_token": 1, "unknown_token": 0}
    model = components.new_model(load(tmp_path, text, "training.seed=3"), 10, data)
    assert (model.num_classes, model.start_token, model.unknown_token, model.seed) == (50, 1, 0, 3)
    settings = ("training.seed=3", "model.start_token=0")
    model = components.new_model(load(tmp_path, text, *settings), 10, data)
    assert (model.num_classes, model.start_token, model.unknown_token, model.seed) == (50, 0, 0, 3)


# Wrong recipes. Each line is put at the end of its table, and is what the message is about.

WRONG = {
    # keys
    "modle = 1": ("title", "unknown key 'modle'. The nearest is 'model'."),
    "data.frame = 'rows'": ("data", "unknown key 'data.frame'. The nearest is 'frames'."),
    "model.unit = 4": ("model", "unknown key 'model.unit'. The nearest is 'units'."),
    "model.alpha = 0.1": ("model", "unknown key 'model.alpha'. "),  # of other models only
    "optimizer.learning_rat = 0.1": (
        "optimizer",
        "unknown key 'optimizer.learning_rat'. The nearest is 'learning_rate'",
    ),
    "optimizer.momentum = 0.1": ("optimizer", "unknown key 'optimizer.momentum'. "),  # of SGD
    "schedule.kl_wieght = 1": ("schedule", "unknown key 'schedule.kl_wieght'. The nearest is 'kl_weight'."),
    "training.epoch = 1": ("training", "unknown key 'training.epoch'. The nearest is 'epochs'."),
    "evaluation.samples = 1": ("evaluation", "unknown key 'evaluation.samples'. The nearest is 'num_samples'."),
    "published.sources = 'me'": ("published", "unknown key 'published.sources'. The nearest is 'source'."),
    # types
    "data.frames = 3": ("data", "data.frames must be a string. Received: 3."),
    "model.units = 4.0": ("model", "model.units must be an integer. Received: 4.0."),
    "model.units = true": ("model", "model.units must be an integer. Received: True."),
    "model.dropout = 'none'": ("model", "model.dropout must be a number. Received: 'none'."),
    "optimizer.learning_rate = '1e-3'": ("optimizer", "optimizer.learning_rate must be a number. Received: '1e-3'."),
    "optimizer.global_clipnorm = true": ("optimizer", "optimizer.global_clipnorm must be a number. Received: True."),
    "optimizer.amsgrad = 1": ("optimizer", "optimizer.amsgrad must be true or false. Received: 1."),
    "schedule.kl_weight = 'high'": ("schedule", "schedule.kl_weight must be a number. Received: 'high'."),
    "schedule.learning_rate = 0.1": ("schedule", "schedule.learning_rate must be a table such as"),
    "training.epochs = '3'": ("training", "training.epochs must be an integer. Received: '3'."),
    "training.patience = 1.5": ("training", "training.patience must be an integer. Received: 1.5."),
    "training.steps_per_epoch = [1]": ("training", "training.steps_per_epoch must be an integer. Received: [1]."),
    "evaluation.pairs = false": ("evaluation", "evaluation.pairs must be an integer. Received: False."),
    "published.value = 'x'": ("published", "published.value must be a number. Received: 'x'."),
    # values
    "data.dataset = 'digit'": ("data", "Received: 'digit'. The nearest is 'digits'."),
    "model.class = 'ZForce'": ("model", "Received: 'ZForce'. The nearest is 'ZForcing'."),
    "model.units = 0": ("model", "`units` must be a positive integer. Received: units=0."),
    "model.output = 'bernouli'": ("model", "Received: output='bernouli'."),
    "model.dropout = 1.0": ("model", "`dropout` must be in [0, 1). Received: dropout=1.0."),
    "optimizer.class = 'Adm'": ("optimizer", "Received: 'Adm'. The nearest is 'Adam'."),
    "optimizer.learning_rate = 0.0": ("optimizer", "optimizer.learning_rate must be a number > 0. Received: 0.0."),
    "optimizer.learning_rate = nan": ("optimizer", "optimizer.learning_rate must be a number > 0. Received: nan."),
    "optimizer.global_clipnorm = -1": ("optimizer", "optimizer.global_clipnorm must be a number > 0. Received: -1."),
    "optimizer.clipvalue = inf": ("optimizer", "optimizer.clipvalue must be a number > 0. Received: inf."),
    "schedule.kl_weight = { initial = 0.1 }": ("schedule", "a number, {initial, increment} or {initial, epochs}."),
    "schedule.kl_weight = { initial = 0.1, epochs = 1, increment = 0.1 }": ("schedule", "schedule.kl_weight must be"),
    "schedule.kl_weight = { initial = 0.1, epochs = 1.5 }": (
        "schedule",
        "schedule.kl_weight.epochs must be an integer",
    ),
    "schedule.kl_weight = { initial = 0.1, epoch = 1 }": ("schedule", "The nearest is 'epochs'."),
    "schedule.learning_rate = { decay = 'cosin' }": ("schedule", "Received: 'cosin'. The nearest is 'cosine'."),
    "schedule.learning_rate = { decay = 'cosine', by = 2 }": ("schedule", "must have the keys decay."),
    "schedule.learning_rate = { decay = 'divide', by = 2 }": ("schedule", "must have the keys after, by, decay."),
    "schedule.learning_rate = { decay = 'divide', by = 2, until = 3 }": ("schedule", "unknown key 'schedule.learning"),
    "training.batch_size = 0": ("training", "training.batch_size must be positive. Received: 0."),
    "training.epochs = -1": ("training", "training.epochs must be positive. Received: -1."),
    "training.patience = 0": ("training", "training.patience must be positive. Received: 0."),
    "training.seed = -1": ("training", "training.seed must be in [0, 2**31). Received: -1."),
    "evaluation.num_samples = 0": ("evaluation", "evaluation.num_samples must be positive. Received: 0."),
    "evaluation.split = 'tset'": ("evaluation", "Received: 'tset'. The nearest is 'test'."),
    "published.bound = 'ELBOW'": ("published", "Received: 'ELBOW'. The nearest is 'ELBO'."),
    "title = 3": ("title", "title must be a string. Received: 3."),
    "model.class = ['RNN']": ("model", "model.class must be one of"),
    "schedule.kl_weight = { initial = 0.1, epochs = 0 }": ("schedule", "epochs"),
    "schedule.kl_weight = { initial = 0.1, epochs = -1 }": ("schedule", "Received: "),
    "schedule.kl_weight = { initial = 2, increment = 1 }": ("schedule", "Received: "),
    "schedule.kl_weight = -0.5": ("schedule", "kl_weight"),
    "schedule.learning_rate = { by = 2 }": ("schedule", "must have the keys"),
    "schedule.learning_rate = { decay = 'divide', by = 0.5, after = 1 }": ("schedule", "Received: "),
    "schedule.learning_rate = { decay = 'divide', by = 2, after = -1 }": ("schedule", "Received: "),
    "model.dtype = 'float33'": ("model", "float33"),
}
CASES = [pytest.param(line, *case, id=line) for line, case in WRONG.items()]


def with_line(table, line):
    """The plain recipe with one more line, and without what that line says otherwise; and where it is."""
    if table == "title":
        text = f"{line}\n" + (PLAIN.partition("\n")[2] if line.startswith("title") else PLAIN)
        return text, 1
    line = line.removeprefix(f"{table}.")
    text = (
        PLAIN if f"[{table}]" in PLAIN else f'{PLAIN}[{table}]\nmetric = "x"\nvalue = 1\nbound = "ELBO"\nsource = "y"\n'
    )
    before, header, after = text.partition(f"[{table}]\n")
    inside, bracket, after = after.partition("[")
    key = line.split(" =")[0]
    inside = "".join(f"{each}\n" for each in inside.splitlines() if not each.startswith(f"{key} ="))
    return f"{before}{header}{inside}{line}\n{bracket}{after}", 1 + (before + header + inside).count("\n")


@pytest.mark.parametrize(("line", "table", "message"), CASES)
def test_wrong(tmp_path, line, table, message):
    """In the recipe, in what it extends, and by --set."""
    text, number = with_line(table, line)
    with pytest.raises(RecipeError, match=rf"^{re.escape(str(tmp_path))}/recipe.toml, line {number}: ") as error:
        load(tmp_path, text)
    assert message in str(error.value)
    with pytest.raises(RecipeError, match=rf"^{re.escape(str(tmp_path))}/base.toml, line {number}: ") as error:
        load(tmp_path, 'extends = "base"\n[training]\nwindow = 3\n', base=text)
    assert message in str(error.value)
    if "published" not in table:
        key, _, value = line.partition(" = ")
        with pytest.raises(RecipeError, match=rf"^--set {re.escape(key)}=") as error:
            load(tmp_path, PLAIN, f"{key}={value}")
        assert message in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model.unit = 4", "unknown key 'model.unit'. The nearest is 'units'."),
        ("model.units = 'few'", "model.units must be an integer. Received: 'few'."),
        ("training.epochs = 0", "training.epochs must be positive. Received: 0."),
        ("modle.units = 4", "unknown key 'modle'"),
    ],
)
def test_wrong_in_the_small_form(tmp_path, line, message):
    """Where the recipe is taken in that form."""
    number = PLAIN.count("\n") + 1
    text = PLAIN + line + "\n"
    text = text.replace(f"{line.split(' =')[0]} = {3 if 'units' in line else 2}\n", "\n", 1)  # said once
    load(tmp_path, text)
    with pytest.raises(RecipeError) as error:
        load(tmp_path, text, small=True)
    assert message in str(error.value)
    if "modle" not in line:
        assert str(error.value).startswith(f"{tmp_path}/recipe.toml, line {number}: ")
    with pytest.raises(RecipeError) as error:
        load(tmp_path, 'extends = "base"\n', base=text, small=True)
    assert message in str(error.value)
    if "modle" not in line:
        assert str(error.value).startswith(f"{tmp_path}/base.toml, line {number}: ")


@pytest.mark.parametrize("key", ["data.dataset", "model.class", "optimizer.class"])
def test_missing(tmp_path, key):
    table, name = key.split(".")
    for text in (without(table), re.sub(rf"(\[{table}\]\n){name} = .*\n", r"\1", PLAIN)):
        assert text != PLAIN
        with pytest.raises(RecipeError, match=f"^recipe: {key} is missing"):
            load(tmp_path, text)


def test_missing_arguments(tmp_path):
    with pytest.raises(RecipeError, match="latent_dim"):
        load(tmp_path, PLAIN.replace("latent_dim = 2\n", ""))
    published = '[published]\nmetric = "x"\nvalue = 1\nbound = "ELBO"\n'
    with pytest.raises(
        RecipeError, match=rf"recipe.toml, line {PLAIN.count(chr(10)) + 1}: published.source is missing"
    ):
        load(tmp_path, PLAIN + published)


def test_an_rnn_has_no_kl(tmp_path):
    text = PLAIN.replace('"STORN"', '"RNN"').replace("latent_dim = 2\n", "")
    number = line_of(text, "kl_weight")
    with pytest.raises(RecipeError, match=rf"recipe.toml, line {number}: schedule.kl_weight: RNN has no KL"):
        load(tmp_path, text)


def test_not_toml(tmp_path):
    text = PLAIN.replace("units = 4", "units = ")
    with pytest.raises(RecipeError, match=r"recipe\.toml: not TOML: .*line 7") as error:
        load(tmp_path, text)
    assert str(tmp_path) in str(error.value)
    with pytest.raises(RecipeError, match=r"base\.toml: not TOML: .*line 7"):
        load(tmp_path, 'extends = "base"\n', base=text)
    with pytest.raises(RecipeError, match=r"kept: not TOML"):
        recipes.from_text("kept", "a = 1\na = 2\n")


@pytest.mark.parametrize("table", ["data", "model", "optimizer", "schedule", "training", "evaluation", "published"])
def test_not_a_table(tmp_path, table):
    with pytest.raises(RecipeError, match=rf"recipe.toml, line 1: {table} must be a table"):
        load(tmp_path, f"{table} = 3\n{without(table)}")


@pytest.mark.parametrize("base", ['"recipe"', '"nothing"', "3", '["base"]'])
def test_wrong_extends(tmp_path, base):
    with pytest.raises(RecipeError, match=r"recipe\.toml, line 2: extends must name another recipe beside it"):
        load(tmp_path, f"# a comment\nextends = {base}\n{PLAIN}", base=PLAIN)


def test_extends_in_a_circle(tmp_path):
    with pytest.raises(RecipeError, match="extends"):
        load(tmp_path, 'extends = "base"\n', base='extends = "recipe"\n')


@pytest.mark.parametrize("model", ['[model]\n"units" = 5', "model = { units = 5 }"])
def test_extends_with_keys_written_otherwise(tmp_path, model):
    assert load(tmp_path, f'extends = "base"\n{model}\n', base=PLAIN).values["model"]["units"] == 5


@pytest.mark.parametrize("setting", ["model.units", "model.units:4", ""])
def test_settings_without_a_value(tmp_path, setting):
    with pytest.raises(RecipeError, match=f"^--set {setting}: must be key=value"):
        load(tmp_path, PLAIN, setting)


@pytest.mark.parametrize("setting", ["model.units.of=3", "title.long=3"])
def test_settings_inside_of_a_number(tmp_path, setting):
    with pytest.raises(RecipeError, match=f"^--set {setting}: "):
        load(tmp_path, PLAIN, setting)


def test_settings_inside_of_a_number_that_may_be_a_table(tmp_path):
    with pytest.raises(RecipeError, match=r"schedule\.kl_weight"):
        load(tmp_path, PLAIN, "schedule.kl_weight=0.5", "schedule.kl_weight.initial=0.1")


def test_set_to_none(tmp_path):
    """Takes away what the recipe, or its base, says."""
    values = load(tmp_path, PLAIN, "training.epochs=7", "model.units=5", "training.epochs=none").values
    assert "training" not in values and values["model"]["units"] == 5


def test_not_a_number(tmp_path):
    """Wherever it is: a run would not know its own recipe again."""
    number = line_of(PLAIN, "learning_rate")
    text = PLAIN.replace("learning_rate = 0.01", "epsilon = nan")
    with pytest.raises(RecipeError, match=rf"line {number}: optimizer\.epsilon must be a number\. Received: nan"):
        load(tmp_path, text)


def test_a_long_chain_of_extends(tmp_path):
    others = {f"r{i}": f'extends = "r{i + 1}"\n' for i in range(1000)}
    recipe = load(tmp_path, 'extends = "r0"\n[model]\nunits = 7\n', r1000=PLAIN, **others)
    assert recipe.values["model"] == {"class": "STORN", "units": 7, "latent_dim": 2, "output": "bernoulli"}


@pytest.mark.parametrize("depth", [20, 1000])
def test_nesting_too_deep(tmp_path, depth):
    for value in ("[" * depth + "]" * depth, "{a=" * depth + "1" + "}" * depth):
        with pytest.raises(RecipeError, match=r"recipe\.toml: nests too deep"):
            load(tmp_path, PLAIN.replace("units = 4", f"units = {value}"))
        with pytest.raises(RecipeError, match=r"^--set model\.units=.*nests too deep"):
            load(tmp_path, PLAIN, f"model.units={value}")
    with pytest.raises(RecipeError, match="nests too deep"):
        load(tmp_path, PLAIN.replace("units = 4", f"units{'.a' * depth} = 4"))


def test_not_utf8(tmp_path):
    (tmp_path / "recipe.toml").write_bytes('title = "Müller"'.encode("latin-1"))
    with pytest.raises(RecipeError, match=r"recipe\.toml: not UTF-8"):
        recipes.load(str(tmp_path / "recipe.toml"))
    (tmp_path / "recipe.toml").write_bytes(PLAIN.encode("utf-8-sig"))
    assert recipes.load(str(tmp_path / "recipe.toml")).values == load(tmp_path, PLAIN).values


def test_no_such_recipe(tmp_path):
    with pytest.raises(RecipeError, match=r"no recipe 'timit/zforcing'\. The nearest is 'timit/z_forcing'"):
        recipes.load("timit/zforcing")
    with pytest.raises(RecipeError, match="no recipe"):
        recipes.load(str(tmp_path / "recipe.toml"))
    with pytest.raises(RecipeError, match="no recipe"):
        recipes.load("timit/_base.toml")


# Settings of `prepare`.


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


def test_results_name_every_recipe_with_its_published_number():
    text = (recipes.FOLDER.parent / "results.md").read_text()
    rows = {
        row[1].strip(" `"): row for row in (line.split("|") for line in text.splitlines() if line.startswith("| `"))
    }
    for name in recipes.names():
        published = recipes.load(name).values.get("published")
        if published:
            assert rows[name][2].strip() == f"{published['value']:g} ({published['bound']})"
