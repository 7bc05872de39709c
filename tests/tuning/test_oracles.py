"""What the next trial is: with several workers, failed trials, and a kill between any two files."""

import collections
import copy
import json
import os
import random

import keras_tuner
import numpy as np
import pytest

from tuning.chief import planned
from tuning.metadata import SearchError
from tuning.oracles import COMPLETED, FAILED, RUNNING, new_oracle

OBJECTIVE = keras_tuner.Objective("val_elbo", "max")


def space(hp):
    return [hp.Float("x", 1e-4, 1.0, sampling="log", default=0.01), hp.Choice("y", [1, 2, 4], default=2)]


def oracle_in(folder, tuner, trials, epochs=80):
    oracle = new_oracle(tuner, OBJECTIVE, trials, seed=3, epochs=epochs)
    oracle.verbose = 0
    oracle._set_project_dir(str(folder), "tuner")
    hp = oracle.get_space()
    space(hp)
    oracle.update_space(hp)
    if (folder / "tuner" / "oracle.json").exists():
        oracle.reload()
    return oracle


def search(oracle, workers=1, fails=lambda trial: False, seed=0):
    """Runs to the end, the trials of several workers ending in random order; how often each was run."""
    rng, runs, idle = random.Random(seed), collections.Counter(), 0
    stopped = set()
    while len(stopped) < workers:
        worker = rng.choice([f"local-{n}" for n in range(workers) if n not in stopped])
        if worker in oracle.ongoing_trials:
            trial = oracle.ongoing_trials[worker]
            runs[trial.trial_id] += 1
            if fails(trial):
                trial.status = FAILED
            else:
                oracle.update_trial(trial.trial_id, {"val_elbo": -abs(np.log(trial.hyperparameters["x"]) + 5)})
                trial.status = COMPLETED
            oracle.end_trial(trial)
            continue
        status = oracle.create_trial(worker).status
        idle = idle + 1 if status == "IDLE" else 0
        assert status in (RUNNING, "IDLE", "STOPPED") and idle < 100
        if status == "STOPPED":
            stopped.add(int(worker[-1]))
    return runs


def values(oracle):
    return [oracle.trials[trial_id].hyperparameters.values for trial_id in oracle.start_order]


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_the_first_trial_has_the_defaults_and_no_two_are_the_same(tmp_path, tuner):
    oracle = oracle_in(tmp_path, tuner, 12)
    assert search(oracle, workers=2) == {f"{n:02d}": 1 for n in range(12)}
    first, *_ = tried = [(each["x"], each["y"], each.get("tuner/epochs")) for each in values(oracle)]
    assert first[:2] == (0.01, 2)
    assert len(set(tried)) == 12


def test_bayesian(tmp_path):
    oracle = oracle_in(tmp_path, "bayesian", 7)
    oracle.gpr.n_restarts_optimizer = 1  # of the test's own time
    runs = search(oracle, 2, fails=lambda trial: trial.trial_id == "3")
    assert set(runs.values()) == {1} and len(runs) == 7
    first, *_ = tried = [(each["x"], each["y"]) for each in values(oracle)]
    assert first == (0.01, 2) and len(set(tried)) == 7


def test_bayesian_guesses_of_running_trials_are_like_what_the_others_gave(tmp_path):
    oracle = oracle_in(tmp_path, "bayesian", 9)
    for score in (-20.0, -22.0, -21.0, -25.0, -1e31):
        trial = oracle.create_trial("local-0")
        oracle.update_trial(trial.trial_id, {"val_elbo": score})
        trial.status = COMPLETED
        oracle.end_trial(trial)
    running = oracle.trials["9"] = oracle.ongoing_trials["local-0"] = copy.deepcopy(trial)
    running.status = RUNNING
    _, losses = oracle._vectorize_trials()
    assert losses[:5].tolist() == [20.0, 22.0, 21.0, 25.0, 30.0]  # that which diverged hides nothing
    assert 20 < losses[5] <= 30  # to be minimised: where Keras Tuner's own begins with 1, better than all


@pytest.mark.parametrize("workers", [1, 3])
def test_hyperband_is_planned_for_its_number_of_trials(tmp_path, workers):
    oracle = oracle_in(tmp_path, "hyperband", 27)
    assert oracle.plan() == [[(15, 9), (5, 27), (2, 80)], [(5, 80)]]
    assert planned(oracle.plan()) == "15 of 9 epochs, 5 go on to 27, 2 go on to 80; 5 of 80 epochs"
    search(oracle, workers)
    rungs = collections.Counter((each["tuner/initial_epoch"], each["tuner/epochs"]) for each in values(oracle))
    # 15 of 9 epochs, of which 5 go on to 27 and 2 to 80; then 5 of 80 at once.
    assert rungs == {(0, 9): 15, (9, 27): 5, (27, 80): 2, (0, 80): 5}
    by_id = oracle.trials
    for trial in by_id.values():
        if past := trial.hyperparameters.values.get("tuner/trial_id"):
            before = by_id[past].hyperparameters.values
            assert before["tuner/epochs"] == trial.hyperparameters.values["tuner/initial_epoch"]
            assert (before["x"], before["y"]) == (trial.hyperparameters["x"], trial.hyperparameters["y"])
    went_on = [trial.hyperparameters.values.get("tuner/trial_id") for trial in by_id.values()]
    first = sorted((t for t in by_id.values() if t.hyperparameters["tuner/epochs"] == 9), key=lambda t: -t.score)
    if workers == 1:
        assert {trial.trial_id for trial in first[:5]} == {each for each in went_on if each} & {
            t.trial_id for t in first
        }


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_failed_trials_are_passed_over(tmp_path, tuner):
    oracle = oracle_in(tmp_path, tuner, 20)
    runs = search(oracle, 2, fails=lambda trial: int(trial.trial_id) < 4 or trial.hyperparameters["y"] == 4)
    assert set(runs.values()) == {1} and len(runs) == 20
    failed = [trial for trial in oracle.trials.values() if trial.status == FAILED]
    assert len(failed) >= 5 and all(
        trial.status == COMPLETED for trial in oracle.trials.values() if trial not in failed
    )
    if tuner == "hyperband":  # a bracket of 15 of 9 epochs that complete, whatever failed, and some went on
        rungs = collections.Counter(each["tuner/epochs"] for each in values(oracle))
        assert rungs[27] >= 1


@pytest.mark.parametrize(("tuner", "workers"), [("random", 2), ("hyperband", 1)])
def test_killed_between_any_two_files(tmp_path, monkeypatch, tuner, workers):
    """Each trial ends once and is what it would have been, whatever file was the last to be written."""
    whole = oracle_in(tmp_path / "whole", tuner, 7, epochs=9)
    search(whole, 1)
    replace = os.replace
    for moment in range(1, 50, 3):  # a trial writes five
        folder, calls = tmp_path / f"{workers}-{moment}", []

        def killed(*paths, calls=calls, moment=moment):
            calls.append(paths)
            if len(calls) == moment:
                raise KeyboardInterrupt
            replace(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            oracle = oracle_in(folder, tuner, 7, epochs=9)
            try:
                oracle.save()
                search(oracle, workers)
                break
            except KeyboardInterrupt:
                pass
        oracle = oracle_in(folder, tuner, 7, epochs=9)
        search(oracle, workers)
        assert sorted(oracle.trials) == sorted(oracle.start_order) == sorted(oracle.end_order) == list("0123456")
        assert all(trial.status == COMPLETED for trial in oracle.trials.values())
        if workers == 1 or tuner == "random":
            assert values(oracle) == values(whole)
        state = json.loads((folder / "tuner" / "oracle.json").read_text())
        assert sorted(state["end_order"]) == list("0123456")
    assert moment > 30


def test_trials_of_workers_elsewhere_stay_theirs(tmp_path):
    oracle = oracle_in(tmp_path, "random", 3)
    mine, theirs = oracle.create_trial("local-0").trial_id, oracle.create_trial("elsewhere").trial_id
    oracle = oracle_in(tmp_path, "random", 3)
    assert oracle.create_trial("elsewhere").trial_id == theirs
    assert oracle.create_trial("local-1").trial_id == mine
    oracle.give_up("elsewhere")
    assert oracle.create_trial("local-2").trial_id == theirs
    late = oracle.trials[theirs]
    oracle.update_trial(theirs, {"val_elbo": -1.0})
    late.status = COMPLETED
    oracle.end_trial(late)
    oracle.end_trial(late)  # the other worker was alive after all
    assert oracle.end_order == [theirs]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("oracle.json", lambda state: state.pop("seed_state")),
        ("oracle.json", lambda state: state.update(hyperparameters=3)),
        ("oracle.json", lambda state: state.update(ongoing_trials={"local-0": "7"})),
        ("oracle.json", lambda state: state.update(start_order=["0", "1", "2", "3"])),
        ("oracle.json", lambda state: state.update(run_times=None)),
        ("trial_1/trial.json", lambda state: state.pop("metrics")),
        ("trial_1/trial.json", lambda state: state.update(hyperparameters=None)),
    ],
)
def test_a_damaged_state_is_named(tmp_path, name, change):
    search(oracle_in(tmp_path, "random", 3))
    path = tmp_path / "tuner" / name
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    with pytest.raises(SearchError, match=r"oracle\.json.* is damaged: "):
        oracle_in(tmp_path, "random", 3)


def test_a_deleted_trial_is_named(tmp_path):
    search(oracle_in(tmp_path, "random", 3))
    (tmp_path / "tuner" / "trial_1" / "trial.json").unlink()
    with pytest.raises(SearchError, match=r"oracle\.json.* is damaged: KeyError: '1'"):
        oracle_in(tmp_path, "random", 3)
