import json
import math

import keras
import matplotlib.image
import pytest

from zf_keras.datasets import digits
from zoo import demo


def numbers(value):
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield value


def check_picture(path):
    picture = matplotlib.image.imread(path)
    assert min(picture.shape[:2]) > 300
    assert picture[..., :3].std() > 0.05


def check_metrics(metrics):
    assert all(map(math.isfinite, numbers(metrics)))
    assert set(metrics["versions"]) == {"keras", keras.config.backend(), "numpy", "zf_keras"}
    rnn, z_forcing = metrics["results"]["RNN"], metrics["results"]["Z-Forcing"]
    assert rnn["log_likelihood"] == pytest.approx(rnn["elbo"], abs=1e-3)
    assert z_forcing["elbo"] == pytest.approx(-z_forcing["nll"] - z_forcing["kl"], abs=1e-3)
    # Of other draws, hence the tolerance: the bound of 25 samples is above that of one in expectation.
    assert z_forcing["elbo"] <= z_forcing["log_likelihood"] + 0.05
    gain = z_forcing["log_likelihood"] - rnn["log_likelihood"]
    assert metrics["minus_rnn"].keys() == {"Z-Forcing"}
    assert metrics["minus_rnn"]["Z-Forcing"]["mean"] == pytest.approx(gain, abs=1e-3)


def check_model(path, data, reported, seed):
    """The numbers, and the epoch that was kept, are those of the saved model."""
    model = keras.saving.load_model(path)
    scores, _ = demo.measure(model, data.test, seed)
    assert scores == pytest.approx({key: reported[key] for key in scores}, rel=1e-5)
    validation = reported["history"]["val_elbo"]
    assert len(validation) == 2
    assert validation[reported["best_epoch"] - 1] == max(validation)


def test_demo(tmp_path, capsys):
    # One test, not several on a fixture: with xdist every worker would train again.
    train, valid, test = digits.load_data(frames="rows")
    data = digits.Digits(train[:64], valid[:20], test[: demo.GRID**2])
    folder = tmp_path / "new"
    demo.main(["--output-dir", str(folder), "--epochs", "2", "--seed", "3"], data)

    pictures = {"digits.png", "curves.png"}
    assert {path.name for path in folder.iterdir()} == {*pictures, "metrics.json", "rnn.keras", "z_forcing.keras"}
    for name in pictures:
        check_picture(folder / name)
    metrics = json.loads((folder / "metrics.json").read_text())
    check_metrics(metrics)
    for name in demo.DEFAULT:
        check_model(folder / demo.file_of(name), data, metrics["results"][name], seed=3)
    printed = capsys.readouterr().out
    assert all(f"Training {name}, 2 epochs of 64 digits" in printed for name in demo.DEFAULT)
    assert f"{metrics['results']['Z-Forcing']['elbo']:.2f}" in printed


def test_best_weights_are_restored(monkeypatch):
    """A training that gets worse: a learning rate without decay that is far too large."""
    train, valid, _ = digits.load_data(frames="rows")
    data = digits.Digits(train[:64], valid[:20], None)
    monkeypatch.setitem(demo.TRAINING, "learning_rate", 1.0)
    model, result = demo.train("RNN", data, epochs=4, seed=0)
    validation = result["history"]["val_elbo"]
    assert result["best_epoch"] < 4
    assert model.log_likelihood(data.valid).mean() == pytest.approx(max(validation), rel=1e-4)


def test_interrupted_write_keeps_the_file(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), demo.whole_file(path) as partial:
        partial.write_text("af")
        raise KeyboardInterrupt
    assert path.read_text() == "before"


@pytest.mark.parametrize("name", demo.MODELS)
def test_every_model_is_made(name):
    model = demo.make_model(name, updates=10, seed=0)
    model.build((None, 8, 8))
    assert model.units == 128 and getattr(model, "latent_dim", 16) == 16


def test_models_in_the_order_of_the_table(monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "run", lambda names, *args: calls.append(names))
    demo.main(["--models", "Z-Forcing", "RNN", "Z-Forcing"], data=())
    demo.main(["--models", "all"], data=())
    assert calls == [["RNN", "Z-Forcing"], list(demo.MODELS)]


def test_bad_epochs(capsys):
    with pytest.raises(SystemExit):
        demo.main(["--epochs", "0"])
    assert "--epochs" in capsys.readouterr().err


def test_table_lines_up():
    costs = {"parameters": 276433, "seconds_per_epoch": 0.712, "best_epoch": 76}
    results = {
        "RNN": {"log_likelihood": -17.51, **costs},
        "Z-Forcing": {"elbo": -16.89, "log_likelihood": -16.07, "kl": 7.11, **costs},
    }
    minus_rnn = {"Z-Forcing": {"mean": 1.44, "standard_error": 0.16}}
    title, rnn, elbo, iwae, difference = demo.table(results, minus_rnn)
    assert len(title) == len(rnn) == len(elbo)
    assert {line.index(x) for line, x in ((rnn, "-17.51"), (elbo, "-16.89"), (iwae, "-16.07"))} == {25}
    assert difference == "Z-Forcing (IWAE-25) minus RNN: +1.44 nats, standard error 0.16"
