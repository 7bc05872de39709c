"""Standard errors in results.json, what is printed and the card, and where there are none."""

import json

import pytest

from zoo.cards import write_card
from zoo.runs import RESULTS
from zoo.tables import table


def shown(run):
    rows = [line for line in write_card(run).read_text().splitlines() if line.startswith("| its standard error")]
    return rows, [line for line in table(run, run.results()) if "standard error" in line]


def test_shown(tiny):
    """`tiny` is an RNN on images of 8 rows of 8 pixels."""
    results = tiny.results()
    errors = results["standard_errors"]["exact"]
    assert set(errors) == {"nats a sequence", "nats a frame", "bits a pixel"} == set(results["bounds"]["exact"])
    assert errors["nats a sequence"] == results["standard_error"] == pytest.approx(8 * errors["nats a frame"])
    rows, lines = shown(tiny)
    assert rows == [f"| its standard error | {' | '.join(f'{error:.3g}' for error in errors.values())} |"]
    assert [line.rpartition("(")[2] for line in lines] == [f"standard error {e:.3g})" for e in errors.values()]


def test_not_of_every_unit(tiny):
    """A data set's own unit may have none."""
    results = json.loads(tiny.path(RESULTS).read_text())
    results["standard_errors"]["exact"]["nats a frame"] = None
    tiny.path(RESULTS).write_text(json.dumps(results))
    (row,), lines = shown(tiny)
    assert row.split(" | ")[2] == "" and len(lines) == 2


def test_of_an_earlier_version(tiny):
    results = json.loads(tiny.path(RESULTS).read_text())
    del results["standard_errors"]
    tiny.path(RESULTS).write_text(json.dumps(results))
    assert shown(tiny) == ([], [])
