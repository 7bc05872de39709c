"""The chief of a search: the oracle that gives out trials, its server, and the workers that it starts and watches."""

import collections
import ipaddress
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import filelock

from tuning import metadata
from tuning.metadata import LOCAL, LOCK, OBJECTIVE, PROJECT, RUN, STOP, WORKERS, SearchError
from tuning.oracles import COMPLETED, FAILED, serve
from tuning.workers import ADDRESS, ID, PORT, gpus

LOST = 300.0  # seconds without a sign of life after which a worker elsewhere is taken for dead
DEATHS = 3  # of workers in one trial, after which it has failed; of one worker outside of trials, after which all end
ROOT = Path(__file__).parents[1]


def check_address(address, trusted):
    """Raises a `SearchError` for an address that others can reach, unless it was asked for."""
    try:
        loopback = address == "localhost" or ipaddress.IPv4Address(address).is_loopback
    except ValueError as error:
        raise SearchError(f"--address must be an IPv4 address. Received: {address!r}.") from error
    if not loopback and not trusted:
        raise SearchError(
            f"--address {address} can be reached from other machines, and the channel is not authenticated: whoever "
            "reaches it can read and change the search. In a network that you trust, add --trusted-network."
        )


class Chief:
    """Runs a search from where it is to its end.

    Args:
        search: `Search`.
        environment: dict. Of its workers.
        address: str. IPv4 address to listen on.
        port: int. 0 for a free one.
        say: function of a line. Shows progress.
    """

    def __init__(self, search, environment, address="127.0.0.1", port=0, say=print):
        self.search = search
        self.environment = environment
        self.address = address
        self.port = port
        self.say = say
        self.processes, self.begun, self.start_at = {}, {}, {}
        self.deaths = collections.Counter()  # trial -> how many workers were killed in it
        self.idle_deaths = collections.Counter()  # worker -> how often it ended otherwise
        self.signs = {}  # worker elsewhere -> (its last sign of life, when that was seen)
        self.shown, self.ended_before = None, None  # trials that had ended, at the last line and at the start

    @property
    def count(self):
        """Number of workers on this machine."""
        return self.search.settings["workers"]

    def run(self, **changed):
        """Returns whether the search is complete, rather than out of time.

        Args:
            **changed: settings of the search that are other than before, once no other process runs it.

        Raises:
            SearchError: another chief runs it, or its workers die again and again.
        """
        try:
            with filelock.FileLock(self.search.path(LOCK), timeout=0):
                self.search.path(STOP).unlink(missing_ok=True)
                self.search.change(**changed)
                try:
                    return self._run()
                finally:
                    self.search.path(STOP).touch()  # workers end by it, wherever they are
                    for process in self.processes.values():
                        process.kill()
                        process.wait()
        except filelock.Timeout as error:
            raise SearchError(f"{self.search.directory} is being run by another process.") from error

    def _run(self):
        from tuning.trials import Trials, forget_models

        for name in (ID, ADDRESS, PORT):
            os.environ.pop(name, None)  # the oracle itself, not a worker's
        self.oracle = oracle = Trials(self.search).oracle
        oracle.save()
        if self.search.settings["tuner"] == "hyperband":
            self.say(f"Hyperband of {oracle.max_trials} trials: {planned(oracle.plan())}.")
        server, self.port, servicer = serve(oracle, self.address, self.port)
        before, start, saved, at_rest = self.search.seconds, time.monotonic(), 0.0, 0
        if self.count == 0:
            self.say(f"Waits for workers: {ADDRESS}={self.address} {PORT}={self.port} python -m tuning worker DIR")
        try:
            while True:
                elapsed = before + time.monotonic() - start
                if elapsed - before >= saved:
                    self.search.seconds, saved = elapsed, elapsed - before + 5
                self._show(elapsed, time.monotonic() - start)
                budget = self.search.settings["budget_minutes"]
                if budget and elapsed >= 60 * budget:
                    return False
                finished = servicer.stop_triggered or oracle.remaining_trials() <= 0
                if not finished or oracle.ongoing_trials or oracle.waiting:
                    at_rest = 0
                    self._watch()
                elif at_rest:  # twice: the server's thread may just have been moving a trial
                    break
                else:
                    at_rest = 1
                time.sleep(0.2)
        finally:
            server.stop(grace=None)
            self.search.seconds = before + time.monotonic() - start
        if not self.search.settings["keep_models"]:
            for folder in self.search.path(PROJECT).glob(f"trial_*/{RUN}"):
                forget_models(folder)
        return True

    def _watch(self):
        """Starts the workers that should run, takes trials from those that are gone."""
        oracle, now = self.oracle, time.monotonic()
        for number in range(self.count):
            name = f"{LOCAL}{number}"
            if name in self.processes:
                status = self.processes[name].poll()
                if status is None or (status == 0 and not oracle.waiting):
                    continue
                if status:
                    self._died(name, status, now)
                del self.processes[name]
                self.start_at[name] = now + 2.0 ** self.idle_deaths[name] - 1
            if now >= self.start_at.get(name, now):
                self.processes[name], self.begun[name] = self._start(number), now
        for name in list(oracle.ongoing_trials):
            if name.startswith(LOCAL):
                continue
            path = self.search.path(WORKERS) / name
            sign = path.stat().st_mtime if path.exists() else None
            last, seen = self.signs.setdefault(name, (sign, now))
            if sign != last:
                self.signs[name] = (sign, now)
            elif now - seen > LOST:
                self.say(f"Worker {name} gave no sign of life for {LOST:.0f} s: its trial goes to another.")
                oracle.give_up(name)
                del self.signs[name]

    def _died(self, name, status, now):
        trial = self.oracle.ongoing_trials.get(name)
        if status < 0 and trial is not None:
            self.deaths[trial.trial_id] += 1
            again = "" if self.deaths[trial.trial_id] == DEATHS else " Another takes it up again."
            self.say(f"Worker {name} was killed by signal {-status} in trial {trial.trial_id}.{again}")
            if self.deaths[trial.trial_id] == DEATHS:
                self.search.write_outcome(
                    trial.trial_id, error=f"It killed {DEATHS} workers, the last by signal {-status}."
                )
                self.oracle.fail(name)
            return
        if now - self.begun[name] > 600:
            self.idle_deaths[name] = 0
        self.idle_deaths[name] += 1
        self.say(f"Worker {name} ended with status {status}.")
        if self.idle_deaths[name] >= DEATHS:
            raise SearchError(f"Worker {name} ended {DEATHS} times, with status {status}{self._cause(name)}")

    def _cause(self, name):
        """What a worker handed over as it ended; else the end of its log."""
        handed, log = self._path(name, "error.json"), self._path(name, "log")
        if handed.exists():
            return f": {metadata.read(handed, {'error': str})['error']} Its log: {log}"
        last = "".join(f"\n  {line}" for line in log.read_text(errors="replace").splitlines()[-15:])
        return f". Its log, {log}, ends:{last}"

    def _path(self, name, suffix):
        """A file of a worker on this machine."""
        return self.search.path(f"worker-{name.removeprefix(LOCAL)}.{suffix}")

    def _start(self, number):
        name, settings = f"{LOCAL}{number}", self.search.settings
        command = [sys.executable, "-m", "tuning", "worker", str(self.search.directory), "--parent", str(os.getpid())]
        environment = self.environment | {ID: name, ADDRESS: self.address, PORT: str(self.port)}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [self.environment.get("PYTHONPATH")])])
        limit, found = settings["memory_limit_mb"], gpus(self.environment)
        if found:
            device, total = found[number % len(found)]
            environment["CUDA_VISIBLE_DEVICES"] = device
            sharing = -(-self.count // len(found))
            if limit is None and sharing > 1:
                limit = int(0.9 * total / sharing)
        if limit is not None:
            command += ["--memory-limit-mb", str(limit)]
        handed = self._path(name, "error.json")
        handed.unlink(missing_ok=True)
        command += ["--error-file", str(handed)]
        with self._path(name, "log").open("a") as log:
            # In a session of its own: Ctrl-C is for the chief.
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
            process = subprocess.Popen(command, env=environment, start_new_session=True, **streams)
        if hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            if 1 < self.count <= len(cores):  # else each would compute with as many threads as there are cores
                os.sched_setaffinity(process.pid, cores[number :: self.count])
        return process

    def _show(self, elapsed, since_start):
        """A line where another trial has ended."""
        oracle = self.oracle
        trials = list(oracle.trials.values())
        ended = [trial.status for trial in trials if trial.status in (COMPLETED, FAILED)]
        if len(ended) == self.shown:
            return
        self.shown = len(ended)
        if self.ended_before is None:
            self.ended_before = len(ended)
        parts = [f"{len(ended)} of {oracle.max_trials} trials done"]
        if FAILED in ended:
            parts.append(f"{ended.count(FAILED)} failed")
        scored = [trial for trial in trials if trial.score is not None]
        if scored:
            best = max(scored, key=lambda trial: trial.score)
            parts.append(f"best {OBJECTIVE} {best.score:.4f}, of trial {best.trial_id}")
        parts.append(f"{duration(elapsed)} gone")
        left = []
        if len(ended) > self.ended_before:
            left.append(since_start / (len(ended) - self.ended_before) * (oracle.max_trials - len(ended)))
        if self.search.settings["budget_minutes"]:
            left.append(60 * self.search.settings["budget_minutes"] - elapsed)
        if left:
            parts.append(f"about {duration(max(0.0, min(left)))} left")
        self.say("; ".join(parts))


def planned(brackets):
    """To read: "15 of 9 epochs, 5 go on to 27, 2 to 80; 8 of 80 epochs"."""
    parts = []
    for bracket, group in itertools.groupby(brackets):
        (count, epochs), *later = bracket
        times = len(list(group))
        if not later:
            parts.append(f"{count * times} of {epochs} epochs")
            continue
        goes_on = ", ".join(f"{count} go on to {epochs}" for count, epochs in later)
        parts.append((f"{times} times " if times > 1 else "") + f"{count} of {epochs} epochs, {goes_on}")
    return "; ".join(parts)


def duration(seconds):
    """To read: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
