"""The command line: what it lists, shows and explains, and what it refuses."""

import subprocess
import sys

import pytest

from tests.zoo.command_line import command, done, refused
from zf_keras import datasets
from zoo import recipes
from zoo.__main__ import COMMANDS

DEVICES = ("--devices", "--processes", "--process-id", "--coordinator")
HELP = {
    "list": ("pattern",),
    "show": ("NAME", "--small", "--set"),
    "prepare": ("NAME", "--source", "--on-error", "--small", "--set", "--data-dir", "--directory"),
    "train": ("RECIPE", "--small", "--set", "--source", "--on-error", "--data-dir", "--run-dir", *DEVICES),
    "resume": ("RUN", "--data", *DEVICES),
    "evaluate": ("RUN", "--split", "--num-samples", "--bound", "--sequences"),
    "generate": ("RUN", "--count", "--length", "--prompt", "--prompt-steps", "--top-k", "--top-p", "--seed"),
    "forecast": ("RUN", "--data", "--source", "--horizon", "--quantiles", "--num-samples", "--output", "--figure"),
    "backtest": ("RUN", "--data", "--source", "--windows", "--stride", "--horizon", "--num-samples", "--seed"),
    "interpolate": ("RUN", "--data", "--first", "--second", "--points", "--top-k", "--draws", "--seed"),
    "compare": ("RUN", "--output"),
    "report": ("RUN", "--data", "--output", "--count", "--sequences", "--seed"),
    "preset": ("RUN", "DIRECTORY", "--licence", "--overwrite", "--data"),
    "convert": ("CHECKPOINT", "DIRECTORY", "--output", "--auxiliary", "--alpha", "--beta", "--licence", "--overwrite"),
}


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


def test_help():
    assert set(HELP) == set(COMMANDS)
    top = command("--help")
    assert top.status == 0 and not top.err
    for name, arguments in HELP.items():
        assert f"\n    {name}" in top.out
        result = command(name, "--help")
        assert result.status == 0 and not result.err and result.out.startswith(f"usage: python -m zoo {name} ")
        usage, _, explained = result.out.partition("\n\n")
        for argument in arguments:
            assert argument in usage and argument in explained
    for wrong in ([], ["trian"], ["train"], ["generate", "run", "--count", "many"]):
        result = command(*wrong)
        assert result.status == 2 and "usage: " in result.err


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
    for name in ("resume", "evaluate", "generate", "interpolate"):
        assert refused(name, tmp_path) == f"{tmp_path} is not the folder of a run: it has no recipe.toml."
        assert "is not the folder of a run" in refused(name, tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_what_to_prepare(speech):
    assert "python -m zoo prepare tiny.toml --source" in speech.said["not prepared"]
