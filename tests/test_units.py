"""Units of log-likelihoods: by hand, as data sets and recipes name them, and how often intervals hold the truth."""

import copy
import math
import pathlib
import re
import types

import numpy as np
import pytest

from tests.models.table import make
from tests.support import padded_batch
from zf_keras import datasets, units
from zf_keras.datasets import images, piano_rolls, speech, text
from zf_keras.units import UNITS
from zoo import recipes

LN2 = math.log(2)


def test_a_padded_batch():
    """Sequences of 5, 2 and 4 frames of 3 features, from the terms of every step."""
    batch, model = padded_batch(), make("rnn")
    nll = -model.log_likelihood(batch).astype("float64")
    total, lengths = nll.sum(), batch["mask"].sum(axis=1)
    steps = np.asarray(model(batch).terms["nll"])
    np.testing.assert_allclose([steps[0, :5].sum(), steps[1, :2].sum(), steps[2, :4].sum()], nll, rtol=1e-5)
    for measured, expected in (
        (units.nats_a_sequence(-nll), -total / 3),
        (units.nats_a_frame(-nll, lengths), -total / 11),
        (units.nats_a_frame_over_sequences(-nll, lengths), -(nll[0] / 5 + nll[1] / 2 + nll[2] / 4) / 3),
        (units.bits_a_dimension(-nll, 3 * lengths), total / 33 / LN2),
        (units.bits_a_character(-nll, lengths), total / 11 / LN2),
        (units.bits_a_sample(-nll, 3 * lengths, std=1000.0), total / 33 / LN2 + math.log2(1000.0)),
        (units.perplexity(-nll, lengths), math.exp(total / 11)),
    ):
        assert measured == pytest.approx(expected, rel=1e-6) and measured.standard_error > 0


def test_standard_errors_by_hand():
    """Two sequences, -2 nats of one frame and -12 of three: -3.5 a frame, residuals 1.5 and -1.5."""
    nats, lengths = [-2.0, -12.0], [1, 3]
    ratio = math.sqrt(2 / 1 * (1.5**2 + 1.5**2)) / 4
    for measured, value, error in (
        (units.nats_a_sequence(nats), -7.0, 5.0),
        (units.nats_a_frame(nats, lengths), -3.5, ratio),
        (units.nats_a_frame_over_sequences(nats, lengths), -3.0, 1.0),
        (units.bits_a_dimension(nats, [2, 6]), 3.5 / 2 / LN2, ratio / 2 / LN2),
        (units.bits_a_character(nats, lengths), 3.5 / LN2, ratio / LN2),
        (units.bits_a_sample(nats, lengths, std=8.0), 3.5 / LN2 + 3, ratio / LN2),
        (units.perplexity(nats, lengths), math.exp(3.5), ratio * math.exp(3.5)),
    ):
        assert (measured, measured.standard_error) == (pytest.approx(value), pytest.approx(error))
    # All of one length: a ratio is a mean.
    rng = np.random.default_rng(0)
    nats = rng.normal(size=20)
    assert units.nats_a_frame(nats, 4).standard_error == pytest.approx(units.nats_a_sequence(nats / 4).standard_error)
    assert units.nats_a_sequence(nats).standard_error == pytest.approx(nats.std(ddof=1) / 20**0.5)
    for measured in (units.nats_a_sequence([-3.0]), units.nats_a_frame([-3.0], [2]), units.perplexity([-3.0], 2)):
        assert math.isnan(measured.standard_error) and math.isfinite(measured)
    measured = units.perplexity(nats, 4)
    assert copy.deepcopy(measured) == measured and copy.copy(measured).standard_error == measured.standard_error


@pytest.mark.parametrize("lengths", [[1, 2, 3], [1, 0], [[1, 2]], 0])
def test_lengths_that_do_not_fit(lengths):
    with pytest.raises(ValueError, match="a positive length for each log-likelihood"):
        units.nats_a_frame([-1.0, -2.0], lengths)


def simulated(rng, count=100):
    """Sequences of 20 to 200 frames, the longer the worse, each with a level of its own."""
    lengths = rng.integers(20, 201, size=count)
    return lengths * (-1 - lengths / 200 + 0.5 * rng.normal(size=count)) + lengths**0.5 * rng.normal(
        size=count
    ), lengths


#: E n, and E n^2 by E n, over all lengths.
ALL = np.arange(20, 201)
LENGTH, WEIGHED = ALL.mean(), np.mean(ALL**2) / ALL.mean()
TRUTH = {
    "nats a sequence": -LENGTH * (1 + WEIGHED / 200),
    "nats a frame": -(1 + WEIGHED / 200),
    "nats a frame, mean over sequences": -(1 + LENGTH / 200),
    "bits a dimension": (1 + WEIGHED / 200) / LN2,
    "bits a character": (1 + WEIGHED / 200) / LN2,
    "bits a sample": (1 + WEIGHED / 200) / LN2 + 3,
    "perplexity": math.exp(1 + WEIGHED / 200),
}


def test_intervals_hold_the_truth():
    """Nominal 95 % intervals, in 1,000 sets of 100 sequences."""
    assert set(TRUTH) == set(UNITS) - {"bits a pixel"}  # which is bits a dimension
    rng, hits = np.random.default_rng(0), dict.fromkeys(TRUTH, 0)
    for _ in range(1000):
        nats, lengths = simulated(rng)
        further = {"nats a sequence": (), "bits a sample": (lengths, 8.0)}
        for name, truth in TRUTH.items():
            measured = UNITS[name](nats, *further.get(name, (lengths,)))
            hits[name] += abs(measured - truth) <= 1.96 * measured.standard_error
    assert all(920 <= count <= 980 for count in hits.values()), hits


def test_lengths_count_in_the_error_of_a_ratio():
    """Taking the number of frames for given, as a mean does, would not hold the truth."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(1000):
        nats, lengths = simulated(rng)
        error = units.nats_a_sequence(nats).standard_error * len(nats) / lengths.sum()
        hits += abs(units.nats_a_frame(nats, lengths) - TRUTH["nats a frame"]) <= 1.96 * error
    assert hits > 980


def sequences(lengths=(5, 2, 4), level="words"):
    manifest = {
        "identity": {"settings": {"level": level}},
        "frame": {"shape": [20]},
        "statistics": {"std": 900.0},
    }
    return types.SimpleNamespace(lengths=np.array(lengths), manifest=manifest)


def test_data_sets_measure_as_they_did():
    """By the arithmetic that stood in each of them."""
    nats = np.random.default_rng(0).normal(-30.0, 5.0, size=3)
    a_step = -np.sum(nats) / 11
    pictures = np.zeros((3, 4, 2))
    for measures, scored, name, expected in (
        (images.measures, pictures, "bits a pixel", -np.mean(nats) / (LN2 * 8)),
        (text.measures, sequences(), "perplexity", np.exp(a_step)),
        (text.measures, sequences(level="characters"), "bits a character", a_step / LN2),
        (speech.measures, sequences(), "bits a sample", (np.log(900.0) + a_step / 20) / LN2),
        # The first frame is given.
        (piano_rolls.measures, sequences((6, 3, 5)), "nats a frame, mean over sequences", np.mean(nats / [5, 2, 4])),
    ):
        measured = measures(nats, scored)
        assert measured == {name: pytest.approx(expected, rel=1e-12)} and measured[name].standard_error > 0
        assert name in UNITS


@pytest.mark.parametrize("name", recipes.names())
def test_published_numbers_are_in_these_units(name):
    """In one that the data set of the recipe is measured in."""
    recipe = recipes.load(name).values
    if "published" not in recipe:
        return
    assert recipe["published"]["metric"] in UNITS
    level = "words" if recipe["data"]["dataset"] == "imdb" else "characters"
    dataset = getattr(datasets, recipe["data"]["dataset"]).DATASET
    scored = np.zeros((2, 4, 2)) if dataset.measures is images.measures else sequences((3, 4), level)
    measured = {"nats a sequence", "nats a frame", *dataset.measures(np.array([-1.0, -2.0]), scored)}
    assert recipe["published"]["metric"] in measured
    if name.startswith("music/"):
        assert recipe["published"]["metric"] == "nats a frame, mean over sequences"


def test_the_table_of_the_docs():
    page = (pathlib.Path(__file__).parents[1] / "docs/units.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([^`]+)` \| `units\.(\w+)`", page, re.MULTILINE) == [
        (name, function.__name__) for name, function in UNITS.items()
    ]
