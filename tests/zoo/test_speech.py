"""Speech by the command line: an RNN, prepared first, stopped, resumed, measured and drawn from."""

import json
import shutil

import keras
import matplotlib.image
import numpy as np
import pytest
import soundfile

from tests.zoo.command_line import done, refused
from tests.zoo.conftest import LENGTHS, RATE, waves
from zf_keras import RNN, datasets, presets
from zoo import recipes
from zoo.runs import BEST, CARD, LAST, RESULTS, Run


@pytest.fixture
def copied(speech, tmp_path):
    """The run, to be changed."""
    return Run(shutil.copytree(speech.run.directory, tmp_path / "run"))


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
    assert results["standard_error"] == results["standard_errors"]["exact"]["nats a sequence"]
    assert results["standard_error"] == pytest.approx(log_likelihoods.std(ddof=1) / 3**0.5, rel=1e-4)
    assert set(results["standard_errors"]["exact"]) == set(exact)
    assert results["statistics"] == pytest.approx({"mean": train.mean(), "std": train.std()})
    assert results["parameters"] == keras.saving.load_model(speech.run.path(BEST)).count_params()
    rows = speech.run.rows()
    assert results["epoch"] == 1 + int(rows[1]["val_elbo"] > rows[0]["val_elbo"])
    out = speech.said["resume"]
    assert "tiny (small): 3 test sequences (26 predicted frames)" in out
    assert f"{exact['bits a sample']:.4f} bits a sample" in out and "1.25 bits a sample, exact" in out


def test_speech_card(speech):
    lines = speech.card.splitlines()
    exact = speech.results["bounds"]["exact"]
    assert lines[0] == "# Tiny speech"
    assert lines[2].startswith("Recipe `tiny (small)`, ")
    assert "## Results on 3 test sequences (26 predicted frames)" in lines
    assert "| bound | nats a sequence | nats a frame | bits a sample |" in lines
    assert f"| exact | {' | '.join(f'{value:.4f}' for value in exact.values())} |" in lines
    errors = speech.results["standard_errors"]["exact"].values()
    assert f"| its standard error | {' | '.join(f'{error:.3g}' for error in errors)} |" in lines
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


def test_a_recording_is_continued(copied, tmp_path):
    soundfile.write(tmp_path / "mine.wav", np.arange(70, dtype="int16"), RATE, "PCM_16")
    done("generate", copied.directory, "--count", 2, "--prompt", tmp_path / "mine.wav", "--length", 5)
    waves = [soundfile.read(copied.path("samples") / f"sample-0{i}.wav", dtype="int16")[0] for i in range(2)]
    for wave in waves:
        np.testing.assert_allclose(wave[:60], np.arange(60), atol=1)  # whole frames of 20
    assert (waves[0][60:] != waves[1][60:]).any()
    soundfile.write(tmp_path / "fast.wav", np.arange(70, dtype="int16"), 2 * RATE, "PCM_16")
    message = refused("generate", copied.directory, "--prompt", tmp_path / "fast.wav")
    assert f"{2 * RATE} samples a second, where {RATE} are expected" in message
    assert "no recording" in refused("generate", copied.directory, "--prompt", tmp_path / "nothing.wav")


def test_no_samples_of_another_call(copied):
    copied.path("samples").mkdir(exist_ok=True)
    for name in ("sample-07.wav", "sample-00.wav"):
        (copied.path("samples") / name).write_bytes(b"")
    done("generate", copied.directory, "--count", 1, "--length", 2)
    assert [path.name for path in sorted(copied.path("samples").glob("*.wav"))] == ["sample-00.wav"]


def test_another_part_is_evaluated(copied):
    done("evaluate", copied.directory, "--split", "valid")
    results = json.loads(copied.path(RESULTS).read_text())
    best = max(row["val_elbo"] for row in copied.rows())
    assert (results["split"], results["sequences"]) == ("valid", 2)
    assert results["bounds"]["exact"]["nats a sequence"] == pytest.approx(best, rel=1e-5)
    assert "## Results on 2 valid sequences" in copied.path(CARD).read_text()


def test_preset_of_a_run(speech, tmp_path):
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


def test_preset_of_what_was_not_measured(copied, tmp_path):
    copied.path(RESULTS).unlink()
    message = refused("preset", copied.directory, tmp_path / "tiny")
    assert "has no results of its best model: `evaluate` it first" in message
    assert not (tmp_path / "tiny").exists()


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
