"""Processes that train one run together: they meet at the coordinator's address, agree, and end if one of them is lost.

Each holds a connection to process 0 for as long as it lives, over which they exchange lines of JSON. A process that is
killed closes its connection; what it took part in would wait for it for ever, so the others end at once.
"""

import atexit
import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time

from zoo.runs import RunError

WAIT = 300  # seconds for all to come
GOES_ON = "All have stopped. `resume` goes on from the last whole epoch, with any number of processes."


class Processes:
    """The meeting of some processes.

    Args:
        count: int. How many there are.
        index: int. Which this is, from 0.
        coordinator: str. HOST:PORT where process 0 listens.
        wait: float. Seconds for all to come. Defaults to `300`.

    Raises:
        RunError: not all came, or two have one number.
    """

    def __init__(self, count, index, coordinator, wait=WAIT):
        self.count = count
        self.index = index
        self.host, _, port = coordinator.rpartition(":")
        self.closing = False
        self.values = queue.Queue()
        self.lock = threading.Lock()
        connect = self._listen if index == 0 else self._call
        self.peers = connect(int(port), time.monotonic() + wait)  # number -> (file, socket)
        for number in self.peers:
            threading.Thread(target=self._read, args=(number,), daemon=True).start()

    # Coming together.

    def _listen(self, port, deadline):
        peers = {}
        with socket.create_server(("", port), backlog=self.count) as server:
            while len(peers) < self.count - 1:
                server.settimeout(max(0.01, deadline - time.monotonic()))
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    missing = ", ".join(str(i) for i in range(1, self.count) if i not in peers)
                    raise RunError(
                        f"Not all of {self.count} processes came to {self.host}:{port}: {missing}."
                    ) from None
                file = connection.makefile("rw")
                connection.settimeout(10)
                try:
                    index, count = map(int, json.loads(file.readline()))
                except (OSError, TypeError, ValueError):
                    continue  # something else that connected
                connection.settimeout(None)
                if count != self.count:
                    wrong = f"--processes is {self.count} in process 0, and {count} in process {index}."
                elif index in peers or not 0 < index < count:
                    wrong = f"There are two processes with --process-id {index}."
                else:
                    peers[index] = file, _kept_alive(connection)
                    continue
                for other in (file, *(file for file, _ in peers.values())):
                    _send(other, {"stopped": wrong})
                raise RunError(wrong)
        return peers

    def _call(self, port, deadline):
        while True:
            try:
                connection = socket.create_connection((self.host, port), timeout=10)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise RunError(f"Process 0 is not there at {self.host}:{port}: {error}.") from error
                time.sleep(0.1)
        connection.settimeout(None)
        file = connection.makefile("rw")
        _send(file, [self.index, self.count])
        return {0: (file, _kept_alive(connection))}

    # Exchange.

    def gathered(self, value):
        """What all processes give, in their order: a list of values that JSON can hold. Each must come here."""
        if self.index:
            self._send_all({"value": value})
            return self.values.get()
        values = {0: value}
        while len(values) < self.count:
            number, other = self.values.get()
            values[number] = other
        values = [values[number] for number in range(self.count)]
        self._send_all({"value": values})
        return values

    def address(self):
        """HOST:PORT of this process for others, with a port that is free."""
        _, connection = next(iter(self.peers.values()))
        host = connection.getsockname()[0] if self.index else self.host
        with socket.create_server(("", 0)) as free:
            return f"{host}:{free.getsockname()[1]}"

    def _send_all(self, message):
        with self.lock:
            for file, _ in self.peers.values():
                with contextlib.suppress(OSError, ValueError):  # where it is lost, its reader sees that
                    _send(file, message)

    def _read(self, number):
        file, _ = self.peers[number]
        ended = False
        try:
            for line in file:
                message = json.loads(line)
                if "value" in message:
                    self.values.put(message["value"] if self.index else (number, message["value"]))
                elif "stopped" in message:
                    self._end(message["stopped"])
                else:
                    ended = True
        except (OSError, ValueError):
            pass
        if not ended:
            self._end(f"Process {number} of {self.count} was killed, or can't be reached any more.")

    def _end(self, why):
        """Ends this process: its own thread may wait for what never comes."""
        if self.closing:
            return
        self.closing = True
        self._send_all({"stopped": why})
        print(f"\n{why} {GOES_ON}", file=sys.stderr, flush=True)
        os._exit(1)

    def close(self, why=None):
        """Leaves. why: of an error, what it was, for the others to say; without one, all must come here."""
        if why is None:
            self.gathered(None)
        self.closing = True
        self._send_all(
            {"end": True} if why is None else {"stopped": f"Process {self.index} stopped: {why.rstrip('.')}."}
        )


@contextlib.contextmanager
def together(others):
    """Ends with the other processes, `None` for none: all at the end, and all where one of them stops by an error."""
    try:
        yield
    except BaseException as error:
        if others:
            if not isinstance(error, RunError | KeyboardInterrupt):
                time.sleep(
                    3
                )  # it may be of a step that a lost process has left: then that is said, and the program ends
            others.close(f"{error or type(error).__name__}")
            # What JAX and TensorFlow do at the end of a program waits for processes that are gone.
            atexit.register(_exit)
        raise
    if others:
        others.close()


def _exit():
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _send(file, message):
    file.write(json.dumps(message) + "\n")
    file.flush()


def _kept_alive(connection):
    """The connection; a machine that is gone without a word is noticed after a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return connection
