"""Pieces of streams, in order, each a function of the seed and of its number."""

import numpy as np
import pytest

from zf_keras.data.batches import Mapped
from zf_keras.data.pieces import Pieces

LENGTHS = (50, 41, 13, 7, 1)
#: Frame t of sequence i is (i, t).
SEQUENCES = [np.stack([np.full(time, i), np.arange(time)], axis=1).astype("float32") for i, time in enumerate(LENGTHS)]


def streams(pieces, number=0):
    """The frames that each row of a pass reads, (sequence, time) each, in order; and those before which it is reset."""
    rows = [[] for _ in range(pieces.batch_size)]
    resets = [[] for _ in range(pieces.batch_size)]
    for i in range(number * len(pieces), (number + 1) * len(pieces)):
        batch = pieces[i]
        mask = batch.get("mask", np.ones(batch["targets"].shape[:2], bool))
        for row, (targets, valid, first) in enumerate(zip(batch["targets"], mask, batch["first"], strict=True)):
            frames = [tuple(map(int, frame)) for frame in targets[valid]]
            if first:
                resets[row].append(frames[0])
            rows[row] += frames
    return rows, resets


def test_a_pass_reads_every_frame_in_order():
    pieces = Pieces(SEQUENCES, 2, 10)
    rows, resets = streams(pieces)
    # 5, 5, 2, 1 and 1 pieces: seven batches, and the second stream begins within sequence 1.
    assert len(pieces) == 7
    assert rows[0] == [(0, t) for t in range(50)] + [(1, t) for t in range(20)]
    assert rows[1] == [(1, t) for t in range(20, 41)] + [(i, t) for i in (2, 3, 4) for t in range(LENGTHS[i])]
    assert resets == [[(0, 0), (1, 0)], [(1, 20), (2, 0), (3, 0), (4, 0)]]
    assert streams(pieces, 3) == (rows, resets)


def test_inputs_are_the_targets_a_step_earlier_across_pieces():
    for key in ("targets", "inputs"):
        pieces = Pieces(SEQUENCES[:1], 1, 10, key=key)
        inputs = np.concatenate([batch["inputs"][0] for batch in pieces])
        targets = np.concatenate([batch["targets"][0] for batch in pieces])
        assert tuple(inputs[0]) == (0, 0)
        if key == "inputs":  # the first frame is given, and the last piece has a step less
            np.testing.assert_array_equal(targets[:49, 1], np.arange(1, 50))
            np.testing.assert_array_equal(inputs[:49, 1], np.arange(49))
            assert pieces[4]["mask"].sum() == 9
        else:
            np.testing.assert_array_equal(targets[:, 1], np.arange(50))
            np.testing.assert_array_equal(inputs[1:, 1], np.arange(49))
            assert "mask" not in pieces[0]


def test_tokens_start_with_the_start_token():
    pieces = Pieces([np.arange(7) + 10, np.arange(2)], 1, 5, start_token=3)
    assert pieces[0]["inputs"].tolist() == [[3, 10, 11, 12, 13]]
    assert pieces[1]["inputs"].tolist() == [[14, 15, 16, 0, 0]] and pieces[1]["targets"].dtype == np.arange(1).dtype


def test_a_stream_is_filled_up_with_the_first_pieces():
    rows, resets = streams(Pieces(SEQUENCES[:2], 3, 10))
    assert rows[2] == [(1, t) for t in range(30, 41)] + [(0, t) for t in range(20)]
    assert resets[2] == [(1, 30), (0, 0)]


def test_shuffled_passes_differ_and_are_those_of_the_seed():
    a, b, other = (Pieces(SEQUENCES, 2, 10, shuffle=True, seed=seed) for seed in (1, 1, 2))
    passes = [streams(a, number)[0] for number in range(3)]
    assert passes[0] != passes[1] != passes[2]
    assert (
        passes == [streams(b, number)[0] for number in range(3)] != [streams(other, number)[0] for number in range(3)]
    )
    for rows in passes:
        assert sorted(rows[0] + rows[1]) == [(i, t) for i, time in enumerate(LENGTHS) for t in range(time)]
    assert [row.tolist() for row in a.order(1)] == [
        [int(row[0, 0]) for row in a[i]["targets"]] for i in range(len(a), 2 * len(a))
    ]


def test_all_pieces_of_a_sequence_are_of_one_draw():
    read = []

    def noisy(sequence, rng):
        read.append(len(sequence))
        return sequence + rng.random()

    pieces = Pieces(Mapped(SEQUENCES[:2], noisy, random="anew"), 1, 10, shuffle=True)
    added = [
        {round(float(x) % 1, 3) for i in range(10) for x in pieces[10 * n + i]["targets"][0, :1, 1]} for n in (0, 1)
    ]
    assert len(read) == 4 and len(added[0]) == len(added[1]) == 2 and not added[0] & added[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_streams": 0, "length": 5}, "`num_streams` must be"),
        ({"num_streams": 1, "length": 2.5}, "`length` must be"),
        ({"num_streams": 1, "length": 5, "key": "mask"}, "`key` must be"),
        ({"num_streams": 99, "length": 5}, "have 25 pieces of 5 steps, fewer than num_streams=99"),
        ({"num_streams": 1, "length": 5, "key": "inputs"}, "Sequence 4 of `sequences` has fewer than 2 steps"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Pieces(SEQUENCES, **arguments)
