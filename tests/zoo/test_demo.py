"""The demo: recipes trained into runs, pictures and a table."""

import json

import keras
import matplotlib.image
import numpy as np
import pytest

from zf_keras.datasets import digits
from zoo import components, demo, recipes, runs
from zoo.runs import BEST, Run


def test_demo(tmp_path, capsys, monkeypatch):
    train, valid, test = digits.load_data(frames="rows")
    data = digits.Digits(train[:64], valid[:20], test[: demo.GRID**2])
    monkeypatch.setattr(runs, "load_data", lambda recipe, directory: data)
    folder = tmp_path / "new"
    options = ["--output-dir", str(folder), "--epochs", "2"]
    assert demo.main([*options, "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    pictures = {"digits.png", "curves.png"}
    assert {path.name for path in folder.iterdir()} == {*pictures, "metrics.json", "rnn", "z_forcing"}
    for name in pictures:
        picture = matplotlib.image.imread(folder / name)
        assert min(picture.shape[:2]) > 300 and picture[..., :3].std() > 0.05
    metrics = json.loads((folder / "metrics.json").read_text())
    rnn, z_forcing = metrics["results"]["RNN"], metrics["results"]["Z-Forcing"]
    exact, elbo, iwae = rnn["bounds"]["exact"], z_forcing["bounds"]["ELBO"], z_forcing["bounds"]["IWAE-25"]
    # Of other draws, hence the tolerance: the bound of 25 samples is above that of one in expectation.
    assert elbo["nats a sequence"] <= iwae["nats a sequence"] + 0.05
    assert metrics["minus_rnn"].keys() == {"Z-Forcing"}
    gain = iwae["nats a sequence"] - exact["nats a sequence"]
    assert metrics["minus_rnn"]["Z-Forcing"]["mean"] == pytest.approx(gain, abs=1e-4)
    assert f"{elbo['nats a sequence']:.2f}" in printed
    for name in demo.DEFAULT:
        run = Run(folder / demo.folder_of(name))
        assert run.training["seed"] == 3 and len(run.rows()) == 2
        assert f"Training {name}, 2 epochs" in printed
    model = keras.saving.load_model(folder / "rnn" / BEST)
    assert model.log_likelihood(data.test).mean() == pytest.approx(exact["nats a sequence"], rel=1e-5)
    assert demo.main([*options, "--seed", "4"]) == 1
    assert "is a run of other settings. Choose another folder by --output-dir." in capsys.readouterr().err


@pytest.mark.parametrize("name", demo.MODELS)
def test_every_model_is_made(name):
    recipe = demo.recipe_of(name, 80, 5)
    model = components.new_model(recipe, 21, {})
    assert model.units == 128 and getattr(model, "latent_dim", 16) == 16 and model.seed == 5
    optimizer = components.new_optimizer(recipe, 21)
    assert type(optimizer) is keras.optimizers.AdamW and optimizer.weight_decay == 0.1
    rates = [float(optimizer._learning_rate(n)) for n in (0, 40 * 21, 80 * 21)]
    np.testing.assert_allclose(rates, [0.004, 0.002, 0], atol=1e-8)
    if name != "RNN":
        np.testing.assert_allclose(
            [float(model.kl_weight(n)) for n in (0, 12 * 21, 24 * 21)], [0.1, 0.55, 1], rtol=1e-5
        )


def test_every_recipe_of_the_demo_is_used():
    names = {name for name in recipes.names() if name.startswith("demo/")}
    assert names == {f"demo/{demo.folder_of(name)}" for name in demo.MODELS}


def test_models_in_the_order_of_the_table(monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "run", lambda names, *args: calls.append(names))
    demo.main(["--models", "Z-Forcing", "RNN", "Z-Forcing"])
    demo.main(["--models", "all"])
    assert calls == [["RNN", "Z-Forcing"], list(demo.MODELS)]


def test_bad_epochs(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--epochs", "0"])
    assert "--epochs" in capsys.readouterr().err


def test_table_lines_up():
    results = {
        "RNN": {"bounds": {"exact": {"nats a sequence": -17.51}}, "terms": {}, "parameters": 87688, "epoch": 76},
        "Z-Forcing": {
            "bounds": {"ELBO": {"nats a sequence": -16.89}, "IWAE-25": {"nats a sequence": -16.07}},
            "terms": {"kl": 7.11},
            "parameters": 276433,
            "epoch": 76,
        },
    }
    minus_rnn = {"Z-Forcing": {"mean": 1.44, "standard_error": 0.16}}
    title, rnn, elbo, iwae, difference = demo.table(results, minus_rnn)
    assert len(title) == len(rnn) == len(elbo)
    assert {line.index(x) for line, x in ((rnn, "-17.51"), (elbo, "-16.89"), (iwae, "-16.07"))} == {25}
    assert difference == "Z-Forcing minus RNN: +1.44 nats, standard error 0.16"
