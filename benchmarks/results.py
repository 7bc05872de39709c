"""The file of a benchmark whose command may be given again."""

import contextlib
import datetime
import importlib.metadata
import json
import shlex

from zf_keras.files import write_whole
from zoo.machine import machine


class Results:
    """A JSON file of runs of `python -m benchmarks.NAME`, each with its command, day, machine, versions and rows."""

    def __init__(self, name, path, argv, packages=()):
        self.path, self.packages = path, packages
        self.runs = json.loads(path.read_text())["runs"] if path.exists() else []
        self.command = shlex.join(["python", "-m", f"benchmarks.{name}", *argv])
        self.run = None

    def rows(self):
        return [row for run in self.runs for row in run["rows"]]

    def has(self, **key):
        return any(key.items() <= row.items() for row in self.rows())

    def add(self, **row):
        """Writes a row at once: what is measured stays, whatever comes."""
        if self.run is None:
            found = machine()
            for name in self.packages:
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    found["versions"][name] = importlib.metadata.version(name)
            date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            self.run = {"command": self.command, "date": date, "machine": found, "rows": []}
            self.runs.append(self.run)
        self.run["rows"].append(row)
        write_whole(self.path, json.dumps({"runs": self.runs}, indent=1) + "\n")
        print(*(f"{value:.4f}" if isinstance(value, float) else value for value in row.values()), flush=True)
