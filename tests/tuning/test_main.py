"""The command line: what it says, and what it refuses before anything is begun."""

import importlib.util

import pytest

from tuning import __main__ as tuning
from tuning.workers import gpus


def refused(capsys, *arguments):
    """The message of a command that can't be done."""
    assert tuning.main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert "Traceback" not in captured.out + captured.err
    prefix = f"python -m tuning {arguments[0]}: "
    assert captured.err.strip().startswith(prefix)
    return captured.err.strip().removeprefix(prefix)


@pytest.mark.parametrize("command", [None, *tuning.COMMANDS])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as exit:
        tuning.main([*([command] if command else []), "--help"])
    assert exit.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    expected = {
        None: "search digits/z_forcing --trials 30",
        "search": "NOT AUTHENTICATED: whoever reaches the port can read and change the search",
        "resume": "--budget-minutes",
        "worker": "KERASTUNER_TUNER_ID",
        "best": "--rank",
        "report": "--rows",
    }
    assert expected[command] in out and "--parent" not in out


def test_what_is_refused(tmp_path, capsys):
    search = ("search", "digits/z_forcing", "--search-dir", tmp_path / "new")
    (tmp_path / "mine.py").write_text("def space(hp, recipe):\n    return {'model.units': 1 // 0}\n")
    broken = f"{tmp_path / 'mine.py'}:space"
    cases = (
        (("search", "digits/z_forcin"), "The nearest is 'digits/z_forcing'"),
        ((*search, "--set", "model.unit=3"), "unknown key 'model.unit'"),
        ((*search, "--trials", 0), "--trials must be from 1 to 1000000. Received: 0."),
        ((*search, "--workers", -1), "--workers must be from 0 to 1000. Received: -1."),
        ((*search, "--seed", -1), "--seed must be from 0 to 2147483647. Received: -1."),
        ((*search, "--space", "nowhere.py:space"), "nowhere.py:space: FileNotFoundError: [Errno 2]"),
        ((*search, "--space", broken), "The space raised ZeroDivisionError: integer division"),
        ((*search, "--space", f"{broken}s"), "has no attribute 'spaces'"),
        ((*search, "--port", 2**16), "--port must be from 0 to 65535. Received: 65536."),
        *(
            (
                (*search, f"--budget-minutes={value}"),
                f"--budget-minutes must be from 0.01 to 1000000. Received: {value}.",
            )
            for value in ("nan", "inf", "-inf", "-1.0", "0.0", "1e+300")
        ),
        ((*search, "--tuner", "hyperband", "--trials", 10), "It needs at least 3 epochs and --trials 11"),
        ((*search, "--address", "0.0.0.0"), "not authenticated"),
        (("search", "timit/z_forcing", "--data-dir", tmp_path), "python -m zoo prepare timit/z_forcing"),
        (("resume", tmp_path), "is not the folder of a search: it has no search.json"),
        (("report", tmp_path), "is not the folder of a search"),
    )
    for arguments, message in cases:
        assert message in refused(capsys, *arguments)
    if not gpus({}):
        assert "no NVIDIA GPU" in refused(capsys, *search, "--memory-limit-mb", 100)
        assert "no NVIDIA GPU" in refused(capsys, "worker", tmp_path, "--memory-limit-mb", 100)
    assert not (tmp_path / "new").exists()


def test_a_worker_must_know_its_chief(search, capsys, monkeypatch):
    for name in ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    assert "KERASTUNER_ORACLE_PORT must be set" in refused(capsys, "worker", search.directory)
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "8000")
    for name in ("chief", "a/b", "local-0"):
        monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
        assert f"'local-'. Received: {name!r}." in refused(capsys, "worker", search.directory)
    search.change(backend="another")
    assert "Set KERAS_BACKEND=another" in refused(capsys, "resume", search.directory)


def test_without_the_packages_of_tuning(capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "keras_tuner" else find(name))
    assert tuning.main(["report", "nowhere"]) == 1
    assert "needs keras_tuner: pip install '.[tensorflow,tuning]'" in capsys.readouterr().err


def test_a_space_that_fails_in_its_trials(tmp_path, capsys):
    """The trials are marked as failed, the report says why, and where all failed the exit status too."""
    (tmp_path / "mine.py").write_text(
        "import os\n\n"
        "def space(hp, recipe):\n"
        "    units = hp.Choice('units', [2, 3, 4])\n"
        "    if os.environ.get('KERASTUNER_TUNER_ID'):\n"
        "        raise KeyError('late')\n"
        "    return {'model.units': units}\n"
    )
    options = ["--small", "--trials", "2", "--tuner", "random", "--space", f"{tmp_path / 'mine.py'}:space"]
    assert tuning.main(["search", "digits_presets/rnn", *options, "--search-dir", str(tmp_path / "search")]) == 1
    assert "2 failed" in (out := capsys.readouterr().out) and "Trial 0 failed: The space: KeyError: 'late'" in out
    assert (tmp_path / "search" / "trials.csv").read_text().count("KeyError: 'late'") == 2
