"""The three layouts of piano rolls, what is refused of them, and MIDI there and back."""

import json
import os
import pickle
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from zf_keras.datasets import Batches, piano_rolls, roll_files
from zf_keras.datasets.midi import read_midi, write_midi
from zf_keras.datasets.piano_rolls import cut, load_data, prepare, write_samples

mido = pytest.importorskip("mido")

REAL = Path(__file__).parents[3] / "shared" / "data" / "piano_rolls"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no data in {REAL}")

#: Every other frame is silent in the first of each.
SONGS = {
    "train": [[(60, 64, 67), (), [21], ()], [(108,)] * 7],
    "valid": [[(30,), (31, 32)]],
    "test": [[(40, 41, 42)] * 250],
}


def roll_of(song):
    """Another way: a note at a time."""
    return np.array([[float(note in notes) for note in range(21, 109)] for notes in song], "float32")


def prepared(source, directory, **kwargs):
    manifest = prepare(source, directory, verbose=False, **kwargs)
    splits = load_data(directory, verify=True)
    return manifest, {split: [part[i] for i in range(len(part))] for split, part in splits._asdict().items()}


def assert_rolls(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == "float32"
        np.testing.assert_array_equal(a, b)


def random_roll(time, seed=0, density=0.3):
    return (np.random.default_rng(seed).random((time, 88)) < density).astype("uint8")


# Pickles


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_pickle(tmp_path, protocol):
    path = tmp_path / "JSB Chorales.pickle"
    path.write_bytes(pickle.dumps(SONGS, protocol))
    manifest, found = prepared(path, tmp_path / "out")
    assert_rolls(found["train"], [roll_of(song) for song in SONGS["train"]])
    assert_rolls(found["valid"], [roll_of(SONGS["valid"][0])])
    assert_rolls(found["test"], [roll_of(SONGS["test"][0])])  # whole
    assert manifest["identity"]["settings"] == {"piece_frames": 100} and manifest["frame"]["dtype"] == "uint8"


def test_pickle_of_python_2(tmp_path):
    path = tmp_path / "old.pkl"
    path.write_bytes(b"(dp0\nS'train'\np1\n(lp2\n(lp3\n(I60\nI64\ntp4\na(I61\ntp5\naasS'valid'\ng2\nsS'test'\ng2\ns.")
    for part in prepared(path, tmp_path / "out")[1].values():
        assert_rolls(part, [roll_of([(60, 64), (61,)])])


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path, protocol):
    mark, path = tmp_path / "mark", tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(SONGS | {"train": [Runs(mark)]}, protocol))
    with pytest.raises(ValueError, match=r"a\.pickle .*asks for \w+.system, and nothing of a pickle is executed"):
        prepare(path, tmp_path / "out", verbose=False, on_error="skip")
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists()  # it would have been


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(SONGS)[:-50], "not a whole pickle"),
        (b"", "not a whole pickle"),
        (b"these are no notes", "not a whole pickle"),
        (b"\x80\x02Q.", "not a whole pickle"),  # a persistent reference to nothing
        (b"Pelsewhere\n.", "refers to objects outside of it"),
        (pickle.dumps([1, 2]), "a dict of train, valid, test, not list"),
        (pickle.dumps({"train": []}), r"not \['train'\]"),
        (pickle.dumps(SONGS | {"valid": "abc"}), "'valid' must be a list of lists"),
        (pickle.dumps(SONGS | {"valid": [60]}), "'valid' must be a list of lists"),
        (pickle.dumps(SONGS | {"train": np.zeros(3)}), "asks for numpy"),
        (pickle.dumps(SONGS | {"train": [[()] * 10**5] * 101}, 5), "more than 10000000 frames"),  # and 0.1 MB
    ],
)
def test_pickles_that_are_refused(tmp_path, content, message):
    (tmp_path / "a.pickle").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path / "a.pickle", tmp_path / "out", verbose=False)
    assert not (tmp_path / "out").exists()


def test_a_pickle_is_read_up_to_a_size(tmp_path, monkeypatch):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(SONGS))
    monkeypatch.setattr(roll_files, "MAX_PICKLE_BYTES", 50)
    with pytest.raises(ValueError, match="more than 50 bytes"):
        prepare(tmp_path / "a.pickle", tmp_path / "out", verbose=False)


@pytest.mark.parametrize(
    ("song", "message"),
    [
        ([(60,), (109,)], "a.pickle, train 1: frame 1 has the note 109, not one of 21 to 108"),
        ([(20,), (60,)], "frame 0 has the note 20"),
        ([(60.5,), (60,)], "the note 60.5"),
        ([("C",), (60,)], "the note 'C'"),
        ([(True,), (60,)], "the note True"),
        ([60, 61], "frame 0 must be a list or tuple"),
        ([(60,) * 89, ()], "frame 0 must be a list or tuple of at most 88"),
        ([(60,)], "1 frames, of which the first is given"),
        ([], "0 frames"),
    ],
)
def test_wrong_songs_stop_or_are_left_out(tmp_path, song, message):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(SONGS | {"train": [SONGS["train"][0], song, SONGS["train"][1]]}))
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path / "a.pickle", tmp_path / "out", verbose=False)
    manifest, found = prepared(tmp_path / "a.pickle", tmp_path / "skip", on_error="skip")
    assert_rolls(found["train"], [roll_of(song) for song in SONGS["train"]])
    assert [skip["source"] for skip in manifest["skipped"]] == ["a.pickle, train 1"]


# Pieces


def test_pieces_predict_every_frame_but_the_first_once():
    for time in (2, 3, 100, 101, 102, 201, 202, 350):
        roll = np.arange(time * 88).reshape(time, 88)
        pieces = cut(roll, 100)
        np.testing.assert_array_equal(np.concatenate([piece[1:] for piece in pieces]), roll[1:])
        assert [len(piece) - 1 for piece in pieces[:-1]] == [100] * (len(pieces) - 1) and 2 <= len(pieces[-1]) <= 101
        for i, piece in enumerate(pieces):
            np.testing.assert_array_equal(piece[0], roll[100 * i])
    assert [len(piece) for piece in cut(np.zeros((350, 88)), None)] == [350]


def test_only_training_songs_are_cut(tmp_path):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps({split: [[(60,)] * 10] for split in SONGS}))
    for piece_frames, lengths in ((4, [5, 5, 2]), (None, [10])):
        _, found = prepared(tmp_path / "a.pickle", tmp_path / str(piece_frames), piece_frames=piece_frames)
        assert [len(roll) for roll in found["train"]] == lengths
        assert [len(roll) for roll in found["valid"] + found["test"]] == [10, 10]
    with pytest.raises(ValueError, match="prepared with "):
        prepare(tmp_path / "a.pickle", tmp_path / "4", verbose=False, piece_frames=5)


# Arrays


def test_npz(tmp_path):
    train, test = np.stack([random_roll(101, i) for i in range(3)]), np.stack([random_roll(30, i) for i in range(2)])
    lengths = np.array([30, 12], "int32")
    bits = {"train": train, "valid": train[:1, :7], "test": test}
    for name, arrays in {
        "packed": {split: np.packbits(x, axis=-1) for split, x in bits.items()},
        "plain": {split: x.astype("float32") for split, x in bits.items()},
        "bool": {split: x.astype(bool) for split, x in bits.items()},
    }.items():
        np.savez_compressed(tmp_path / f"{name}.npz", **arrays, test_lengths=lengths)
        _, found = prepared(tmp_path, tmp_path / "out" / name, name=name)
        assert_rolls(found["train"], train)
        assert_rolls(found["valid"], [train[0, :7]])
        assert_rolls(found["test"], [test[0], test[1, :12]])


def test_wrong_npz(tmp_path):
    roll = np.zeros((2, 5, 88), "uint8")
    good = dict.fromkeys(SONGS, roll)
    path = tmp_path / "a.npz"
    for arrays, message in (
        ({"train": roll}, "no array 'valid'"),
        (good | {"valid": roll[..., :80]}, r"'valid' must be .*shape=\(2, 5, 80\)"),
        (good | {"valid": roll[0]}, "'valid' must be"),
        (good | {"test": roll + 2}, "'test' must be"),
        (good | {"test_lengths": np.array([5, 6])}, "'test_lengths' must be 2 integers up to 5"),
        (good | {"test_lengths": np.array([5])}, "'test_lengths' must be"),
        (good | {"test_lengths": np.array([5, 1.5])}, "'test_lengths' must be"),
        (good | {"test": np.array([None])}, "not an .npz file"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=message):
            prepare(path, tmp_path / "out", verbose=False)
    np.savez(path, **good)
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"no arrays", data.replace(b"\0" * 300, b"\1" * 300)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.npz is not an \.npz file of piano rolls"):
            prepare(path, tmp_path / "out", verbose=False)
    np.savez(path, **good, test_lengths=[5, 1])
    with pytest.raises(ValueError, match="test 1: 1 frames"):
        prepare(path, tmp_path / "stop", verbose=False)
    assert [len(roll) for roll in prepared(path, tmp_path / "skip", on_error="skip")[1]["test"]] == [5]


@needs_real
@pytest.mark.parametrize("name", ["jsb_chorales", "piano_midi"])
def test_real_rolls(tmp_path, name):
    manifest, found = prepared(REAL, tmp_path / "out", name=name)
    with np.load(REAL / f"{name}.npz") as arrays:
        assert_rolls(found["train"], np.unpackbits(arrays["train"], axis=-1).astype("float32"))
        np.testing.assert_array_equal([len(roll) for roll in found["test"]], arrays["test_lengths"])
    assert 3 < np.concatenate(found["test"]).sum(axis=1).mean() < 4
    # Of 16 streams side by side, each row goes on where the last but fifteen ended.
    for before, after in zip(found["train"], found["train"][16:], strict=False):
        np.testing.assert_array_equal(before[-1], after[0])
    assert manifest["skipped"] == []
    with pytest.raises(ValueError, match=r"several sets, .*nottingham.*: choose by `name`"):
        prepare(REAL, tmp_path / "other", verbose=False)
    for i, roll in enumerate(found["test"][:5] + found["train"][:20]):
        write_midi(roll, tmp_path / f"{i}.mid")
        np.testing.assert_array_equal(read_midi(tmp_path / f"{i}.mid"), roll)


# MIDI


def write_messages(path, *tracks, ticks_per_beat=100, **kwargs):
    """Tracks of (ticks after the one before, kind, fields)."""
    file = mido.MidiFile(ticks_per_beat=ticks_per_beat, **kwargs)
    for track in tracks:
        messages = mido.MidiTrack()
        for time, kind, fields in track:
            message = mido.MetaMessage if kind in ("set_tempo", "end_of_track") else mido.Message
            messages.append(message(kind, time=time, **fields))
        file.tracks.append(messages)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save(path)
    return path


def on(time, note, **fields):
    return time, "note_on", {"note": note, **fields}


def off(time, note, **fields):
    return time, "note_off", {"note": note, **fields}


def sounding(roll):
    return [tuple(np.flatnonzero(frame) + 21) for frame in roll]


def test_midi_at_the_start_of_each_frame(tmp_path):
    """120 beats a minute, 100 ticks a beat: a frame of half a second has 100 ticks."""
    path = write_messages(
        tmp_path / "a.mid",
        [on(0, 60), off(100, 60), on(50, 62), off(50, 62), on(0, 64), off(150, 64), (150, "end_of_track", {})],
    )
    # 62 sounds from 1.5 to 2 and misses both starts; 64 from 2 to 3.5, in the frames that start at 2 and 3.
    assert sounding(read_midi(path, 0.5)) == [(60,), (), (64,), (64,), ()]
    assert sounding(read_midi(path, 0.25)) == 2 * [(60,)] + [(), (62,)] + 3 * [(64,)] + 3 * [()]


def test_midi_tempo_velocity_drums_and_range(tmp_path):
    tempo = [(100, "set_tempo", {"tempo": 1_000_000}), (100, "set_tempo", {"tempo": 250_000})]
    notes = [
        on(0, 60),
        on(0, 70, channel=9),  # drums
        on(0, 20),
        on(0, 109),
        on(200, 61),  # at 0.5 + 1 seconds
        on(0, 60, velocity=0),  # that is its end
        off(0, 99),  # never began
        on(200, 61, velocity=9),  # at 2 seconds, once more
        on(0, 61, channel=3),
        off(200, 61),  # at 2.5; that of channel 3 stays to the end
        (200, "end_of_track", {}),  # at 3
    ]
    path = write_messages(tmp_path / "a.mid", tempo, notes)
    assert sounding(read_midi(path, 0.5)) == 3 * [(60,)] + 3 * [(61,)]


@pytest.mark.parametrize("step", [0.3, 0.125, 1 / 7, 0.01, 2.0, 20.0])
def test_midi_there_and_back(tmp_path, step):
    for seed, density in enumerate((0.05, 0.5, 0.95)):
        roll = random_roll(120, seed, density)
        roll[[0, 50, -2, -1]] = 0  # silence is kept too, at both ends
        write_midi(roll, tmp_path / "a.mid", step)
        np.testing.assert_array_equal(read_midi(tmp_path / "a.mid", step), roll)
    write_midi(np.zeros((9, 88)), tmp_path / "a.mid", step)
    assert read_midi(tmp_path / "a.mid", step).shape == (9, 88)


def test_frames_of_a_note_on_end_are_one_note(tmp_path):
    roll = np.zeros((6, 88))
    roll[1:4, 39] = roll[2, 40] = 1
    write_midi(roll, tmp_path / "a.mid", 0.5)
    events, now = [], 0
    for message in mido.MidiFile(tmp_path / "a.mid"):
        now += message.time
        if not message.is_meta:
            events.append((pytest.approx(now), message.type, message.note))
    assert events == [(0.5, "note_on", 60), (1.0, "note_on", 61), (1.5, "note_off", 61), (2.0, "note_off", 60)]


def test_midi_folders(tmp_path):
    for i, place in enumerate(("A/Train/x.mid", "A/train/deep/y.MIDI", "A/valid/x.mid", "A/TEST/x.mid", "B/x.mid")):
        write_messages(tmp_path / "in" / place, [on(0, 60 + i), off(200, 60 + i)])
    with pytest.raises(ValueError, match=r"B/x\.mid is in none of the folders train, valid, test"):
        prepare(tmp_path / "in", tmp_path / "out", verbose=False)
    manifest, found = prepared(tmp_path / "in", tmp_path / "out", name="a", step_seconds=0.5)
    assert {split: [sounding(roll) for roll in part] for split, part in found.items()} == {
        "train": [[(60,)] * 2, [(61,)] * 2],
        "valid": [[(62,)] * 2],
        "test": [[(63,)] * 2],
    }
    rule = {"valid": 0.1, "test": 0.1, "seed": 0}
    assert manifest["identity"]["settings"] == {"piece_frames": 100, "step_seconds": 0.5, **rule}
    archive = shutil.make_archive(tmp_path / "a", "gztar", tmp_path / "in")
    assert prepared(archive, tmp_path / "out2", name="a", step_seconds=0.5)[0] == manifest
    for split in SONGS:
        write_messages(tmp_path / "in" / "C" / split / "x.mid", [on(0, 60), off(200, 60)])
    (tmp_path / "in" / "B" / "x.mid").unlink()
    with pytest.raises(ValueError, match="several sets, A, C: choose"):
        prepare(tmp_path / "in", tmp_path / "other", verbose=False)
    (tmp_path / "in" / "C" / "valid" / "x.mid").unlink()
    with pytest.raises(ValueError, match="No MIDI file is in a folder 'valid'"):
        prepare(tmp_path / "in", tmp_path / "other", verbose=False, name="c")
    with pytest.raises(FileNotFoundError, match="is called 'nottingham'"):
        prepare(tmp_path / "in", tmp_path / "other", verbose=False, name="nottingham")


def test_midi_without_folders_is_dealt_out(tmp_path):
    for i in range(10):
        write_messages(tmp_path / "in" / f"{i % 2}" / f"{i}.mid", [on(0, 60 + i), off(600, 60 + i)])
    dealt = {}
    for seed in (0, 1):
        _, found = prepared(tmp_path / "in", tmp_path / str(seed), seed=seed, test=0.3, piece_frames=4)
        assert [len(part) for part in found.values()] == [6 * 3, 1, 3]  # 10 frames in pieces of 4 + 4 + 1
        dealt[seed] = {split: {sounding(roll)[0][0] for roll in part} for split, part in found.items()}
        assert sorted(note for notes in dealt[seed].values() for note in notes) == list(range(60, 70))
    assert dealt[0] != dealt[1]


def test_wrong_midi(tmp_path):
    whole = write_messages(tmp_path / "in" / "good.mid", [on(0, 60), off(300, 60)]).read_bytes()
    for name, content in {
        "cut.mid": whole[:-6],
        "header.mid": whole[:10],
        "empty.mid": b"",
        "text.mid": b"a text that is called .mid",
        "smpte.mid": whole[:12] + struct.pack(">h", -25 * 256 + 40) + whole[14:],
    }.items():
        (tmp_path / "in" / name).write_bytes(content)
    write_messages(tmp_path / "in" / "short.mid", [on(0, 60), off(10, 60)])
    write_messages(tmp_path / "in" / "type2.mid", [on(0, 60), off(300, 60)], type=2)
    write_messages(tmp_path / "in" / "years.mid", [on(0, 60), off(2**28 - 1, 60)], ticks_per_beat=1)
    for name, message in {
        "cut.mid": "not a whole MIDI file: EOFError",
        "header.mid": "not a whole MIDI file",
        "empty.mid": "not a whole MIDI file",
        "text.mid": "MThd not found",
        "smpte.mid": "ticks",
        "short.mid": "1 frames, of which the first is given",
        "type2.mid": "type 2",
        "years.mid": "more than 10000000 frames",
    }.items():
        folder = tmp_path / name
        for i in range(4):
            (folder / f"{i}").mkdir(parents=True)
            (folder / f"{i}" / "good.mid").write_bytes(whole)
        (folder / name).write_bytes((tmp_path / "in" / name).read_bytes())
        with pytest.raises(ValueError, match=f"{name}: .*{message}"):
            prepare(folder, tmp_path / "out" / name, verbose=False)
        manifest, found = prepared(folder, tmp_path / "skip" / name, on_error="skip", valid=0, test=0)
        assert len(found["train"]) == 4 and [skip["source"] for skip in manifest["skipped"]] == [name]


def test_without_mido(tmp_path, monkeypatch):
    write_messages(tmp_path / "in" / "a.mid", [on(0, 60), off(300, 60)])
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(ImportError, match=r'pip install "zf_keras\[datasets\]"'):
        prepare(tmp_path / "in", tmp_path / "out", verbose=False, on_error="skip")
    assert not (tmp_path / "out").exists()


def test_wrong_sources_and_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        prepare(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"\.npz, \.pickle, \.pkl, \.mid, \.midi"):
        prepare(tmp_path, tmp_path / "out")
    for arguments, message in (
        ({"piece_frames": 0}, "piece_frames=0"),
        ({"step_seconds": 0}, "step_seconds=0"),
        ({"on_error": "ignore"}, "on_error='ignore'"),
    ):
        (tmp_path / "a.pickle").write_bytes(pickle.dumps(SONGS))
        with pytest.raises(ValueError, match=message):
            prepare(tmp_path, tmp_path / "out", verbose=False, **arguments)


# Samples


def test_samples(tmp_path):
    write_messages(tmp_path / "in" / "a.mid", [on(0, 60), off(300, 60)])
    manifest, _ = prepared(tmp_path / "in", tmp_path / "out", step_seconds=0.25, valid=0, test=0)
    samples = np.stack([random_roll(40, i, 0.1) for i in range(3)]).astype("float32")
    (tmp_path / "samples").mkdir()
    paths = write_samples(samples, tmp_path / "samples", json.loads(json.dumps(manifest)))
    assert [path.name for path in paths] == ["sample-00.mid", "sample-01.mid", "sample-02.mid", "samples.png"]
    assert sorted(paths) == sorted((tmp_path / "samples").iterdir())
    for path, sample in zip(paths, samples, strict=False):
        np.testing.assert_array_equal(read_midi(path, 0.25), sample)
    assert mido.MidiFile(paths[0]).length == pytest.approx(10)


def test_the_picture_is_of_the_rolls(tmp_path):
    """More notes, more black; and low notes are at the bottom."""
    manifest = {"identity": {"settings": {"piece_frames": 100}}}
    samples = np.zeros((1, 50, 88), "float32")
    samples[:, :25, :44] = 1
    *_, path = write_samples(samples, tmp_path, manifest)
    black = image.imread(path)[..., 0] < 0.5
    height, width = black.shape
    quarter = (slice(height // 4, height // 3), slice(height // 2, 2 * height // 3))
    left, right = slice(width // 4, width // 3), slice(2 * width // 3, 3 * width // 4)
    assert [black[rows, columns].mean() for rows in quarter for columns in (left, right)] == [0, 0, 1, 0]
    assert mido.MidiFile(tmp_path / "sample-00.mid").length == pytest.approx(50 * 0.3)


def test_batches_give_the_first_frame(tmp_path):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(SONGS))
    prepare(tmp_path / "a.pickle", tmp_path / "out", verbose=False)
    batch = Batches(load_data(tmp_path / "out").train, 2, key=piano_rolls.KEY)[0]
    assert set(batch) == {"inputs", "mask"}
    np.testing.assert_array_equal(batch["inputs"][0, :4], roll_of(SONGS["train"][0]))
    assert batch["mask"].sum(axis=1).tolist() == [4, 7]
