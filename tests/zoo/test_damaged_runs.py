"""Files of a run that are another's, or were changed or damaged by hand: one sentence each, and nothing is trained."""

import json
import re
import shutil
import zipfile

import pytest

from tests.zoo.conftest import begin_tiny
from zoo import checkpoints, runs
from zoo.__main__ import main
from zoo.runs import BEST, ENVIRONMENT, LAST, METRICS, RESULTS, RunError


def refused(capsys, command, run, pattern, *options):
    """A command ends with status 1 and one line."""
    before = {name: run.path(name).read_bytes() for name in (LAST, BEST) if run.path(name).exists()}
    capsys.readouterr()
    assert main([command, str(run.directory), *options]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(pattern, line), line
    assert {name: run.path(name).read_bytes() for name in before} == before


def resave(path, **entries):
    """Replaces entries of a .keras file; `None` takes one away."""
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    contents |= {name: value if value is None else value.encode() for name, value in entries.items()}
    with zipfile.ZipFile(path, "w") as file:
        for name, value in contents.items():
            if value is not None:
                file.writestr(name, value)


# Of another run, or changed.


@pytest.mark.parametrize(("name", "command"), [(LAST, "resume"), (BEST, "resume"), (BEST, "evaluate")])
def test_a_model_of_another_run(tiny, tmp_path, capsys, name, command):
    other = begin_tiny(tmp_path / "other")
    resave(tiny.path(name), **{checkpoints.ORIGIN: json.dumps({"run": other.environment["id"], "rows": None})})
    refused(capsys, command, tiny, rf"{re.escape(name)} can't be used: it is of another run\.")


def swapped(lines):
    lines[1], lines[2] = "1," + lines[2].split(",", 1)[1], "2," + lines[1].split(",", 1)[1]


def altered(lines):
    lines[1] = lines[1].rpartition(",")[0] + ",7"


def reordered(lines):
    lines[1], lines[2] = lines[2], lines[1]


def nameless(lines):
    lines[0] = lines[0].replace("val_elbo", "val_elbow")


def short(lines):
    lines[2] = lines[2].rpartition(",")[0]


def long(lines):
    lines[2] += ",1"


def wordy(lines):
    lines[2] = lines[2].rpartition(",")[0] + ",high"


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (swapped, r"last\.keras can't be used: the rows of metrics\.csv are not those that it was saved with"),
        (altered, r"last\.keras can't be used: the rows of metrics\.csv are not those that it was saved with"),
        (reordered, r"metrics\.csv can't be read: line 2 must be of epoch 1\. Received: epoch 2"),
        (nameless, r"metrics\.csv can't be read: it has no column val_elbo"),
        (short, r"metrics\.csv can't be read: line 3 must have \d+ values\. Received: \d+"),
        (long, r"metrics\.csv can't be read: line 3 must have \d+ values\. Received: \d+"),
        (wordy, r"metrics\.csv can't be read: line 3: \w+ must be a finite number\. Received: 'high'"),
    ],
)
def test_rows_that_were_changed(tiny, capsys, change, pattern):
    lines = tiny.path(METRICS).read_text().splitlines()
    change(lines)
    tiny.path(METRICS).write_text("\n".join(lines) + "\n")
    refused(capsys, "resume", tiny, pattern)


def test_last_model_deleted(tiny, capsys):
    tiny.path(LAST).unlink()
    refused(capsys, "resume", tiny, r"last\.keras is gone, and 3 epochs were trained: put it back, or begin")


@pytest.mark.parametrize("epochs", ["-1", "0", "many"])
def test_epochs_of_a_model(tiny, capsys, epochs):
    resave(tiny.path(LAST), **{checkpoints.EPOCHS: epochs})
    refused(capsys, "resume", tiny, rf"last\.keras can't be used: .*{epochs}")


def test_a_model_without_its_parts(tiny, capsys):
    resave(tiny.path(BEST), **{"config.json": None})
    refused(capsys, "evaluate", tiny, r"best\.keras can't be read: ")


def test_a_run_of_the_version_before(tiny):
    """It has no id, its models say nothing of their run, and its name says that it is small."""
    environment = json.loads(tiny.path(ENVIRONMENT).read_text())
    del environment["id"], environment["small"]
    tiny.path(ENVIRONMENT).write_text(json.dumps(environment | {"recipe": "tiny (small)"}))
    for name in (LAST, BEST):
        resave(tiny.path(name), **{checkpoints.ORIGIN: None})
    assert main(["resume", str(tiny.directory)]) == 0
    run = runs.Run(tiny.directory)
    assert run.small and run.name == "tiny (small)" and len(run.rows()) == 3


# Two at once.


def test_one_folder_is_begun_once(tmp_path, monkeypatch):
    """Another process may come between the look at the folder and the first file."""
    monkeypatch.setattr(runs, "check_new", lambda directory: None)
    run = begin_tiny(tmp_path / "run")
    before = run.path(ENVIRONMENT).read_bytes()
    with pytest.raises(RunError, match="was taken by another process"):
        begin_tiny(tmp_path / "run", training__seed=1)
    assert run.path(ENVIRONMENT).read_bytes() == before
    assert runs.Run(run.directory).training["seed"] == 0


# Damaged metadata.


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{}", "it has no 'recipe'"),
        ("[]", "it must hold an object"),
        ("", "Expecting value"),
        ("[" * 100000, "it nests too deep"),
    ],
)
@pytest.mark.parametrize("command", ["resume", "evaluate", "generate"])
def test_environment(tiny, capsys, text, cause, command):
    tiny.path(ENVIRONMENT).write_text(text)
    refused(capsys, command, tiny, rf"environment\.json can't be read: {cause}")


@pytest.mark.parametrize(("key", "value"), [("settings", 3), ("settings", {"model": 3}), ("devices", None)])
def test_environment_of_wrong_types(tiny, capsys, key, value):
    environment = json.loads(tiny.path(ENVIRONMENT).read_text())
    tiny.path(ENVIRONMENT).write_text(json.dumps(environment | {key: value}))
    refused(capsys, "resume", tiny, rf"environment\.json can't be read: '{key}.*Received: ")


@pytest.mark.parametrize(
    "change",
    [
        {"bounds": {}},
        {"bounds": {"exact": 3}},
        {"bounds": {"exact": {"nats": "x"}}},
        {"standard_errors": 3},
        {"standard_errors": {"exact": {"nats a frame": "x"}}},
        {"epoch": 4},
        {"seed": "0"},
    ],
)
def test_results(tiny, capsys, change):
    results, preset = json.loads(tiny.path(RESULTS).read_text()), str(tiny.path("preset"))
    tiny.path(RESULTS).write_text(json.dumps(results | change))
    refused(
        capsys, "preset", tiny, r"results\.json can't be read: .*`evaluate` makes it again", str(tiny.path("preset"))
    )
    tiny.path(RESULTS).write_text("[]")
    refused(capsys, "preset", tiny, r"results\.json can't be read: it must hold an object", preset)


def test_tensorboard_is_a_file(tiny, capsys):
    shutil.rmtree(tiny.path("tensorboard"))
    tiny.path("tensorboard").write_text("")
    refused(capsys, "resume", tiny, r"tensorboard must be a folder")
