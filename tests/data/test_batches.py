"""Batches that depend on nothing but the seed and their number, and what models are given of them."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from tests.models.table import FEATURES, make
from tests.support import normal
from zf_keras.data import padding
from zf_keras.data.batches import Batches, Mapped, lengths_of
from zf_keras.data.shard_writer import write_shards
from zf_keras.data.shards import Shards

LENGTHS = np.random.default_rng(0).integers(1, 30, size=47)
#: Each is filled with its number.
SEQUENCES = [np.full((length, 2), i, "float32") for i, length in enumerate(LENGTHS)]


def numbers(batches, number=0):
    """Which sequences are in each batch of a pass."""
    first = number * len(batches)
    return [batches[i]["targets"][:, 0, 0].astype(int).tolist() for i in range(first, first + len(batches))]


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


def test_every_sequence_once_a_pass_and_padded_to_the_longest():
    batches = Batches(SEQUENCES, 5, multiple=1)
    assert numbers(batches) == [list(range(i, min(i + 5, 47))) for i in range(0, 47, 5)] and len(batches) == 10
    assert numbers(batches, 3) == numbers(batches)  # all passes are the same
    assert len(list(batches)) == 10
    for i, batch in enumerate(batches):
        targets, mask = batch["targets"], batch["mask"]
        lengths = LENGTHS[5 * i : 5 * i + 5]
        np.testing.assert_array_equal(mask, np.arange(max(lengths)) < lengths[:, None])
        assert targets.dtype == "float32" and mask.dtype == bool and not targets[~mask].any()
        np.testing.assert_array_equal(targets[mask][:, 0], np.repeat(np.arange(5 * i, 5 * i + len(lengths)), lengths))


def test_multiple():
    for i, batch in enumerate(Batches(SEQUENCES, 5, multiple=8)):
        longest = LENGTHS[5 * i : 5 * i + 5].max()
        assert batch["mask"].shape[1] == batch["targets"].shape[1] == 8 * np.ceil(longest / 8)
        assert batch["mask"].sum() == LENGTHS[5 * i : 5 * i + 5].sum()


def test_by_default_lengths_are_padded_where_each_is_compiled(monkeypatch):
    for padded, steps, with_first in ((True, 12, 13), (False, 11, 11)):
        monkeypatch.setattr(padding, "PADDED", padded)
        sequences = [np.ones(11), np.ones(3)]
        assert Batches(sequences, 2)[0]["mask"].shape == (2, steps)
        batch = Batches(sequences, 2, key="inputs")[0]  # ten steps are predicted, or twelve
        assert batch["inputs"].shape == (2, with_first) and batch["mask"].sum() == 14
        assert Batches(sequences[:1] * 3, 2)[0]["targets"].shape == (2, 11)  # of one length


def test_the_order_is_that_of_seed_and_pass():
    a, b, other = (Batches(SEQUENCES, 5, shuffle=True, seed=seed) for seed in (1, 1, 2))
    passes = []
    for number in range(3):
        assert numbers(a, number) == numbers(b, number) != numbers(other, number)
        assert sorted(i for batch in numbers(a, number) for i in batch) == list(range(47))
        passes.append(numbers(a, number))
    assert passes[0] != passes[1] != passes[2] != passes[0]
    assert [sorted(map(sorted, order)) for order in passes[:2]] != [sorted(map(sorted, passes[0]))] * 2


def drawn(sequence, rng=None):
    return sequence + rng.random(sequence.shape, "float32") / 2


def test_a_batch_is_the_same_whatever_was_asked_before():
    """Of a later training that goes on from there, and of threads that ask all at once."""
    sequences = Mapped(SEQUENCES, drawn, random="anew")
    expected = [Batches(sequences, 5, shuffle=True, seed=3)[i] for i in range(40)]  # each asked first
    batches = Batches(sequences, 5, shuffle=True, seed=3)
    for i in (39, 0, 12, 11, 38, 12, 1):
        assert_equal(batches[i], expected[i])
    asked = np.random.default_rng(0).permutation(np.tile(np.arange(40), 5)).tolist()
    with ThreadPoolExecutor(8) as pool:
        for i, batch in zip(
            asked, pool.map(Batches(sequences, 5, shuffle=True, seed=3).__getitem__, asked), strict=True
        ):
            assert_equal(batch, expected[i])


def test_sequences_of_like_length_go_together():
    padding = [
        np.mean([1 - batch["mask"].mean() for batch in Batches(SEQUENCES, 5, shuffle=True, window=window)])
        for window in (1, 5, 50)
    ]
    assert padding[0] > padding[1] > padding[2]
    longest = [batch["mask"].shape[1] for batch in Batches(SEQUENCES, 5, shuffle=True)]
    assert longest != sorted(longest)  # the batches themselves are in no order


@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_the_batches(shuffle):
    whole = Batches(SEQUENCES, 5, shuffle=shuffle)
    shares = [Batches(SEQUENCES, 5, shuffle=shuffle, process=(i, 3)) for i in range(3)]
    assert [len(share) for share in shares] == [3, 3, 3]
    for number in range(2):
        assert [numbers(share, number) for share in shares] == [numbers(whole, number)[i:9:3] for i in range(3)]


def test_one_length_has_no_mask():
    sequences = normal(7, 6, 2)
    for source in (sequences, list(sequences)):
        batches = Batches(source, 3)
        assert [batch["targets"].shape[0] for batch in batches] == [3, 3, 1]
        assert all(batch.keys() == {"targets"} for batch in batches)
        np.testing.assert_array_equal(np.concatenate([batch["targets"] for batch in batches]), sequences)
    assert Batches(sequences, 3, multiple=3)[0].keys() == {"targets"}
    padded = Batches(sequences, 3, multiple=4)[0]
    assert padded["targets"].shape == (3, 8, 2) and padded["mask"].tolist() == [[True] * 6 + [False] * 2] * 3


def test_key_and_tokens():
    batch = Batches([np.array([4, 2, 1]), np.array([3])], 2, key="inputs")[0]
    assert batch.keys() == {"inputs", "mask"}
    assert batch["inputs"].tolist() == [[4, 2, 1], [3, 0, 0]] and batch["inputs"].dtype.kind == "i"
    assert batch["mask"].tolist() == [[True] * 3, [True, False, False]]


def test_lengths_of():
    expected = [5, 2]
    sequences = [np.zeros((5, 3)), np.zeros((2, 3))]
    for found in (lengths_of(sequences), lengths_of(Mapped(sequences, None))):
        assert found.tolist() == expected
    assert lengths_of(np.zeros((2, 5, 3))).tolist() == [5, 5]
    assert lengths_of(Mapped(sequences, None, length=7)).tolist() == [7, 7]


def test_mapped():
    """A function alone, one draw for ever, and another each pass of batches that are shuffled."""
    doubled = Mapped(SEQUENCES, lambda sequence: 2 * sequence)
    np.testing.assert_array_equal(doubled[7], 2 * SEQUENCES[7])
    assert len(doubled) == 47 and doubled.lengths.tolist() == LENGTHS.tolist()
    np.testing.assert_array_equal(Batches(doubled, 5, shuffle=True)[2]["targets"] % 2, 0)

    def fractions(random, number, **kwargs):
        """What was drawn for each sequence."""
        batches = Batches(Mapped(SEQUENCES, drawn, random), 5, **kwargs)
        passed = (batches[number * len(batches) + i] for i in range(len(batches)))
        rows = [row[valid] for batch in passed for row, valid in zip(batch["targets"], batch["mask"], strict=True)]
        return {int(row[0, 0]): (row % 1).tobytes() for row in rows}

    once = Mapped(SEQUENCES, drawn, "once")
    fixed = {i: (once[i] % 1).tobytes() for i in range(47)}
    assert len(set(fixed.values())) == 47
    for kwargs in ({}, {"shuffle": True}, {"shuffle": True, "seed": 1}):
        assert fractions("once", 0, **kwargs) == fractions("once", 1, **kwargs) == fixed
    assert fractions("anew", 0) == fractions("anew", 1) == fixed  # to evaluate on
    draws = [fractions("anew", n, shuffle=True, seed=s) for n, s in ((0, 0), (1, 0), (0, 1), (0, 0))]
    assert draws[0] == draws[3]
    assert all(draws[0][i] != draws[1][i] != draws[2][i] != draws[0][i] for i in range(47))
    with pytest.raises(ValueError, match="random='always'"):
        Mapped(SEQUENCES, drawn, "always")


# Into models

#: Batches of two: of 4 steps, 4 steps and 7 steps.
TRAP = [normal(length, FEATURES, seed=i) for i, length in enumerate((4, 3, 2, 4, 7, 5))]


def as_arrays(batch):
    return {key: keras.ops.convert_to_numpy(x) for key, x in batch.items()}


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_dataset_gives_the_batches_in_order(shuffle):
    batches = Batches(SEQUENCES, 5, shuffle=shuffle)
    for start, stop in ((0, 25), (7, 31), (12, 13)):
        found = [as_arrays(batch) for batch in batches.dataset(start, stop, num_threads=3, prefetch=5)]
        assert len(found) == stop - start
        for i, batch in enumerate(found, start=start):
            assert_equal(batch, batches[i])
    endless = iter(batches.dataset(start=95))
    for i in range(95, 120):
        assert_equal(as_arrays(next(endless)), batches[i])


def test_datasets_of_one_length_and_of_tokens():
    for sequences in (normal(5, 6, 2), np.arange(20).reshape(5, 4), [np.arange(3), np.arange(2), np.arange(1)]):
        batches = Batches(sequences, 2, shuffle=True)
        for i, batch in enumerate(batches.dataset(stop=5)):
            assert_equal(as_arrays(batch), batches[i])
            assert as_arrays(batch)["targets"].dtype == batches[i]["targets"].dtype


def compiled():
    model = make("rnn")
    model.compile(optimizer=keras.optimizers.SGD(0.01))
    return model


def test_fit_and_evaluate_on_lengths_that_differ():
    """The first two batches are as long as each other: TensorFlow must not take that for the length of all."""
    batches = Batches(TRAP, 2, multiple=1)
    assert [batch["mask"].shape[1] for batch in batches] == [4, 4, 7]
    model = compiled()
    start = model.get_weights()
    # Another way: a step for each batch in turn.
    for i in range(2 * len(batches)):
        model.train_on_batch(batches[i])
    by_hand = model.get_weights()
    model.set_weights(start)
    history = model.fit(batches.dataset(), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0).history["loss"]
    for a, b in zip(by_hand, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert history[0] > history[1]
    result = model.evaluate(batches.dataset(stop=len(batches)), verbose=0, return_dict=True)
    each = []
    for batch in batches:
        model.reset_metrics()
        each.append(float(model.test_on_batch(batch, return_dict=True)["loss"]))
    assert result["loss"] == pytest.approx(np.mean(each), rel=1e-4)


def test_a_training_goes_on_from_an_update():
    """With `start`, as if it had not stopped."""
    batches = Batches(TRAP, 2, key="inputs", shuffle=True, seed=4, multiple=7)  # of one shape: one program
    model = compiled()
    start = model.get_weights()
    model.fit(batches.dataset(stop=6), shuffle=False, verbose=0)
    whole = model.get_weights()
    model.set_weights(start)
    for first, last in ((0, 3), (3, 6)):
        model.fit(batches.dataset(first, last), shuffle=False, verbose=0)
    for before, a, b in zip(start, whole, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        assert (a != before).any()


def test_from_shards(tmp_path):
    write_shards(
        tmp_path, "toy", {"train": range(6)}, lambda name, _: [TRAP[int(name)]], shard_bytes=100, verbose=False
    )
    shards = Shards(tmp_path, "train")
    assert len(shards.manifest["splits"]["train"]["shards"]) > 2
    for i, batch in enumerate(Batches(shards, 2, shuffle=True).dataset(stop=9)):
        assert_equal(as_arrays(batch), Batches(TRAP, 2, shuffle=True)[i])


def test_errors():
    for arguments, message in (
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 5, "window": 0}, "window=0"),
        ({"batch_size": 5, "multiple": 1.5}, r"multiple=1\.5"),
        ({"batch_size": 5, "key": "mask"}, "key='mask'"),
        ({"batch_size": 5, "process": (3, 3)}, r"process=\(3, 3\)"),
        ({"batch_size": 5, "process": (-1, 3)}, r"process=\(-1, 3\)"),
        ({"batch_size": 40, "process": (0, 3)}, "fewer batches than processes"),
    ):
        with pytest.raises(ValueError, match=message):
            Batches(SEQUENCES, **arguments)
    with pytest.raises(ValueError, match="holds none"):
        Batches([], 5)
    with pytest.raises(IndexError, match="-1"):
        Batches(SEQUENCES, 5)[-1]


def test_sequences_of_several_types():
    sequences = [np.array([1, 2, 3]), np.array([1.5, 2.5, 3, 4])]
    assert Batches(sequences, 2)[0]["targets"].tolist() == [[1, 2, 3, 0], [1.5, 2.5, 3, 4]]
    with pytest.raises(ValueError, match="Sequence 1 of `sequences` has no steps"):
        Batches([np.zeros(2), np.zeros(0)], 2)
