"""The file of a benchmark whose command may be given again."""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import pathlib
import shlex

from zf_keras.files import write_whole
from zoo.machine import machine


def parser_of(name, doc):
    """A parser of `python -m benchmarks.NAME`, with the command `table`; and what adds further ones to it."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    tables = commands.add_parser("table", help="of what was measured, in Markdown")
    tables.add_argument("output", type=pathlib.Path, metavar="FILE")

    def command(name, help, models, default=None):
        """A command with the options that all have. Without a `default` models must be named."""
        added = commands.add_parser(name, help=help)
        named = {"default": default} if default else {"required": True}
        added.add_argument("--models", nargs="+", choices=models, metavar="NAME", help=", ".join(models), **named)
        added.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE", help="JSON, added to")
        return added

    return parser, command


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
