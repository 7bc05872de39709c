"""Keras Tuner's oracles, made to survive a kill at any moment and to compare with the recipe itself.

An oracle says what the next trial is. Its state is `oracle.json` and a `trial.json` a trial, which Keras Tuner writes
in place and one after the other: here each is whole at any moment, and where the two disagree after a kill, `reload`
mends it.

Nothing else in `tuning` uses what is private to Keras Tuner. These do, and tests/tuning/test_keras_tuner.py has their
signatures:

    Oracle              _get_oracle_fname, _get_trial_dir, _save_trial, _random_values, _duplicate, _retry_queue
    Bayesian...Oracle   _vectorize_trials, _random_populate_space, gpr
    HyperbandOracle     _get_num_brackets, _get_size, _get_epochs, _start_new_bracket, _increment_bracket_num,
                        _brackets, _current_bracket, _current_iteration
    BaseTuner           _get_tuner_fname, _is_worker
    keras_tuner.src     distribute.oracle_chief.OracleServicer, protos.get_service_grpc
"""

import json
import math
import os
from concurrent import futures
from pathlib import Path

import keras_tuner
import numpy as np
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial

from tuning import metadata
from tuning.metadata import LOCAL, SearchError
from zf_keras.files import write_whole

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"


class Durable:
    """What the oracles here have in common; goes before a `keras_tuner.Oracle`."""

    def save(self):
        write_whole(Path(self._get_oracle_fname()), json.dumps(self.get_state()))

    def _save_trial(self, trial):
        write_whole(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", json.dumps(trial.get_state()))

    def reload(self):
        """Reads the state, and takes up the trials that were running when it was written."""
        path = Path(self._get_oracle_fname())
        ongoing = metadata.read(path, {"start_order": list, "end_order": list, "ongoing_trials": dict})[
            "ongoing_trials"
        ]
        try:
            super().reload()  # sends what oracle.json has as running for retry
            for trial_id in set(self.trials) - set(self.start_order):
                del self.trials[trial_id]  # killed before oracle.json had it: it is drawn again, the same
            ended = [trial_id for trial_id in self.start_order if self.trials[trial_id].status in (COMPLETED, FAILED)]
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            cause = error.__cause__ or error
            raise SearchError(
                f"{path}, or a trial.json beside it, is damaged: {type(cause).__name__}: {cause}. Put it back, or "
                "begin another search."
            ) from error
        self.end_order += [trial_id for trial_id in ended if trial_id not in self.end_order]
        self._retry_queue = [trial_id for trial_id in reversed(self.start_order) if trial_id not in ended]
        for tuner_id, trial_id in ongoing.items():
            if trial_id in self._retry_queue and not tuner_id.startswith(LOCAL):
                self._retry_queue.remove(trial_id)  # a worker elsewhere that may be at it still
                self.ongoing_trials[tuner_id] = self.trials[trial_id]

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        trial = super().create_trial(tuner_id)
        if trial.status == RUNNING:
            trial.metrics = Trial(None).metrics  # without those of a worker that was killed before it ended the trial
        return trial

    @keras_tuner.synchronized
    def end_trial(self, trial):
        if trial.trial_id in self.end_order:
            return  # by a worker that was taken for dead
        super().end_trial(trial)

    @property
    def waiting(self):
        """Number of trials that wait to be taken up again."""
        return len(self._retry_queue)

    @keras_tuner.synchronized
    def fail(self, tuner_id):
        """Marks the trial of a worker that it killed again and again."""
        trial = self.ongoing_trials[tuner_id]
        trial.status = FAILED
        self.end_trial(trial)

    @keras_tuner.synchronized
    def give_up(self, tuner_id):
        """Sends the trial of a worker that is gone to the next that asks."""
        trial = self.ongoing_trials.pop(tuner_id)
        self.tuner_ids.discard(tuner_id)
        self._retry_queue.append(trial.trial_id)
        self.save()

    def _random_values(self):
        """The first trial has the defaults, which are the recipe's own values."""
        if self.start_order:
            return super()._random_values()
        hp = keras_tuner.HyperParameters()
        for each in self.hyperparameters.space:
            hp.merge([each])
        hp.ensure_active_values()
        return hp.values


class RandomSearch(Durable, keras_tuner.oracles.RandomSearchOracle):
    """Each trial drawn from the space."""


class Bayesian(Durable, keras_tuner.oracles.BayesianOptimizationOracle):
    """Each trial where a Gaussian process of those before expects or does not know the best."""

    def _vectorize_trials(self):
        # Keras Tuner guesses what running trials will give by the process as it was, which at first has seen nothing.
        trials = self.trials
        try:
            self.trials = {key: trial for key, trial in trials.items() if trial.status == COMPLETED}
            x, losses = super()._vectorize_trials()
            # How far off a training that diverged ended would hide all differences between the others.
            worst = np.median(losses) + 4 * (np.median(losses) - losses.min())
            self.gpr.fit(x, np.minimum(losses, worst))
        finally:
            self.trials = trials
        x, losses = super()._vectorize_trials()
        return x, np.minimum(losses, worst)

    def populate_space(self, trial_id):
        response = super().populate_space(trial_id)
        if response["values"] is not None and self._duplicate(response["values"]):
            return self._random_populate_space()  # a trial again would give the same again
        return response


class Hyperband(Durable, keras_tuner.oracles.HyperbandOracle):
    """Brackets of short trials, of which the best go on, planned so that `max_trials` is what they need.

    Keras Tuner begins with the bracket that halves most, whatever the number of trials: 30 of them would all end after
    a few epochs. Here each bracket is the one that halves most among those that fit in the trials that are left. A
    trial that goes on counts as another trial.
    """

    def __init__(self, max_trials, **kwargs):
        self._planned = 0
        self._limit = max_trials
        super().__init__(hyperband_iterations=None, **kwargs)
        self.max_trials = max_trials

    def plan(self):
        """Its brackets: a list of lists of (trials, epochs), one for each time that the best go on."""
        left, brackets = self._limit, []
        while left > 0:
            fitting = [number for number in range(self._get_num_brackets()) if self._bracket_size(number) <= left]
            number = max(fitting, default=0)
            rounds = range(number + 1)
            sizes = [min(left, self._get_size(number, each)) for each in rounds]
            brackets.append([(size, self._get_epochs(number, each)) for each, size in zip(rounds, sizes, strict=True)])
            left -= sum(sizes)
        return brackets

    @property
    def least(self):
        """Trials of the smallest bracket that cuts any short; 0 where the epochs are too few."""
        return self._bracket_size(1) if self._get_num_brackets() > 1 else 0

    @property
    def cuts_short(self):
        return 0 < self.least <= self._limit

    def _bracket_size(self, number):
        return sum(self._get_size(number, round_number) for round_number in range(number + 1))

    def _start_new_bracket(self):
        left = self._limit - self._planned
        fitting = [number for number in range(self._current_bracket + 1) if self._bracket_size(number) <= left]
        self._current_bracket = max(fitting, default=0)
        self._planned += self._bracket_size(self._current_bracket)
        super()._start_new_bracket()
        if self._planned >= self._limit:  # the last: who finds nothing to do waits for those who go on
            self._current_bracket = 0
            self.hyperband_iterations = self._current_iteration + 1

    def _increment_bracket_num(self):
        self._current_bracket = self._get_num_brackets() - 1  # `_start_new_bracket` takes the largest that fits

    @keras_tuner.synchronized
    def end_trial(self, trial):
        if trial.status != COMPLETED:
            for bracket in self._brackets:  # another is drawn in its place
                bracket["rounds"][0] = [each for each in bracket["rounds"][0] if each["id"] != trial.trial_id]
        super().end_trial(trial)

    def get_state(self):
        return super().get_state() | {"planned": self._planned}

    def set_state(self, state):
        super().set_state(state)
        self._planned = state["planned"]
        if self._planned < self._limit:  # more trials than before
            self.hyperband_iterations = math.inf


def new_oracle(tuner, objective, trials, seed, epochs):
    """An oracle.

    Args:
        tuner: "random", "bayesian" or "hyperband".
        objective: `keras_tuner.Objective`.
        trials: int. How many trials at most.
        seed: int >= 0.
        epochs: int. Of a whole training, for Hyperband.
    """
    # A failed trial is passed over, however many there are; it would fail again. 0 is no seed to Keras Tuner.
    shared = {
        "objective": objective,
        "seed": seed + 1,
        "max_retries_per_trial": 0,
        "max_consecutive_failed_trials": None,
    }
    if tuner == "hyperband":
        return Hyperband(max_trials=trials, max_epochs=epochs, factor=3, **shared)
    if tuner == "bayesian":
        # Keras Tuner's own is three times the dimensions: more than most searches have trials.
        return Bayesian(max_trials=trials, num_initial_points=max(4, math.ceil(trials / 3)), **shared)
    return RandomSearch(max_trials=trials, **shared)


class Tuner(BaseTuner):
    """A `keras_tuner` tuner without a state beside the oracle's, which only the chief has."""

    def _get_tuner_fname(self):
        return os.path.join(self.project_dir, "oracle.json")  # there, the oracle is read again

    def save(self):
        if not self._is_worker():
            self.oracle.save()

    def reload(self):
        if not self._is_worker():
            self.oracle.reload()


def serve(oracle, address, port):
    """Lets workers reach an oracle by gRPC. Keras Tuner's own waits 20 s at the end, for ever where a worker is gone.

    Args:
        oracle: `keras_tuner.Oracle`.
        address: str. IPv4 address to listen on.
        port: int. 0 for a free one.

    Returns:
        The server, its port, and a servicer, whose `stop_triggered` says that a worker was told of the end.

    Raises:
        SearchError: it can't listen there.
    """
    import grpc
    from keras_tuner.src import protos
    from keras_tuner.src.distribute.oracle_chief import OracleServicer

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    servicer = OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        port = server.add_insecure_port(f"{address}:{port}")
    except RuntimeError as error:
        raise SearchError(f"Can't listen on {address}, port {port}: {error}") from error
    server.start()
    return server, port, servicer
