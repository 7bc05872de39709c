"""The command line, on tiny data in the formats that the data comes in."""

import contextlib
import io
import json
import struct
import subprocess
import sys
import types

import keras
import matplotlib.image
import mido
import numpy as np
import pytest
import soundfile

from tests.models.test_released_weights import REFERENCE
from zf_keras import RNN, STORN, ZForcing, datasets, presets
from zf_keras.models.z_forcing import from_released_weights
from zoo import recipes, runs, training
from zoo.__main__ import COMMANDS, main
from zoo.presets import command as command_of
from zoo.recipes import RecipeError
from zoo.runs import BEST, CARD, LAST, RESULTS, Run, RunError

SPEECH = """
title = "Tiny speech"
[data]
dataset = "speech"
frame_size = 20
split = "folders"
[model]
class = "RNN"
units = 5
output = "gaussian"
[optimizer]
class = "Adam"
learning_rate = 0.01
[training]
batch_size = 2
steps_per_epoch = 3
epochs = 2
multiple = 4
[evaluation]
batch_size = 2
[published]
metric = "bits a sample"
value = 1.25
bound = "exact"
source = "nobody"
[small]
model.units = 4
"""
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
    "evaluation.batch_size": 4,
    "evaluation.num_samples": 2,
    "evaluation.pairs": 8,
}
RATE, LENGTHS = 8000, {"train": (300, 219, 90, 160), "valid": (200, 130), "test": (259, 101, 180)}


def command(*arguments):
    """Status, output and errors of a command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit:
            status = exit.code
    return types.SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


def done(*arguments):
    result = command(*arguments)
    assert result.status == 0 and not result.err, result.err
    return result.out


def refused(*arguments):
    """The message of a command that can't be done: one line, without a traceback."""
    result = command(*arguments)
    assert result.status == 1 and "Traceback" not in result.out + result.err
    (line,) = result.err.strip().splitlines()
    prefix = f"python -m zoo {arguments[0]}: "
    assert line.startswith(prefix)
    return line.removeprefix(prefix)


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


@contextlib.contextmanager
def inside(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield patch


def waves():
    rng = np.random.default_rng(0)
    return {
        split: [
            (3000 * np.sin(np.arange(n) / (5 + i)) + 300 * rng.normal(size=n) + 100).astype("int16")
            for i, n in enumerate(lengths)
        ]
        for split, lengths in LENGTHS.items()
    }


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A folder with data and a run of the small form that was stopped, could not be evaluated, and was resumed."""
    folder = tmp_path_factory.mktemp("speech")
    for split, of_split in waves().items():
        (folder / "wav" / split).mkdir(parents=True)
        for i, wave in enumerate(of_split):
            soundfile.write(folder / "wav" / split / f"{i}.wav", wave, RATE, "PCM_16")
    (folder / "tiny.toml").write_text(SPEECH)
    said = {}
    with inside(folder) as patch:
        said["not prepared"] = refused("train", "tiny.toml", "--small")
        said["prepare"] = done("prepare", "tiny.toml", "--source", "wav")
        with patch.context() as stopped:
            stopped.setattr(training.Epochs, "on_epoch_begin", interrupt)
            said["stopped"] = command("train", "tiny.toml", "--small")
        said["evaluate"] = refused("evaluate", "runs/tiny-small")
        said["generate"] = refused("generate", "runs/tiny-small")
        said["resume"] = done("resume", "runs/tiny-small")
    run = Run(folder / "runs/tiny-small")
    files = {name: run.path(name).read_text() for name in (RESULTS, CARD)}
    return types.SimpleNamespace(
        folder=folder, run=run, said=said, results=json.loads(files[RESULTS]), card=files[CARD]
    )


# What there is.


def test_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = done("list")
    for name in recipes.names():
        assert f"\n{name} " in f"\n{out}"
    assert "Z-Forcing without auxiliary costs on TIMIT  [68132 nats a sequence]" in out
    assert f"Data sets: {', '.join(datasets.NAMES)}." in out
    some = done("list", "music/jsb")
    assert [line.split()[0] for line in some.split("\n\n")[0].splitlines()] == [
        "music/jsb_chorales_srnn",
        "music/jsb_chorales_z_forcing",
    ]
    assert "Data sets" in done("list", "no such recipe")


def test_list_prints_no_log_lines(tmp_path):
    """In a process of its own, where TensorFlow is imported for the first time."""
    command = [sys.executable, "-m", "zoo", "list", "digits/"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("digits/z_forcing ") and result.stderr == ""


def test_show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = done("show", "timit/z_forcing")
    shown = recipes.from_text("shown", out)  # the defaults are comments
    assert shown.values == recipes.load("timit/z_forcing").values
    (line,) = (line for line in out.splitlines() if line.startswith("# training, by default: "))
    assert "window = 50" in line and "epochs" not in line.replace("steps_per_epoch", "")
    out = done("show", "timit/z_forcing", "--small", "--set", "model.units=7")
    expected = recipes.load("timit/z_forcing", True, ["model.units=7"]).values
    assert recipes.from_text("shown", out).values == expected and expected["model"]["units"] == 7
    for name in datasets.NAMES:
        out = done("show", name)
        assert "load_data(" in out and len(out) > 400
        assert ("prepare(" in out) == (name != "digits")
    assert "--set model.unit=7: unknown key 'model.unit'. The nearest is 'units'." in refused(
        "show", "timit/z_forcing", "--set", "model.unit=7"
    )
    assert "no recipe 'timitt'" in refused("show", "timitt")


HELP = {
    "list": ("pattern",),
    "show": ("NAME", "--small", "--set"),
    "prepare": ("NAME", "--source", "--on-error", "--small", "--set", "--data-dir", "--directory"),
    "train": ("RECIPE", "--small", "--set", "--source", "--on-error", "--data-dir", "--run-dir"),
    "resume": ("RUN",),
    "evaluate": ("RUN", "--split", "--num-samples"),
    "generate": ("RUN", "--count", "--length", "--temperature", "--seed"),
    "preset": ("RUN", "DIRECTORY", "--licence", "--overwrite", "--data"),
    "convert": ("CHECKPOINT", "DIRECTORY", "--output", "--auxiliary", "--alpha", "--beta", "--licence", "--overwrite"),
}


def test_help():
    assert set(HELP) == set(COMMANDS)
    top = command("--help")
    assert top.status == 0 and not top.err
    for name, arguments in HELP.items():
        assert f"    {name} " in top.out
        result = command(name, "--help")
        assert result.status == 0 and not result.err and result.out.startswith(f"usage: python -m zoo {name} ")
        usage, _, explained = result.out.partition("\n\n")
        for argument in arguments:
            assert argument in usage and argument in explained
    for wrong in ([], ["trian"], ["train"], ["generate", "run", "--count", "many"]):
        result = command(*wrong)
        assert result.status == 2 and "usage: " in result.err


# Speech: an RNN, prepared first, stopped and resumed.


def test_speech_prepared(speech):
    lines = speech.said["prepare"].splitlines()
    assert "  train: 4 sequences, 37 frames, 1 shards" in lines  # 15 + 10 + 4 + 8 frames of 20 samples
    assert "  valid: 2 sequences, 16 frames, 1 shards" in lines
    assert "  test: 3 sequences, 26 frames, 1 shards" in lines
    train = np.concatenate([wave[: len(wave) // 20 * 20] for wave in waves()["train"]]).astype("float64")
    assert f"  mean {train.mean():.6g}, standard deviation {train.std():.6g}" in lines


def test_speech_stopped_and_resumed(speech):
    assert speech.said["stopped"].status == 130
    assert "python -m zoo train: interrupted" in speech.said["stopped"].err
    for name in ("evaluate", "generate"):
        assert f"has no {BEST}: `resume` it until an epoch is done" in speech.said[name]
    assert [row["epoch"] for row in speech.run.rows()] == [1, 2]
    assert speech.run.name == "tiny (small)"
    assert keras.saving.load_model(speech.run.path(LAST)).units == 4
    assert speech.run.environment["data"] == str(speech.folder / "data" / "speech")


def scored(speech):
    """Log-likelihoods of the test part, computed from the files, and their frames."""
    train = np.concatenate([wave[: len(wave) // 20 * 20] for wave in waves()["train"]]).astype("float64")
    lengths = [n // 20 for n in LENGTHS["test"]]
    targets = np.full((3, max(lengths), 20), 1e6, "float32")
    for i, wave in enumerate(waves()["test"]):
        targets[i, : lengths[i]] = (wave[: lengths[i] * 20].reshape(-1, 20) - train.mean()) / train.std()
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    model = keras.saving.load_model(speech.run.path(BEST))
    return model.log_likelihood({"targets": targets, "mask": mask}), sum(lengths), train


def test_speech_measured(speech):
    log_likelihoods, frames, train = scored(speech)
    results = speech.results
    assert (results["split"], results["sequences"], results["frames"]) == ("test", 3, frames)
    assert list(results["bounds"]) == ["exact"]
    exact = results["bounds"]["exact"]
    assert set(exact) == {"nats a sequence", "nats a frame", "bits a sample"}
    assert exact["nats a sequence"] == pytest.approx(log_likelihoods.mean(), rel=1e-5)
    assert exact["nats a sequence"] == pytest.approx(results["terms"]["elbo"], rel=1e-4)
    assert exact["nats a frame"] == pytest.approx(log_likelihoods.sum() / frames, rel=1e-5)
    a_sample = log_likelihoods.sum() / (frames * 20) - np.log(train.std())
    assert exact["bits a sample"] == pytest.approx(-a_sample / np.log(2), rel=1e-5)
    assert results["standard_error"] == pytest.approx(log_likelihoods.std() / 3**0.5, rel=1e-4)
    assert results["statistics"] == pytest.approx({"mean": train.mean(), "std": train.std()})
    assert results["parameters"] == keras.saving.load_model(speech.run.path(BEST)).count_params()
    rows = speech.run.rows()
    assert results["epoch"] == 1 + int(rows[1]["val_elbo"] > rows[0]["val_elbo"])
    out = speech.said["resume"]
    assert "tiny (small): 3 test sequences, 26 predicted frames" in out
    assert f"{exact['bits a sample']:.4f} bits a sample" in out and "1.25 bits a sample, exact" in out


def test_speech_card(speech):
    lines = speech.card.splitlines()
    exact = speech.results["bounds"]["exact"]
    assert lines[0] == "# Tiny speech"
    assert lines[2].startswith("Recipe `tiny (small)`, ")
    assert "## Results on 3 test sequences (26 predicted frames)" in lines
    assert "| bound | nats a sequence | nats a frame | bits a sample |" in lines
    assert f"| exact | {' | '.join(f'{value:.4f}' for value in exact.values())} |" in lines
    assert "| published (exact) |  |  | 1.25 |" in lines
    assert "The published number: nobody." in lines
    assert any("small form: its numbers are not to be compared with the published one" in line for line in lines)
    best = max(row["val_elbo"] for row in speech.run.rows())
    assert any(line.startswith(f"2 epochs; the best validation ELBO, {best:.4f}, after epoch ") for line in lines)
    recipe = speech.card.partition("```toml\n")[2].partition("```")[0]
    expected = recipes.load(str(speech.folder / "tiny.toml"), small=True).values
    assert recipes.from_text("card", recipe).values == expected
    assert matplotlib.image.imread(speech.run.path("curves.png")).std() > 0.05


def test_speech_generated(speech):
    samples = speech.run.path("samples")
    options = ("--count", 2, "--length", 5, "--seed", 3, "--temperature", 0.5)
    out = done("generate", speech.run.directory, *options)
    names = ["samples.npz", "sample-00.wav", "sample-01.wav", "samples.png"]
    assert out.splitlines() == [str(samples / name) for name in names]
    with np.load(samples / "samples.npz") as file:
        frames = file["samples"]
    assert frames.shape == (2, 5, 20)
    statistics = speech.results["statistics"]
    expected = np.rint(frames.reshape(2, 100).astype("float64") * statistics["std"] + statistics["mean"])
    for i, name in enumerate(names[1:3]):
        wave, rate = soundfile.read(samples / name, dtype="int16")
        assert rate == RATE
        np.testing.assert_array_equal(wave, np.clip(expected[i], -32768, 32767))
    assert matplotlib.image.imread(samples / "samples.png").std() > 0.01
    model = keras.saving.load_model(speech.run.path(BEST))  # the same again, and not by another seed or temperature
    np.testing.assert_array_equal(model.generate(2, 5, temperature=0.5, seed=3), frames)
    for temperature, seed in ((0.5, 4), (1.0, 3)):
        assert np.abs(model.generate(2, 5, temperature=temperature, seed=seed) - frames).max() > 0.1


def test_no_samples_of_another_call(speech):
    for name in ("sample-07.wav", "sample-00.wav"):
        speech.run.path("samples").mkdir(exist_ok=True)
        (speech.run.path("samples") / name).write_bytes(b"")
    done("generate", speech.run.directory, "--count", 1, "--length", 2)
    assert [path.name for path in sorted(speech.run.path("samples").glob("*.wav"))] == ["sample-00.wav"]


def test_another_part_is_evaluated(speech):
    done("evaluate", speech.run.directory, "--split", "valid")
    results = json.loads(speech.run.path(RESULTS).read_text())
    best = max(row["val_elbo"] for row in speech.run.rows())
    assert (results["split"], results["sequences"]) == ("valid", 2)
    assert results["bounds"]["exact"]["nats a sequence"] == pytest.approx(best, rel=1e-5)
    assert "## Results on 2 valid sequences" in speech.run.path(CARD).read_text()


# Presets.


def test_preset_of_a_run(speech, tmp_path):
    speech.run.path(RESULTS).write_text(json.dumps(speech.results))
    assert done("preset", speech.run.directory, tmp_path / "tiny", "--licence", "CC0-1.0") == f"{tmp_path / 'tiny'}\n"
    best = keras.saving.load_model(speech.run.path(BEST))
    model = RNN.from_preset(tmp_path / "tiny")
    for mine, kept in zip(best.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, kept)
    assets = presets.load_assets(tmp_path / "tiny")
    assert assets.statistics == speech.results["statistics"]
    results = assets.metadata["results"]
    assert (results["dataset"], results["split"], results["sequences"]) == ("speech", "test", 3)
    exact = speech.results["bounds"]["exact"]["nats a sequence"]
    assert results["bounds"] == {"exact": pytest.approx(exact, rel=1e-6)}
    assert results["one draw"]["nll"] == pytest.approx(-exact, rel=1e-4)
    log_likelihoods, _, _ = scored(speech)  # of which the first batch has two
    assert results["without noise"] == {"sequences": 2, "nll": pytest.approx(-log_likelihoods[:2].mean(), rel=1e-4)}
    recipe = assets.card.partition("```toml\n")[2].partition("```")[0]
    assert recipes.from_text("card", recipe).values == speech.run.recipe.values
    lines = assets.card.splitlines()
    assert lines[1:3] == ["library_name: zf_keras", 'license: "cc0-1.0"'] and "# Tiny speech" in lines
    assert (
        "| published (exact) |  |  | 1.25 |" in lines and "CC0-1.0, of the weights. That of the data is above." in lines
    )
    assert any(line.endswith("python -m zoo train recipe.toml --source ...  # the recipe below") for line in lines)
    assert datasets.module("speech").__doc__.splitlines()[0] in lines
    assert "pass overwrite=True" in refused("preset", speech.run.directory, tmp_path / "tiny")


def test_preset_of_what_was_not_measured(speech, tmp_path):
    run = Run(speech.run.directory)
    kept = run.path(RESULTS).read_text()
    try:
        run.path(RESULTS).unlink()
        assert "has no results of its best model: `evaluate` it first" in refused(
            "preset", run.directory, tmp_path / "tiny"
        )
    finally:
        run.path(RESULTS).write_text(kept)
    assert not (tmp_path / "tiny").exists()


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


# Text, music and pictures.


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
    assert results["terms"]["elbo"] == pytest.approx(-results["terms"]["nll"] - results["terms"]["kl"], rel=1e-4)
    assert elbo["bits a character"] == pytest.approx(-elbo["nats a sequence"] / 16 / np.log(2), rel=1e-5)
    assert "small form" not in run.path(CARD).read_text() and "published" not in run.path(CARD).read_text()
    generated = done("generate", "here", "--count", 3, "--length", 9).splitlines()
    assert generated == [f"here/samples/{name}" for name in ("samples.npz", "samples.txt")]
    with np.load("here/samples/samples.npz") as file:
        vocabulary = ["\ufffd", "", *characters]
        texts = ["".join(vocabulary[token] for token in sample) for sample in file["samples"]]
    assert (tmp_path / generated[1]).read_text(encoding="utf-8") == "\n\n".join(texts) + "\n"
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
        {"nats a sequence": log_likelihoods.mean(), "nats a frame": log_likelihoods.sum() / 16}, rel=1e-5
    )
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


def idx(path, images):
    path.write_bytes(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())


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


# Errors.


def test_errors_before_training(speech, monkeypatch):
    monkeypatch.chdir(speech.folder)
    assert "no recipe 'timit/z_forcin'. The nearest is 'timit/z_forcing'" in refused("train", "timit/z_forcin")
    assert "no recipe 'none.toml'" in refused("train", "none.toml")
    assert speech.said["not prepared"].startswith("data/speech has no manifest.json: nothing was prepared there.")
    message = refused("train", "tiny.toml", "--set", "data.frame_size=40")
    where = "--set data.frame_size=40: the data in data/speech was prepared with frame_size = 20, the recipe has 40."
    assert message == where
    message = refused("train", "tiny.toml", "--small")
    assert message == "runs/tiny-small is not empty. Go on with it by `resume`, or choose another folder by --run-dir."
    assert "wav is not empty. Choose another folder by --run-dir." in refused("train", "tiny.toml", "--run-dir", "wav")
    assert not (speech.folder / "runs/tiny").exists()
    message = refused("prepare", "tiny.toml", "--source", "wav", "--set", "data.frame_size=40")
    assert "holds a data set prepared with frame_size=20, not frame_size=40" in message
    assert "does not exist" in refused("prepare", "speech", "--source", "nowhere", "--directory", "other")
    message = refused("prepare", "speech", "--source", "wav", "--directory", "other", "--set", "frame_sise=3")
    assert message == "--set frame_sise=3: unknown key 'data.frame_sise'. The nearest is 'frame_size'."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "load", lambda *args: (_ for _ in ()).throw(ImportError("soundfile is not installed")))
        assert refused("train", "tiny.toml") == "soundfile is not installed"


def test_bundled_data_takes_no_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train", "prepare"):
        assert refused(name, "digits/z_forcing", "--source", ".") == "digits is bundled: it takes no --source."
    assert refused("prepare", "digits", "--source", ".") == "digits is bundled: there is nothing to prepare."
    assert list(tmp_path.iterdir()) == []


def test_no_run(tmp_path):
    for name in ("resume", "evaluate", "generate"):
        assert refused(name, tmp_path) == f"{tmp_path} is not the folder of a run: it has no recipe.toml."
        assert "is not the folder of a run" in refused(name, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_changed_data(speech):
    manifest = speech.folder / "data/speech/manifest.json"
    before = manifest.read_text()
    manifest.write_text(before.replace("8000", "8001"))
    try:
        for name in ("resume", "evaluate", "generate"):
            message = refused(name, speech.run.directory)
            assert message == f"{speech.folder}/data/speech holds other data than the run was begun with."
    finally:
        manifest.write_text(before)


def test_wrong_samples(speech):
    for argument, value in (("count", 0), ("length", 0), ("temperature", -1)):
        message = refused("generate", speech.run.directory, f"--{argument}={value}")
        assert str(value) in message


def test_what_to_prepare(speech):
    assert "python -m zoo prepare tiny.toml --source" in speech.said["not prepared"]


def test_prepared_with_what_the_recipe_does_not_say(speech):
    """The recipe is of whole recordings, the data of pieces."""
    directory = speech.folder / "pieces"
    datasets.module("speech").prepare(
        speech.folder / "wav", directory, frame_size=20, piece_frames=2, split="folders", verbose=False
    )
    recipe = recipes.load(str(speech.folder / "tiny.toml"))
    with pytest.raises((RecipeError, RunError), match="piece_frames"):
        runs.load_data(recipe, directory)


def test_prepared_with_another_validation_part(tmp_path):
    images = np.arange(8 * 28 * 28).astype("uint8").reshape(8, 28, 28)
    for name in ("train", "t10k"):
        idx(tmp_path / f"{name}-images-idx3-ubyte", images)
    datasets.module("fashion_mnist").prepare(tmp_path, tmp_path / "data", valid=3, verbose=False)
    recipe = recipes.load("fashion_mnist/vrnn", settings=["data.valid=2"])
    with pytest.raises((RecipeError, RunError), match="valid"):
        runs.load_data(recipe, tmp_path / "data")


@pytest.mark.parametrize("setting", ["split=random", "seed=0", "valid=0.25", "piece_frames=2"])
def test_prepared_as_the_recipe_says(speech, tmp_path, setting):
    settings = [f"data.{each}" for each in (setting, "split=random", "valid=0.25")]
    recipe = recipes.load("speech/z_forcing", settings=["data.frame_size=20", "data.piece_frames=2", *settings])
    options = {key: value for key, value in recipe.values["data"].items() if key != "dataset"}
    datasets.module("speech").prepare(speech.folder / "wav", tmp_path / "data", verbose=False, **options)
    assert len(runs.load_data(recipe, tmp_path / "data").train) > 3
    other = {"split": "folders", "seed": 1, "valid": 0.3, "piece_frames": 3}[setting.partition("=")[0]]
    key = setting.partition("=")[0]
    recipe.values["data"][key] = other
    with pytest.raises(RecipeError, match=f"^--set data.{setting}: the data in .* was prepared with {key} = "):
        runs.load_data(recipe, tmp_path / "data")


def test_frames_that_are_not_standardised_are_no_recipe():
    """Bits a sample and written samples are told from standardised frames."""
    with pytest.raises(RecipeError, match=r"unknown key 'data\.standardize'"):
        recipes.load("speech/z_forcing", settings=["data.standardize=false"])
