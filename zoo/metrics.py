"""The file metrics.csv: a row an epoch, read with a check of every value."""

import csv
import hashlib
import json
import math

from zf_keras.files import whole_file

NEEDED = ("epoch", "elbo", "val_elbo")


def read(path):
    """The rows of a file: a list of dicts, empty where there is no file.

    Raises:
        ValueError: the file was damaged; the message names the line.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        try:
            names, *table = [line for line in lines if line] or [["epoch"]]
        except csv.Error as error:
            raise ValueError(f"line {lines.line_num}: {error}") from error
    missing = [name for name in NEEDED if name not in names]
    if table and missing:
        raise ValueError(f"it has no column {missing[0]}")
    return [_row(names, values, epoch) for epoch, values in enumerate(table, start=1)]


def _row(names, values, epoch):
    if len(values) != len(names):
        raise ValueError(f"line {epoch + 1} must have {len(names)} values. Received: {len(values)}")
    row = {}
    for name, value in zip(names, values, strict=True):
        try:
            row[name] = int(value) if name in ("epoch", "updates") else float(value)
        except ValueError:
            row[name] = math.nan
        if not math.isfinite(row[name]):
            raise ValueError(f"line {epoch + 1}: {name} must be a finite number. Received: {value!r}")
    if row["epoch"] != epoch:
        raise ValueError(f"line {epoch + 1} must be of epoch {epoch}. Received: epoch {row['epoch']}")
    return row


def write(path, rows):
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["epoch"])
        writer.writeheader()
        writer.writerows(rows)


def checksum(rows):
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
