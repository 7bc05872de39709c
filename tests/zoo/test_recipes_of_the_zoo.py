"""The recipes of the zoo, beside the papers that they are of."""

import numpy as np
import pytest

from zoo import components, recipes

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


def test_results_name_every_recipe_with_its_published_number():
    text = (recipes.FOLDER.parent / "results.md").read_text()
    rows = {
        row[1].strip(" `"): row for row in (line.split("|") for line in text.splitlines() if line.startswith("| `"))
    }
    for name in recipes.names():
        published = recipes.load(name).values.get("published")
        if published:
            assert rows[name][2].strip() == f"{published['value']:g} ({published['bound']})"
