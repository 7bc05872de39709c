"""What computes a run: one device, several, or several processes, by Keras's and TensorFlow's own engines.

On JAX `keras.distribution.DataParallel`, with `jax.distributed` between processes; on TensorFlow
`tf.distribute.MirroredStrategy` and `MultiWorkerMirroredStrategy`.
"""

import contextlib
import os

import keras
from keras import ops

from zf_keras.data.streams import checked
from zf_keras.models.fitting import check_of_fit
from zoo.machine import versions
from zoo.processes import WAIT, Processes, together
from zoo.runs import RunError


class Devices:
    """One device of one process.

    Attributes:
        each: int. Devices of a process.
        processes: int.
        index: int. Which of them this is, from 0.
        replicas: int. Devices of all processes.
    """

    each = processes = replicas = 1
    index = 0

    @property
    def first(self):
        """Whether this is the process that writes."""
        return self.index == 0

    def __str__(self):
        devices = f"{self.each} device{'s' * (self.each > 1)}"
        return devices if self.processes == 1 else f"{self.processes} processes of {devices}"

    def agree(self, values=()):
        """Waits for all processes; raises a `RunError` unless they have the same `values`, a dict name -> value."""

    def scope(self):
        """Inside of it models are made that all devices train. All processes make them together."""
        return contextlib.nullcontext()

    def fitting(self):
        """Inside of it those models are fitted."""
        return contextlib.nullcontext()

    def one(self):
        """Within `fitting`, inside of it models are made, and used, on one device of this process."""
        return contextlib.nullcontext()

    def stream(self, model, batches, training=False, **arguments):
        """`batches.dataset(**arguments)` as the model's `fit` takes it."""
        return batches.dataset(**arguments)


class Several(Devices):
    """Several devices of one or more processes.

    Args:
        devices: int. Of each process.
        others: `Processes`, or `None` where there is one.

    Raises:
        RunError: there are fewer devices, or the processes differ.
    """

    def __init__(self, devices, others):
        self.each, self.others = devices, others
        addresses = None
        if others:
            self.processes, self.index = others.count, others.index
            self.agree({"version of each package": versions(), "number of --devices": devices})
            addresses = others.gathered(others.address())
        self.replicas = self.each * self.processes
        self._set_up(addresses)

    def agree(self, values=()):
        given = self.others.gathered(dict(values)) if self.others else [dict(values)]
        for name in sorted(set().union(*given)):
            for i, each in enumerate(given):
                if each.get(name) != given[0].get(name):
                    found = f"It is {given[0].get(name)} in process 0, and {each.get(name)} in process {i}."
                    raise RunError(f"All processes need one {name}. {found}")


class OnJax(Several):
    def _set_up(self, addresses):
        import jax

        # Parts of the CPU, for where there is nothing else.
        divided = "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
        if not divided and self.each > max(1, jax.config.jax_num_cpu_devices):
            jax.config.update("jax_num_cpu_devices", self.each)
        if addresses:
            address = addresses[0]
            jax.distributed.initialize(
                address,
                self.processes,
                self.index,
                cluster_detection_method="deactivate",
                heartbeat_timeout_seconds=WAIT,  # one that is killed is noticed at once, by `Processes`
            )
        check_count(self.each, jax.local_devices())
        devices = [d for i in range(self.processes) for d in jax.local_devices(process_index=i)[: self.each]]
        names = [f"{device.platform}:{device.id}" for device in devices]
        self.distribution = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)

    def scope(self):
        return self.distribution.scope()

    fitting = scope

    @contextlib.contextmanager
    def one(self):
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(self.distribution)


class OnTensorFlow(Several):
    def _set_up(self, addresses):
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        if found:
            check_count(self.each, found)
            tf.config.set_visible_devices(found[: self.each], "GPU")
        elif self.each > 1:
            if addresses:
                raise RunError("On TensorFlow several processes without GPUs take one device each, --devices 1.")
            (cpu,) = tf.config.list_physical_devices("CPU")
            if self.each > len(tf.config.get_logical_device_configuration(cpu) or []):
                parts = [tf.config.LogicalDeviceConfiguration()] * self.each
                tf.config.set_logical_device_configuration(cpu, parts)
        if addresses:
            cluster = tf.train.ClusterSpec({"worker": addresses})
            resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
                cluster, task_type="worker", task_id=self.index, rpc_layer="grpc"
            )
            self.strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
        else:
            self.strategy = tf.distribute.MirroredStrategy(
                [f"{'GPU' if found else 'CPU'}:{i}" for i in range(self.each)]
            )

    def scope(self):
        return self.strategy.scope()

    def stream(self, model, batches, training=False, **arguments):
        dataset = checked(batches.dataset(**arguments), check_of_fit(model) if training else model.check_data)
        if self.each > 1:  # each of the devices takes one element
            dataset = dataset.map(self._shares).unbatch()
        return self.strategy.distribute_datasets_from_function(lambda context: dataset)

    def _shares(self, batch):
        return {key: ops.reshape(x, (self.each, -1, *ops.shape(x)[1:])) for key, x in batch.items()}


def check_count(wanted, found):
    if len(found) < wanted:
        raise RunError(f"--devices {wanted}: there are {len(found)}.")


@contextlib.contextmanager
def started(devices=1, processes=1, process_id=None, coordinator=None):
    """The `Devices` of the options of a command. It ends together with the other processes.

    Raises:
        RunError: the options don't go together, or not all processes came.
    """
    for name, value in (("devices", devices), ("processes", processes)):
        if value < 1:
            raise RunError(f"--{name} must be at least 1. Received: {value}.")
    if processes == 1 and (process_id is not None or coordinator is not None):
        raise RunError("--process-id and --coordinator are for several --processes.")
    if processes > 1:
        if process_id is None or not 0 <= process_id < processes:
            raise RunError(f"--process-id must be one of 0 to {processes - 1}. Received: {process_id}.")
        host, _, port = (coordinator or "").rpartition(":")
        if not host or not port.isdecimal():
            raise RunError(f"--coordinator must be HOST:PORT, where process 0 is to be. Received: {coordinator}.")
    if devices == processes == 1:
        yield Devices()
        return
    others = Processes(processes, process_id, coordinator) if processes > 1 else None
    with together(others):
        yield (OnJax if keras.config.backend() == "jax" else OnTensorFlow)(devices, others)
