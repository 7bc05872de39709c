"""A worker: a process that asks the chief of a search for trials and runs them.

It speaks to the chief as Keras Tuner's workers do, by gRPC with KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT in its environment. The channel is not authenticated.
"""

import os
import socket
import subprocess
import threading
import time

from tuning.metadata import LOCAL, STOP, WORKERS, SearchError

ID, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
BEAT = 5.0  # seconds between two signs of life


def work(search, parent=None):
    """Runs trials of a search until the chief has no more.

    Args:
        search: `Search`.
        parent: int or `None`. Id of the chief's process, with which this one ends.

    Raises:
        SearchError: the environment does not say where the chief is.
    """
    missing = [name for name in (ADDRESS, PORT) if not os.environ.get(name)]
    if missing:
        raise SearchError(
            f"{' and '.join(missing)} must be set to where the chief of the search listens. `search` and `resume` say "
            "it; they start workers on their own machine themselves."
        )
    name = os.environ.setdefault(ID, f"{socket.gethostname()}-{os.getpid()}")
    # Keras Tuner takes the first for a chief; workers of the chief's own machine have the last.
    if "chief" in name or "/" in name or (parent is None and name.startswith(LOCAL)):
        raise SearchError(
            f"{ID} must be a name for this worker without 'chief' or '/' in it, and not begin with {LOCAL!r}. "
            f"Received: {name!r}."
        )
    search.check_backend()
    threading.Thread(target=_watch, args=(search, name, parent), daemon=True).start()
    from tuning.trials import Trials

    Trials(search).search()


def _watch(search, name, parent):
    """Gives signs of life, and ends the process with the search: what it trains is whole up to the last epoch."""
    sign = search.path(WORKERS) / name
    sign.parent.mkdir(exist_ok=True)
    while True:
        sign.write_text(f"{os.getpid()}\n")
        end = time.monotonic() + BEAT
        while time.monotonic() < end:
            if search.path(STOP).exists() or (parent is not None and os.getppid() != parent):
                os._exit(0)
            time.sleep(0.2)


def share_gpu(megabytes):
    """Keeps this process within a share of its GPU's memory; before the backend has begun.

    Args:
        megabytes: int.

    Raises:
        SearchError: there is no GPU, or it has less memory.
    """
    import keras  # chooses the backend, begins nothing

    found = gpus(os.environ)
    if not found:
        raise SearchError("--memory-limit-mb: there is no NVIDIA GPU whose memory could be shared.")
    total = found[0][1]
    if megabytes > total:
        raise SearchError(f"--memory-limit-mb must be at most {total}, the GPU's memory. Received: {megabytes}.")
    if keras.config.backend() == "jax":
        os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{megabytes / total:.4f}"
        return
    import tensorflow as tf

    for device in tf.config.list_physical_devices("GPU")[:1]:
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=megabytes)
        tf.config.set_logical_device_configuration(device, [limit])


def gpus(environment):
    """(name for CUDA_VISIBLE_DEVICES, megabytes) of each NVIDIA GPU that a process of an environment may use."""
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return []
    found = [line.split(", ") for line in lines]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        chosen = visible.split(",")
        found = [each for each in found if each[0] in chosen or each[1] in chosen]
    return [(uuid, int(total)) for _, uuid, total in found]
