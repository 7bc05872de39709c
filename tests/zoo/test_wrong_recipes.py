"""Wrong recipes, and what is said of them."""

import re

import pytest

from tests.zoo.written import PLAIN, line_of, load, without
from zoo import recipes
from zoo.recipes import RecipeError

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
    "training.samples_every = -1": ("training", "training.samples_every must be >= 0. Received: -1."),
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


def test_not_a_number(tmp_path):
    """Wherever it is: a run would not know its own recipe again."""
    number = line_of(PLAIN, "learning_rate")
    text = PLAIN.replace("learning_rate = 0.01", "epsilon = nan")
    with pytest.raises(RecipeError, match=rf"line {number}: optimizer\.epsilon must be a number\. Received: nan"):
        load(tmp_path, text)


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
