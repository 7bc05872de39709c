"""The chief: whom it lets in, what it does where workers die, and what it says."""

import json
import os

import pytest

from tests.tuning.test_oracles import oracle_in
from tuning import chief as chief_module
from tuning.__main__ import main
from tuning.chief import DEATHS, LOST, Chief, check_address, duration, planned
from tuning.metadata import SearchError
from tuning.oracles import FAILED


@pytest.fixture
def chief(search):
    """A chief with an oracle that no worker of this machine asks."""
    search.settings["workers"] = 0
    said = []
    made = Chief(search, {}, say=said.append)
    made.oracle, made.said = oracle_in(search.directory, "random", 3), said
    return made


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(chief_module, "time", clock)
    return clock


def test_a_trial_of_a_worker_elsewhere_that_gives_no_sign_goes_to_another(chief, clock):
    sign = chief.search.path("workers") / "second"
    sign.parent.mkdir()
    for name in ("second", "silent"):
        chief.oracle.create_trial(name)
    for now in range(0, 3 * int(LOST), int(LOST) // 2):
        sign.write_text("")
        os.utime(sign, (now + 1, now + 1))
        clock.now = now
        chief._watch()
    assert list(chief.oracle.ongoing_trials) == ["second"] and chief.oracle.waiting == 1
    assert chief.said == [f"Worker silent gave no sign of life for {LOST:.0f} s: its trial goes to another."]


def test_a_trial_that_kills_its_workers_has_failed(chief):
    trial = chief.oracle.create_trial("local-0")
    for _ in range(DEATHS):
        chief._died("local-0", -9, 0.0)
    assert chief.oracle.trials[trial.trial_id].status == FAILED and not chief.oracle.ongoing_trials
    assert [line.endswith("Another takes it up again.") for line in chief.said] == [True] * (DEATHS - 1) + [False]
    outcome = json.loads(chief.search.path(f"tuner/trial_{trial.trial_id}/outcome.json").read_text())
    assert outcome["error"] == "It killed 3 workers, the last by signal 9."


@pytest.mark.parametrize("handed", [True, False])
def test_a_worker_that_ends_again_and_again_ends_the_search_with_its_cause(chief, handed):
    log = chief.search.path("worker-0.log")
    log.write_text("what the backend says\nImportError: nonsense\n")
    if handed:
        chief.search.path("worker-0.error.json").write_text(json.dumps({"error": "The disk is full."}))
    chief.begun["local-0"] = 0.0
    for _ in range(DEATHS - 1):
        chief._died("local-0", 1, 0.0)
    with pytest.raises(SearchError) as raised:
        chief._died("local-0", 1, 0.0)
    cause = f": The disk is full. Its log: {log}" if handed else f". Its log, {log}, ends:\n  what the backend says\n"
    assert f"Worker local-0 ended 3 times, with status 1{cause}" in str(raised.value)


def test_a_worker_hands_its_error_over(search, tmp_path, monkeypatch, capsys):
    for name in ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"):
        monkeypatch.setenv(name, "")
    handed = tmp_path / "error.json"
    assert main(["worker", str(search.directory), "--error-file", str(handed)]) == 1
    error = json.loads(handed.read_text())["error"]
    assert error.startswith("KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT must be set")
    assert error in capsys.readouterr().err


def test_a_search_that_another_process_runs_is_left_alone(chief):
    filelock = pytest.importorskip("filelock")
    with filelock.FileLock(chief.search.path("lock")), pytest.raises(SearchError, match="run by another process"):
        chief.run(trials=5)
    assert chief.search.settings["trials"] == 9


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1"])
def test_addresses_that_others_reach(address):
    with pytest.raises(SearchError, match="--trusted-network"):
        check_address(address, trusted=False)
    check_address(address, trusted=True)
    with pytest.raises(SearchError, match="must be an IPv4 address"):
        check_address(f"{address}x", trusted=True)
    for loopback in ("127.0.0.1", "localhost"):
        check_address(loopback, trusted=False)


def test_duration():
    assert [duration(seconds) for seconds in (3.4, 89, 120, 3600, 12000)] == [
        "3 s",
        "89 s",
        "2 min",
        "1 h 00 min",
        "3 h 20 min",
    ]


def test_planned():
    assert planned([[(5, 3), (2, 9)], [(5, 3), (2, 9)], [(4, 9)]]) == (
        "2 times 5 of 3 epochs, 2 go on to 9; 4 of 9 epochs"
    )
