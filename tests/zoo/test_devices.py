"""Several devices and several processes give what one device does; a process that is lost ends all."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from tests.zoo import trained_by_devices
from tests.zoo.command_line import refused
from tests.zoo.conftest import begin_tiny
from zf_keras.data.batches import Batches
from zf_keras.models.base import SequenceModel
from zoo import training
from zoo.devices import Devices, Several
from zoo.processes import Processes
from zoo.runs import LOG, RESULTS, Run, RunError


def assert_close(found, expected):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), found, expected)


def by_devices():
    """What programs of several devices printed, by the number of devices."""
    of_models = {4: ["RNN"], 2: ["ZForcing"]}
    command = [sys.executable, "-m", "tests.zoo.trained_by_devices"]
    programs = {n: subprocess.Popen([*command, str(n), *of_models[n]], **pipes()) for n in of_models}
    found = {}
    for count, program in programs.items():
        out, error = program.communicate()
        assert program.returncode == 0, error
        found[count] = json.loads(out.splitlines()[-1])
    return found


def pipes():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}


def test_devices_equal_one(monkeypatch, lean_children):
    """Metrics of every batch and epoch, and weights after updates with a clipped gradient; batches do not divide. On
    TensorFlow replicas draw different noise; on JAX a draw is for all.
    """
    monkeypatch.setattr(SequenceModel, "draw_noise", trained_by_devices.noise_of_rows)
    expected = trained_by_devices.trained(Devices(), ["RNN", "ZForcing"])
    for count, program in by_devices().items():
        found, seeds = program["results"], program["seeds"]
        assert_close(found, {name: expected[name] for name in found})
        if keras.config.backend() == "tensorflow":
            assert seeds["draws"] == 2 * count  # two draws of each
            assert seeds["states"] == [seeds["states"][0]] * count


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def processes(run, count=2):
    """`resume` by several processes."""
    command = [sys.executable, "-m", "zoo", "resume", str(run.directory), "--processes", str(count)]
    command += ["--coordinator", f"127.0.0.1:{free_port()}"]
    return [subprocess.Popen([*command, "--process-id", str(i)], **pipes()) for i in range(count)]


def test_two_processes(tmp_path, lean_children):
    """A run goes on with two, one of which is killed; with two, to its end; the end is that of one process."""
    settings = {"training__epochs": 5, "optimizer__global_clipnorm": 1.0, "training__batch_size": 49}
    whole, run = (begin_tiny(tmp_path / name, **settings) for name in ("whole", "run"))
    training.train(whole, verbose=0)
    training.train(run, verbose=0, until=1)
    first, second = processes(run)
    while len(run.rows()) < 2 and first.poll() is None:
        time.sleep(0.01)
    second.send_signal(signal.SIGKILL)
    _, error = first.communicate(timeout=60)
    second.communicate()
    assert first.returncode == 1, error
    assert (
        error.strip().splitlines()[-1].startswith("Process 1 of 2 was killed, or can't be reached any more. All have")
    )
    assert not run.path(RESULTS).exists()
    for process in (both := processes(run)):
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert (process is both[0]) == ("Measuring" in out)
    assert_close(Run(run.directory).rows(), whole.rows())
    assert "2 processes of 1 device" in run.path(LOG).read_text() and run.path(RESULTS).exists()


def met(*arguments):
    """What each of two threads gets, as processes do: `Processes`, or its error."""

    def meet(index, count):
        try:
            return Processes(count, index, address, wait=5)
        except RunError as error:
            return str(error)

    address = f"127.0.0.1:{free_port()}"
    with ThreadPoolExecutor() as threads:
        return list(threads.map(meet, *zip(*arguments, strict=True)))


def test_processes_must_agree(monkeypatch):
    """All say what differs, the seed of a recipe above all."""
    both = met((0, 2), (1, 2))
    for processes in both:
        processes.closing = True  # the end of one is not that of this program

    def agree(processes, seed):
        with pytest.raises(RunError) as error:
            Several.agree(types.SimpleNamespace(others=processes), {"number": 3, "seed": seed})
        return str(error.value)

    with ThreadPoolExecutor() as threads:
        said = list(threads.map(agree, both, (0, 7)))
    assert said == ["All processes need one seed. It is 0 in process 0, and 7 in process 1."] * 2
    monkeypatch.setattr(Processes, "_end", lambda self, why: None)
    assert met((0, 2), (1, 3))[0] == "--processes is 2 in process 0, and 3 in process 1."
    assert met((0, 3), (1, 3), (1, 3))[0] == "There are two processes with --process-id 1."
    with pytest.raises(RunError, match=r"Not all of 3 processes came to 127\.0\.0\.1:\d+: 1, 2\."):
        Processes(3, 0, f"127.0.0.1:{free_port()}", wait=0.1)
    with pytest.raises(RunError, match="Process 0 is not there at 127"):
        Processes(2, 1, f"127.0.0.1:{free_port()}", wait=0.1)


def test_shares_of_batches():
    """The shares of all processes are the whole batch, with rows that fill up."""
    data = [np.full((time, 2), time, "float32") for time in (3, 1, 2, 4, 2)]
    whole = Batches(data, 3, shuffle=True, multiple=2)
    shares = [Batches(data, 3, shuffle=True, multiple=2, replicas=4, rows=(i, 2)) for i in range(2)]
    for i in range(2 * len(whole)):
        expected, parts = whole[i], [share[i] for share in shares]
        for key, x in expected.items():
            joined = np.concatenate([part[key] for part in parts])
            np.testing.assert_array_equal(joined[: len(x)], x)
            assert len(joined) == 4 and not joined[len(x) :].any()
    with pytest.raises(ValueError, match="`replicas` must be a multiple of the processes"):
        Batches(data, 3, replicas=3, rows=(0, 2))
    with pytest.raises(ValueError, match="`rows` must be"):
        Batches(data, 3, replicas=2, rows=(2, 2))


def test_options_that_do_not_go_together(tmp_path):
    def of(*options):
        return refused("resume", tmp_path, *options)

    assert of("--devices", 0) == "--devices must be at least 1. Received: 0."
    assert of("--process-id", 1) == "--process-id and --coordinator are for several --processes."
    assert of("--processes", 2) == "--process-id must be one of 0 to 1. Received: None."
    message = of("--processes", 2, "--process-id", 0, "--coordinator", "here")
    assert message == "--coordinator must be HOST:PORT, where process 0 is to be. Received: here."
