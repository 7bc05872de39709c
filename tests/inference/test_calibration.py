"""Calibration: rules that are exact for exchangeable draws, models whose predictive is known, and what is counted."""

import itertools
from statistics import NormalDist

import numpy as np
import pytest

from tests.models.table import make, sequences
from tests.models.test_generation import linear_gaussian
from tests.support import padded_batch
from zf_keras import RNN, ZForcing, diagnostics
from zf_keras.inference.diagnostics.calibration import _calibration, bits, intervals, top_tokens

NORMAL = NormalDist()


def constant(output, logits):
    """An RNN that draws each step from the same logits, whatever came before."""
    logits = np.array(logits)
    tokens = output == "categorical"
    model = RNN(1, output, output_network="linear", seed=0, **({"num_classes": len(logits)} if tokens else {}))
    model.build((None, None) if tokens else (None, None, len(logits)))
    for weight in model.head.trainable_weights:
        weight.assign(logits if weight.shape == logits.shape else np.zeros(weight.shape))
    return model


# The rules.


def every_order(rule, values, num_bins):
    """Sums of what a rule gives where each of exchangeable values is the reading, and the others draws in any order."""
    orders = np.array(list(itertools.permutations(values)))
    paths, came = orders[:, 1:].T[..., None], orders[:, :1]
    return [x.sum(axis=0) for x in rule(paths, came, np.ones(came.shape, bool), num_bins)]


@pytest.mark.parametrize("values", [[0.3, -1.0, 2.0, 0.7], [1.0, 1.0, 2.0, 0.0, 1.0], [5.0, 5.0]])
def test_ranks_of_exchangeable_values_have_each_level(values):
    """Ties too, and however few the draws."""
    levels, hits, counts, pit = every_order(intervals, values, 7)
    np.testing.assert_allclose(hits, levels, rtol=1e-12)
    np.testing.assert_allclose(levels / counts, [*np.arange(1, 7) / 7, 0.95])
    np.testing.assert_allclose(pit, counts[0] / 7, rtol=1e-12)


def test_ranks_by_hand():
    paths = np.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
    hits = {y: intervals(paths, np.array([[y]]), np.ones((1, 1), bool), 10)[1][0] for y in (2.5, 2.0, 9.0)}
    np.testing.assert_allclose(hits[2.5][[0, 1, 4]], [0.5, 1, 1])  # PIT in [0.4, 0.6]
    np.testing.assert_allclose(hits[2.0][[0, 4, 8]], [0.1 / 0.4, 0.35 / 0.4, 1])  # in [0.2, 0.6]
    np.testing.assert_allclose(hits[9.0], [*np.zeros(6), 0.25, 0.5, 0.75, 0.875])  # in [0.8, 1]: level 0.6 ends at 0.8
    rng, u = np.random.default_rng(0), np.arange(100_000) % 2
    u = (1 + u + rng.uniform(size=len(u))) / 5  # of 2.0, with its place among the ties by chance
    np.testing.assert_allclose(hits[2.0][2], np.mean(np.abs(u - 0.5) <= 0.15), atol=0.01)


@pytest.mark.parametrize(
    ("rule", "values"), [(bits, [1, 0, 1, 1, 0]), (bits, [1, 0, 0]), (top_tokens, [2, 0, 1, 2, 2])]
)
def test_probabilities_of_exchangeable_values_are_the_frequencies(rule, values):
    predicted, hits, counts = every_order(rule, values, 3)
    assert 0 < hits.sum() < counts.sum()
    np.testing.assert_allclose(predicted, hits, rtol=1e-12)


def test_bins_and_tokens_by_hand():
    paths = np.array([3, 1, 3, 1, 0, 3, 3, 2, 3, 3]).reshape(10, 1, 1)  # 1 and 3 are as likely in the first half
    for came, hit in ((1, 1), (3, 0)):
        predicted, hits, counts = top_tokens(paths, np.array([[came]]), np.ones((1, 1), bool), 5)
        np.testing.assert_array_equal(counts, [[0, 0, 1, 0, 0]])  # 2 of 5
        np.testing.assert_array_equal(hits, [[0, 0, hit, 0, 0]])
        np.testing.assert_array_equal(predicted, [[0, 0, 0, 0, 0]])  # of the second half none is 1
    ones = bits(np.ones((2, 1, 1)), np.ones((1, 1)), np.ones((1, 1), bool), 4)
    np.testing.assert_array_equal(ones, np.tile([0, 0, 0, 1], (3, 1, 1)))


def test_what_the_sums_give():
    sums = ([[0.5, 0], [0.25, 0]], [[2, 0], [0, 0]], [[2, 0], [1, 0]])
    result = _calibration("binary", [[np.array(x) for x in sums]], 2, 2, 0)
    np.testing.assert_allclose(result.predicted, [0.25])
    np.testing.assert_allclose(result.observed, [2 / 3])
    np.testing.assert_allclose(result.standard_error, [4 / 9])  # sqrt(2 ((2 - 4/3)^2 + (2/3)^2)) / 3
    np.testing.assert_allclose(result.error, 2 / 3 - 0.25)
    assert result.counts.tolist() == [3] and result.pit is None


# Models whose predictive is known.


@pytest.mark.parametrize(("cls", "a"), [(RNN, 0.0), (ZForcing, 1.5)])
def test_coverage_of_a_known_gaussian(cls, a):
    """y_t ~ N(rho y_{t-1} + a m, a^2 s^2 + sigma^2), and the same with twice the deviation."""
    rho, m, s, sigma = 0.8, 0.4, 0.7, 0.5
    model, rng = linear_gaussian(cls, rho, a, m, s, sigma), np.random.default_rng(0)
    noise, settings = rng.normal(size=(4, 600)), {"seed": 1, "batch_size": 10_000, "num_samples": 19}

    def drawn(scale):
        y = np.zeros((600, 4, 1))
        for t in range(4):
            y[:, t, 0] = rho * y[:, t - 1, 0] + a * m + scale * np.hypot(a * s, sigma) * noise[t]
        return y

    right = diagnostics.calibration(model, drawn(1.0), 2, horizon=2, **settings)
    assert (right.kind, right.sequences, right.skipped) == ("real", 600, 0)
    assert np.all(np.abs(right.observed - right.predicted) < 4 * right.standard_error)
    assert np.all(right.standard_error < 0.03) and np.all(right.counts == 1200)
    np.testing.assert_allclose(right.pit, 0.1, atol=4 * np.sqrt(0.09 / 600))
    narrow = diagnostics.calibration(model, drawn(2.0), 3, **{**settings, "num_samples": 99})
    exact = np.array([2 * NORMAL.cdf(NORMAL.inv_cdf((1 + level) / 2) / 2) - 1 for level in narrow.predicted])
    # The quantiles of 99 draws are spread too, which changes these by less than 0.01.
    assert np.all(np.abs(narrow.observed - exact) < 4 * narrow.standard_error + 0.01)
    assert np.all(narrow.observed + 2 * narrow.standard_error < narrow.predicted)
    assert narrow.error > 0.2 > 0.03 > right.error and min(narrow.pit[0], narrow.pit[-1]) > 0.15


def test_reliability_of_known_bits():
    p = np.array([0.2, 0.5, 0.9])
    model, rng = constant("bernoulli", np.log(p / (1 - p))), np.random.default_rng(0)
    settings = {"prompt_steps": 1, "horizon": 2, "seed": 1, "batch_size": 10_000}
    right = diagnostics.calibration(model, (rng.uniform(size=(500, 3, 3)) < p).astype("float32"), **settings)
    assert right.kind == "binary" and right.counts.sum() == 3000
    np.testing.assert_allclose(np.average(right.predicted, weights=right.counts), p.mean(), atol=0.005)
    many = right.counts > 100
    assert many.sum() > 4
    assert np.all(np.abs(right.observed - right.predicted)[many] < 4 * right.standard_error[many])
    wrong = diagnostics.calibration(model, (rng.uniform(size=(500, 3, 3)) < 0.5).astype("float32"), **settings)
    np.testing.assert_allclose(wrong.error, np.abs(p - 0.5).mean(), atol=0.04)


def test_reliability_of_known_tokens():
    rng, settings = np.random.default_rng(0), {"prompt_steps": 1, "horizon": 2, "seed": 1, "batch_size": 10_000}
    model = constant("categorical", np.log([0.1, 0.6, 0.3]))
    for frequencies, error in (([0.1, 0.6, 0.3], 0.0), ([0.3, 0.3, 0.4], 0.3)):
        result = diagnostics.calibration(model, rng.choice(3, (500, 3), p=frequencies), **settings)
        assert result.kind == "tokens" and result.counts.sum() == 1000
        np.testing.assert_allclose(np.average(result.predicted, weights=result.counts), 0.6, atol=0.01)
        np.testing.assert_allclose(result.error, error, atol=0.06)
    # Where all are as likely, the one drawn most is not said to be likelier.
    result = diagnostics.calibration(constant("categorical", np.zeros(9)), rng.integers(0, 9, (500, 3)), **settings)
    np.testing.assert_allclose(np.average(result.predicted, weights=result.counts), 1 / 9, atol=0.005)
    np.testing.assert_allclose(np.average(result.observed, weights=result.counts), 1 / 9, atol=4 * 0.01)


# What is counted.


def same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_padding_gaps_and_short_sequences():
    model, data = make("rnn"), padded_batch(lengths=(5, 2, 4, 3))

    def of(data, **settings):
        return diagnostics.calibration(model, data, 3, **{"horizon": 9, "seed": 0, "num_samples": 5} | settings)

    result = of(data)
    assert (result.sequences, result.skipped) == (2, 2)
    assert result.counts.tolist() == [9] * 10  # (2 + 1) steps of 3 features
    np.testing.assert_allclose(result.pit.sum(), 1)
    same(result, of({**data, "targets": np.where(data["mask"][..., None], data["targets"], 7.0).astype("float32")}))
    same(result, of({"inputs": data["targets"], "mask": data["mask"]}))
    assert of(data, horizon=1).counts[0] == 6
    gap = data["targets"].copy()
    gap[0, 4, 1] = np.nan
    assert of({**data, "targets": gap}).counts.tolist() == [8] * 10
    gap[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="`prompt`: `targets` holds nan"):
        of({**data, "targets": gap})
    parts = [{key: x[rows] for key, x in data.items()} for rows in (slice(0, 1), slice(1, 2), slice(2, 4))]
    stream = of(iter(parts), verbose=0)
    assert (stream.sequences, stream.skipped, stream.counts.tolist()) == (2, 2, [9] * 10)


def test_batches_are_no_matter():
    """Of a model that draws with no noise to speak of: a reading is above or below all draws."""
    model, data = linear_gaussian(RNN, 0.5, 0.0, 0.0, 1.0, 1e-6), sequences(count=7)[..., :1]
    results = [diagnostics.calibration(model, data, 3, num_samples=4, batch_size=size, verbose=0) for size in (2, 128)]
    above = np.mean(data[:, 3] > 0.5 * data[:, 2])
    for result in results:
        same(result, results[0])
        np.testing.assert_allclose(result.pit[-2:].sum(), above)
        np.testing.assert_allclose(result.pit[:2].sum(), 1 - above)


def test_the_seed_and_every_output():
    for output, kind in (("gaussian_mixture", "real"), ("bernoulli", "binary"), ("categorical", "tokens")):
        model, data = make("z_forcing" if kind == "real" else "rnn", output), sequences(output)
        a, b = (diagnostics.calibration(model, data, 3, 2, num_samples=9, seed=3) for _ in range(2))
        same(a, b)
        assert a.kind == kind and a.counts[0] > 0 and 0 <= a.error <= 1
        assert (a.pit is not None) == (kind == "real")


def diverged(output):
    model = make("rnn", output)
    model.head.trainable_weights[0].assign(np.nan * np.zeros(model.head.trainable_weights[0].shape))
    return model


def apart():
    model = RNN(4, "gaussian")
    model.build({"inputs": (None, None, 5), "targets": (None, None, 3)})
    return model


@pytest.mark.parametrize(
    ("model", "change", "message"),
    [
        (make, {"prompt_steps": 0}, "prompt_steps=0"),
        (make, {"horizon": 1.5}, "horizon=1.5"),
        (make, {"num_samples": 1}, "`num_samples` must be at least 2. Received: num_samples=1"),
        (make, {"batch_size": 0}, "batch_size=0"),
        (make, {"num_bins": True}, "num_bins=True"),
        (make, {"seed": -1}, "seed=-1"),
        (make, {"prompt_steps": 5}, "Of 6 sequences 6 have no step after the prompt"),
        (make, {"data": [1.0]}, "must be an array or a dict"),
        (make, {"data": {"frames": 1}}, "'frames'"),
        (make, {"data": {"mask": np.ones((2, 3))}}, "needs `targets` or `inputs`"),
        (lambda name: make(name, "bernoulli"), {}, "0 and 1"),
        (lambda name: diverged("bernoulli"), {"data": sequences("bernoulli")}, "weights .* are not all finite"),
        (lambda name: linear_gaussian(RNN, 0.5, 0.0, 0.0, 1.0, 1e40), {"data": sequences()[..., :1]}, "are not finite"),
        (lambda name: RNN(4, "gaussian"), {}, "not built"),
        (lambda name: apart(), {}, "5 and targets of 3"),
    ],
)
def test_errors(model, change, message):
    arguments = {"data": sequences(), "prompt_steps": 3, "horizon": 2, "num_samples": 3, **change}
    with pytest.raises(ValueError, match=message):
        diagnostics.calibration(model("rnn"), **arguments)
