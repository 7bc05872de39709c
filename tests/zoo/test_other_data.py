"""Text, music and pictures by the command line, from their files to samples."""

import json
import shutil
import struct

import keras
import matplotlib.image
import mido
import numpy as np
import pytest

from tests.zoo.command_line import command, done, refused
from zf_keras import STORN, datasets, presets
from zoo import recipes, runs
from zoo.recipes import RecipeError
from zoo.runs import BEST, CARD, RESULTS, Run, RunError

TEXT = """
title = "Tiny text"
[data]
dataset = "text"
length = 16
valid = 0.1
test = 0.2
[model]
class = "STORN"
units = 4
latent_dim = 2
output = "categorical"
[optimizer]
class = "Adam"
[training]
batch_size = 8
steps_per_epoch = 2
epochs = 1
samples_every = 0
[evaluation]
num_samples = 3
batch_size = 4
pairs = 6
"""
MUSIC = """
[data]
dataset = "piano_rolls"
name = "tiny"
[model]
class = "RNN"
units = 4
output = "bernoulli"
[optimizer]
class = "Adam"
[training]
batch_size = 2
epochs = 1
samples_every = 0
[published]
metric = "nats a frame"
value = -7.5
bound = "exact"
source = "nobody"
"""
FASHION = {
    "data.valid": 4,
    "data.binarization": "threshold",
    "model.units": 4,
    "model.latent_dim": 2,
    "training.epochs": 1,
    "training.steps_per_epoch": 2,
    "training.batch_size": 3,
    "training.samples_every": 0,
    "evaluation.batch_size": 4,
    "evaluation.num_samples": 2,
    "evaluation.pairs": 8,
}


def idx(path, images):
    path.write_bytes(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())


def test_text(tmp_path, monkeypatch):
    """A model with latents, and what `prepare` found in the data."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    string = "".join(rng.choice(list("aaabbc de\nü"), 640))
    (tmp_path / "book.txt").write_text(string, encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(TEXT)
    out = done("train", "tiny.toml", "--source", "book.txt", "--run-dir", "here")
    run = Run("here")
    results = json.loads(run.path(RESULTS).read_text())
    assert "train: 28 sequences, 448 frames" in out and results["sequences"] == 8 and results["frames"] == 128
    # The test part, the last fifth, in tokens by how often they are in the training part.
    train, test = string[:448], string[512:]
    characters = sorted(set(train), key=lambda c: (-train.count(c), c))
    tokens = np.array([2 + characters.index(c) for c in test]).reshape(8, 16)
    model = keras.saving.load_model(run.path(BEST))
    assert (model.num_classes, model.start_token, model.unknown_token) == (2 + len(characters), 1, 0)
    pieces = [tokens[:4], tokens[4:]]
    scores = [model.log_likelihood(piece, 3, seed=i, batch_size=6, verbose=0) for i, piece in enumerate(pieces)]
    iwae = np.concatenate(scores).mean()
    assert list(results["bounds"]) == ["ELBO", "IWAE-3"]
    measured = results["bounds"]["IWAE-3"]
    assert measured["nats a sequence"] == pytest.approx(iwae, rel=1e-5)
    assert measured["nats a frame"] == pytest.approx(iwae / 16, rel=1e-5)
    assert measured["bits a character"] == pytest.approx(-iwae / 16 / np.log(2), rel=1e-5)
    elbo = results["bounds"]["ELBO"]
    assert elbo["nats a sequence"] == pytest.approx(iwae, rel=0.05)
    assert elbo["nats a sequence"] == results["terms"]["elbo"]
    # Of each sequence, not of their mean alone.
    errors = results["standard_errors"]["ELBO"]
    assert errors["nats a sequence"] == pytest.approx(16 * errors["nats a frame"], rel=1e-6)
    assert errors["nats a sequence"] > 1e-3
    assert results["terms"]["elbo"] == pytest.approx(-results["terms"]["nll"] - results["terms"]["kl"], rel=1e-4)
    assert elbo["bits a character"] == pytest.approx(-elbo["nats a sequence"] / 16 / np.log(2), rel=1e-5)
    assert "small form" not in run.path(CARD).read_text() and "published" not in run.path(CARD).read_text()
    generated = done("generate", "here", "--count", 3, "--length", 9).splitlines()
    assert generated == [f"here/samples/{name}" for name in ("samples.npz", "samples.txt")]
    with np.load("here/samples/samples.npz") as file:
        vocabulary = ["\ufffd", "", *characters]
        texts = ["".join(vocabulary[token] for token in sample) for sample in file["samples"]]
    assert (tmp_path / generated[1]).read_text(encoding="utf-8") == "\n\n".join(texts) + "\n"
    prompt = test[:6]
    for given in (prompt, "prompt.txt"):
        (tmp_path / "prompt.txt").write_text(prompt + "\n", encoding="utf-8")
        done("generate", "here", "--count", 2, "--prompt", given, "--length", 9, "--top-k", 3)
        with np.load("here/samples/samples.npz") as file:
            np.testing.assert_array_equal(file["samples"][:, :6], np.tile(tokens.ravel()[:6], (2, 1)))
    assert "The prompt holds no text" in refused("generate", "here", "--prompt", "")
    assert command("generate", "here", "--prompt", "a", "--prompt-steps", "2").status == 2
    done("preset", "here", "preset")
    assets = presets.load_assets("preset")
    assert assets.statistics is None and assets.vocabulary.tokens == vocabulary
    assert assets.vocabulary.encode(test).tolist() == tokens.ravel().tolist()
    assert set(assets.metadata["results"]["bounds"]) == {"ELBO", "IWAE-3"}
    np.testing.assert_array_equal(STORN.from_preset("preset").generate(2, 4, seed=1), model.generate(2, 4, seed=1))


def test_music(tmp_path, monkeypatch):
    """The first frame is given: it is neither scored nor counted."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rolls = {split: rng.random((n, t, 88)) < 0.1 for split, n, t in (("train", 4, 7), ("valid", 2, 7), ("test", 3, 9))}
    lengths = np.array([9, 4, 6])
    packed = {split: np.packbits(roll, axis=-1) for split, roll in rolls.items()}
    (tmp_path / "rolls").mkdir()
    np.savez(tmp_path / "rolls/Tiny.npz", **packed, test_lengths=lengths)
    (tmp_path / "tiny.toml").write_text(MUSIC)
    done("train", "tiny.toml", "--source", "rolls", "--data-dir", "prepared", "--set", "data.directory=rolls88")
    assert (tmp_path / "prepared/rolls88/manifest.json").is_file()
    run = Run("runs/tiny")
    results = json.loads(run.path(RESULTS).read_text())
    model = keras.saving.load_model(run.path(BEST))
    batch = {"inputs": rolls["test"].astype("float32"), "mask": np.arange(9) < lengths[:, None]}
    log_likelihoods = model.log_likelihood(batch)
    exact = results["bounds"]["exact"]
    assert (results["sequences"], results["frames"]) == (3, 8 + 3 + 5)
    assert exact == pytest.approx(
        {
            "nats a sequence": log_likelihoods.mean(),
            "nats a frame": log_likelihoods.sum() / 16,
            "nats a frame, mean over sequences": np.mean(log_likelihoods / [8, 3, 5]),
        },
        rel=1e-5,
    )
    error = np.std(log_likelihoods / [8, 3, 5], ddof=1) / 3**0.5
    errors = results["standard_errors"]["exact"]
    assert set(errors) == set(exact)
    assert errors["nats a frame, mean over sequences"] == pytest.approx(error, rel=1e-4)
    assert -75 < exact["nats a frame"] < -40  # 88 ln 2 = 61 of a model that knows nothing
    card = run.path(CARD).read_text()
    assert card.startswith("# tiny\n") and "| published (exact) |  | -7.5 |" in card
    out = done("generate", "runs/tiny", "--count", 2, "--length", 6).splitlines()
    assert [line.rpartition("/")[2] for line in out] == ["samples.npz", "sample-00.mid", "sample-01.mid", "samples.png"]
    with np.load(out[0]) as file:
        roll = file["samples"][1]
    midi = mido.MidiFile(out[2])
    notes = {message.note for message in midi if message.type == "note_on" and message.velocity}
    assert notes == {21 + note for note in np.flatnonzero(roll.any(axis=0))}
    shutil.copy(out[2], "mine.mid")
    done("generate", "runs/tiny", "--count", 2, "--prompt", "mine.mid")
    with np.load(out[0]) as file:
        known = file["samples"][0, :6]
        assert file["samples"].shape == (2, 6 + 7, 88)
    sounding = roll[: 1 + np.flatnonzero(roll.any(axis=1))[-1]]
    np.testing.assert_array_equal(known[: len(sounding)], sounding)
    assert "There is no MIDI file nothing.mid" in refused("generate", "runs/tiny", "--prompt", "nothing.mid")


def test_pictures(tmp_path, monkeypatch):
    """A recipe of the zoo, made tiny by --set."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 28, 28), "uint8") for n in (10, 4))
    (tmp_path / "idx").mkdir()
    idx(tmp_path / "idx/train-images-idx3-ubyte", train)
    idx(tmp_path / "idx/t10k-images-idx3-ubyte", test)
    settings = [part for key, value in FASHION.items() for part in ("--set", f"{key}={value}")]
    out = done("train", "fashion_mnist/vrnn", "--small", "--source", "idx", *settings)
    assert "train: 6 sequences" in out and "valid: 4 sequences" in out and "test: 4 sequences" in out
    run = Run("runs/fashion_mnist/vrnn-small")
    results = json.loads(run.path(RESULTS).read_text())
    model = keras.saving.load_model(run.path(BEST))
    assert (type(model).__name__, model.units, model.latent_dim) == ("VRNN", 4, 2)
    iwae = model.log_likelihood((test >= 128).astype("float32"), 2, seed=0, batch_size=8, verbose=0).mean()
    expected = {"nats a sequence": iwae, "nats a frame": iwae / 28, "bits a pixel": -iwae / 784 / np.log(2)}
    assert results["bounds"]["IWAE-2"] == pytest.approx(expected, rel=1e-5)
    assert results["bounds"]["ELBO"]["nats a sequence"] == pytest.approx(iwae, rel=0.05)
    assert (results["sequences"], results["frames"]) == (4, 4 * 28)
    out = done("generate", "runs/fashion_mnist/vrnn-small", "--count", 4).splitlines()
    with np.load(out[0]) as file:
        samples = file["samples"]
    assert samples.shape == (4, 28, 28) and set(np.unique(samples)) == {0, 1}
    picture = matplotlib.image.imread(out[1])[..., 0]
    assert picture.shape == (240, 240)  # 2 x 2 of 28 + 2 pixels, four times as large
    np.testing.assert_array_equal(picture[4:116:4, 124:236:4], samples[1])


def test_prepared_with_another_validation_part(tmp_path):
    images = np.arange(8 * 28 * 28).astype("uint8").reshape(8, 28, 28)
    for name in ("train", "t10k"):
        idx(tmp_path / f"{name}-images-idx3-ubyte", images)
    datasets.module("fashion_mnist").prepare(tmp_path, tmp_path / "data", valid=3, verbose=False)
    recipe = recipes.load("fashion_mnist/vrnn", settings=["data.valid=2"])
    with pytest.raises((RecipeError, RunError), match="valid"):
        runs.load_data(recipe, tmp_path / "data")
