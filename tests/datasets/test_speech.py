"""Speech: every format is read exactly, what is malformed is named, and samples come back as they were."""

import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from zf_keras.datasets import blizzard, ljspeech, recordings, speech, timit
from zf_keras.datasets.sources import UnsafeArchiveError

soundfile = pytest.importorskip("soundfile")
FRAME, RATE = 10, 8000


def wave(length=95, seed=0):
    """Samples of 16 bits, those at the ends of the range too."""
    samples = np.random.default_rng(seed).integers(-32768, 32768, length).astype("int16")
    samples[:2] = -32768, 32767
    return samples


def write(path, samples, rate=RATE, subtype="PCM_16", format=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    format = format or {".flac": "FLAC", ".wav": "WAV"}[path.suffix.lower()]
    soundfile.write(path, samples, rate, subtype, format=format)


def tree(folder, count=8, length=95):
    """Files of as many lengths."""
    waves = {f"{i % 2}/{i}.wav": wave(length + 7 * i, i) for i in range(count)}
    for name, samples in waves.items():
        write(folder / name, samples)
    return waves


def prepare(source, directory, **kwargs):
    return speech.prepare(source, directory, **{"frame_size": FRAME, "verbose": False, **kwargs})


def read(path, **kwargs):
    return list(speech.read_frames(path, FRAME, **kwargs))


def ulaw(samples):
    """What G.711's mu-law makes of samples, from its definition (segments of 8 bits, a bias of 132 in 16)."""
    magnitude = np.minimum(np.abs(samples.astype("int64")), 32635) + 132
    step = 2 ** (np.floor(np.log2(magnitude)).astype("int64") - 4)
    return (np.sign(samples) * (magnitude // step * step + step // 2 - 132)).astype("int16")


@pytest.mark.parametrize(
    ("name", "format", "subtype"),
    [
        ("a.wav", "WAV", "PCM_16"),
        ("a.WAV", "WAVEX", "PCM_16"),
        ("a.wav", "RF64", "PCM_16"),
        ("a.flac", "FLAC", "PCM_16"),
        ("a.sph", "NIST", "PCM_16"),
        ("a.WAV", "NIST", "PCM_16"),
    ],
)
def test_16_bits_are_read_as_they_are(tmp_path, name, format, subtype):
    write(tmp_path / name, wave(), format=format, subtype=subtype)
    (frames,) = read(tmp_path / name, sample_rate=RATE)
    assert frames.dtype == "int16"
    np.testing.assert_array_equal(frames, wave()[:90].reshape(9, FRAME))


def test_other_samples_come_to_16_bits(tmp_path):
    samples = wave(90)
    wide = samples.astype("int32") * 65536 + np.random.default_rng(1).integers(0, 65536, 90)
    for name in ("a.wav", "a.flac"):
        write(tmp_path / name, wide.astype("int32"), subtype="PCM_24")
        np.testing.assert_array_equal(np.ravel(read(tmp_path / name)), samples)
    write(tmp_path / "u.wav", samples, subtype="ULAW")
    np.testing.assert_array_equal(np.ravel(read(tmp_path / "u.wav")), ulaw(samples))
    for subtype in ("FLOAT", "DOUBLE"):
        write(tmp_path / "f.wav", np.array([0, 0.5, -0.25, 1, -1, 1.5, -3, 1e-5, 2e-5, -0.1]), subtype=subtype)
        expected = [[0, 16384, -8192, 32767, -32767, 32767, -32768, 0, 1, -3277]]
        assert read(tmp_path / "f.wav")[0].tolist() == expected


def test_mp3_in_pieces_is_as_it_is_whole(tmp_path):
    """soundfile's own blocks of an MP3 are not: it goes back after each, and the decoder can't."""
    if "MP3" not in soundfile.available_formats():
        pytest.skip("libsndfile has no MP3")
    tone = 0.5 * np.sin(np.arange(40_000) ** 1.3 / 50)
    write(tmp_path / "a.mp3", tone, 16_000, "MPEG_LAYER_III", "MP3")
    expected, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32")
    pieces = list(speech.read_frames(tmp_path / "a.mp3", 200, 4))
    assert len(pieces) == 50
    np.testing.assert_allclose(np.ravel(pieces), expected * 32767, atol=0.6)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"truncated: .* where the header says 40000"):
        list(speech.read_frames(tmp_path / "a.mp3", 200))


def test_pieces_and_what_fills_none(tmp_path):
    path, samples = tmp_path / "a.wav", wave(95)
    write(path, samples)
    padded = np.append(samples, np.zeros(25, "int16"))
    for kwargs, expected in (
        ({}, [samples[:90]]),
        ({"last": "pad"}, [padded[:100]]),
        ({"piece_frames": 4}, [samples[:40], samples[40:80]]),
        ({"piece_frames": 4, "last": "pad"}, [padded[:40], padded[40:80], padded[80:]]),
    ):
        found = read(path, **kwargs)
        assert [frames.shape for frames in found] == [(len(one) // FRAME, FRAME) for one in expected]
        for frames, one in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.ravel(frames), one)
    write(path, samples[:80])
    assert len(read(path, piece_frames=4, last="pad")) == 2  # nothing is left that needs a piece of zeros


def test_whole_recordings_longer_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "BLOCK", 32)
    write(tmp_path / "a.flac", wave(95))
    np.testing.assert_array_equal(np.ravel(read(tmp_path / "a.flac")), wave(95)[:90])


def test_channels(tmp_path):
    path, samples = tmp_path / "a.wav", wave(20).reshape(10, 2)
    write(path, samples)
    with pytest.raises(ValueError, match="2 channels: choose `channels`"):
        read(path)
    np.testing.assert_array_equal(read(path, channels="first")[0][0], samples[:, 0])
    np.testing.assert_array_equal(read(path, channels="mean")[0][0], np.rint(samples.mean(axis=1)))
    write(path, np.array([[0.5, 1.0]] * 10), subtype="FLOAT")
    assert read(path, channels="mean")[0][0].tolist() == [24575] * 10


def test_what_is_prepared_is_what_is_loaded(tmp_path):
    waves = tree(tmp_path / "speech")
    manifest = prepare(tmp_path / "speech", tmp_path / "data", valid=0.2, test=0.3)
    splits = speech.load_data(tmp_path / "data", standardize=False, verify=True)
    assert [len(split) for split in splits] == [4, 2, 2]
    found = {split[i].tobytes(): len(split[i]) for split in splits for i in range(len(split))}
    assert found == {
        one[: len(one) // FRAME * FRAME].astype("float32").tobytes(): len(one) // FRAME for one in waves.values()
    }
    train = np.concatenate([splits.train[i] for i in range(4)]).astype("float64")
    expected = {"mean": train.mean(), "std": train.std()}
    assert manifest["statistics"] == pytest.approx(expected, rel=1e-12)
    assert manifest["survey"] == {"sample_rate": RATE} and manifest["frame"] == {"shape": [FRAME], "dtype": "int16"}
    standard = speech.load_data(tmp_path / "data")
    assert standard.train.manifest == manifest and standard.train[0].dtype == splits.train[0].dtype == "float32"
    np.testing.assert_array_equal(standard.test.lengths, [len(splits.test[i]) for i in range(2)])
    np.testing.assert_allclose(
        standard.test[1], (splits.test[1] - expected["mean"]) / expected["std"], rtol=1e-5, atol=1e-6
    )
    again = prepare(tmp_path / "speech", tmp_path / "again", valid=0.2, test=0.3)
    assert again == manifest
    with pytest.raises(ValueError, match=r"prepared with seed=0, not seed=1"):
        prepare(tmp_path / "speech", tmp_path / "data", valid=0.2, test=0.3, seed=1)
    assert prepare(tmp_path / "speech", tmp_path / "other", valid=0.2, test=0.3, seed=1)["splits"] != manifest["splits"]


def test_a_recording_too_short_for_a_sequence_is_counted(tmp_path):
    tree(tmp_path / "speech" / "train", 3)
    write(tmp_path / "speech" / "train" / "short.wav", wave(9))
    manifest = prepare(tmp_path / "speech", tmp_path / "data", split="folders")
    assert manifest["splits"]["train"]["empty"] == 1 and len(speech.load_data(tmp_path / "data").train) == 3
    manifest = prepare(tmp_path / "speech", tmp_path / "padded", split="folders", last="pad")
    assert manifest["splits"]["train"]["empty"] == 0 and len(speech.load_data(tmp_path / "padded").train) == 4


def test_folders_are_splits_where_asked(tmp_path):
    for i, name in enumerate(("top/Train/a.wav", "top/Train/b.wav", "top/VALID/a.wav", "top/test/x/a.wav")):
        write(tmp_path / "speech" / name, wave(50, i))
    prepare(tmp_path / "speech", tmp_path / "data", split="folders")
    splits = speech.load_data(tmp_path / "data", standardize=False)
    assert [len(split) for split in splits] == [2, 1, 1]
    np.testing.assert_array_equal(np.ravel(splits.test[0]), wave(50, 3))
    write(tmp_path / "speech" / "top" / "c.wav", wave())
    with pytest.raises(ValueError, match=r"top/c\.wav is in no folder named train, valid, test"):
        prepare(tmp_path / "speech", tmp_path / "more", split="folders")


def test_an_utterance_in_two_files_is_one(tmp_path):
    for name in ("SA1.WAV", "SA1.WAV.wav", "b.2.wav", "b.1.wav", "b.1.flac"):
        write(tmp_path / name, wave())
    assert speech.utterances(tmp_path) == ["SA1.WAV", "b.1.flac", "b.2.wav"]


def cut(count):
    return lambda data: data[:-count]


MALFORMED = {
    "cut.wav": ({}, cut(2), "truncated: 188 bytes of samples, where the header says 190"),
    "cut24.wav": ({"subtype": "PCM_24"}, cut(100), "truncated: 186 bytes of samples, where the header says 285"),
    "cutrf64.wav": ({"format": "RF64"}, cut(4), "truncated: 186 bytes of samples, where the header says 190"),
    "header.wav": ({}, lambda data: data[:20], "not audio that can be read"),
    "cut.flac": ({}, cut(20), "truncated"),
    "cut.sph": ({"format": "NIST"}, cut(20), "truncated: 85 samples, where the header says 95"),
    "rate.wav": ({"rate": 16_000}, None, "16000 samples a second, where 8000 are expected"),
    "stereo.wav": ({"samples": wave(96).reshape(-1, 2)}, None, "2 channels"),
    "nan.wav": ({"samples": np.array([0.1, np.nan] * 9), "subtype": "FLOAT"}, None, "nan or infinite"),
    "empty.wav": ({}, lambda data: b"", "the file is empty"),
    "silent.wav": ({"samples": wave()[:0]}, None, "holds no samples"),
    "text.wav": ({}, lambda data: b"All human beings are born free. " * 99, "not audio that can be read: .*recognised"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_stop_or_are_counted(tmp_path, name):
    kwargs, change, message = MALFORMED[name]
    tree(tmp_path / "speech" / "train", 3)
    path = tmp_path / "speech" / "train" / "1" / name
    write(path, **{"samples": wave(), "format": "FLAC" if path.suffix == ".flac" else "WAV", **kwargs})
    if change:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=f"^train/1/{name}: .*{message}"):
        prepare(tmp_path / "speech", tmp_path / "data", split="folders")
    manifest = prepare(tmp_path / "speech", tmp_path / "skip", split="folders", on_error="skip")
    assert [skip["source"] for skip in manifest["skipped"]] == [f"train/1/{name}"]
    assert len(speech.load_data(tmp_path / "skip").train) == 3


def test_sizes_that_are_odd_or_not_known_are_no_error(tmp_path):
    path = tmp_path / "a.wav"
    write(path, wave(), subtype="PCM_24")  # 285 bytes and one more, that some programs leave out
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(np.ravel(read(path)), wave()[:90])
    data = path.read_bytes()
    path.write_bytes(data[:36] + b"LIST" + struct.pack("<I", 5) + b"notes\0" + data[36:-3])  # another odd chunk
    with pytest.raises(ValueError, match="truncated: 282 bytes of samples, where the header says 285"):
        read(path)
    write(path, wave())
    path.write_bytes(path.read_bytes().replace(b"data" + struct.pack("<I", 190), b"data\xff\xff\xff\xff"))
    np.testing.assert_array_equal(np.ravel(read(path)), wave()[:90])
    path = tmp_path / "a.flac"
    write(path, wave())
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # as it is written to a pipe: 0 samples in all
    path.write_bytes(data)
    np.testing.assert_array_equal(np.ravel(read(path)), wave()[:90])


def test_a_first_file_without_a_rate_is_named(tmp_path):
    tree(tmp_path / "train")
    (tmp_path / "train" / "0" / "0.wav").write_bytes(b"no audio")
    with pytest.raises(ValueError, match=r"^train/0/0\.wav: not audio"):
        prepare(tmp_path, tmp_path / "data", split="folders")
    manifest = prepare(tmp_path, tmp_path / "skip", split="folders", on_error="skip")
    assert manifest["survey"] == {"sample_rate": RATE} and len(manifest["skipped"]) == 1
    with pytest.raises(ValueError, match=r"1\.wav: 8000 samples a second, where 44100 are expected"):
        prepare(tmp_path / "train" / "1", tmp_path / "rate", sample_rate=44_100, test=0, valid=0)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"frame_size": 0}, "`frame_size` must be a positive integer"),
        ({"piece_frames": 2.5}, "`piece_frames` must be a positive integer"),
        ({"sample_rate": -1}, "`sample_rate` must be a positive integer"),
        ({"last": "keep"}, "`last` must be one of 'drop', 'pad'"),
        ({"channels": 2}, "`channels` must be one of"),
        ({"split": "file"}, "`split` must be one of 'random', 'folders'"),
        ({"valid": 1.0}, r"`valid` must be in \[0, 1\)"),
        ({"valid": 0.5, "test": 0.5}, "8 sources are too few"),
    ],
)
def test_arguments(tmp_path, kwargs, message):
    tree(tmp_path / "speech")
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path / "speech", tmp_path / "data", **kwargs)


def test_a_silent_training_part_is_not_standardised(tmp_path):
    for i in range(3):
        write(tmp_path / "speech" / f"{i}.wav", np.zeros(50, "int16"))
    prepare(tmp_path / "speech", tmp_path / "data")
    with pytest.raises(ValueError, match="can't be standardised"):
        speech.load_data(tmp_path / "data")
    assert not speech.load_data(tmp_path / "data", standardize=False).train[0].any()


def test_without_soundfile(tmp_path, monkeypatch):
    tree(tmp_path / "speech")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ImportError, match=r'pip install "zf_keras\[datasets\]"'):
        prepare(tmp_path / "speech", tmp_path / "data", sample_rate=RATE, on_error="skip")


def test_archives(tmp_path):
    waves = tree(tmp_path / "speech")
    with zipfile.ZipFile(tmp_path / "speech.zip", "w") as archive:
        for name in waves:
            archive.write(tmp_path / "speech" / name, name)
    assert prepare(tmp_path / "speech.zip", tmp_path / "a") == prepare(tmp_path / "speech", tmp_path / "b")
    assert not list((tmp_path / "a").glob("partial-*"))
    with zipfile.ZipFile(tmp_path / "speech.zip", "a") as archive:
        archive.write(tmp_path / "speech" / "0" / "0.wav", "../evil.wav")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafeArchiveError, match=r"\.\./evil\.wav"):
        prepare(tmp_path / "speech.zip", tmp_path / "c" / "d")
    assert [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path not in before] == []


def test_bits_a_sample_of_white_noise(tmp_path):
    """Standardised Gaussian noise scored as N(0, 1) costs what N(0, std) costs in 16-bit units: its entropy."""
    std, rng = 1000.0, np.random.default_rng(0)
    for i in range(4):
        write(tmp_path / "speech" / f"{i}.wav", np.rint(rng.normal(0, std, 25_000)).astype("int16"))
    manifest = prepare(tmp_path / "speech", tmp_path / "data")
    std = manifest["statistics"]["std"]
    for split, raw in zip(*(speech.load_data(tmp_path / "data", s) for s in (True, False)), strict=True):
        scores = [-0.5 * np.sum(split[i] ** 2.0 + np.log(2 * np.pi), dtype="float64") for i in range(len(split))]
        samples = (
            np.concatenate([raw[i].ravel() for i in range(len(raw))]).astype("float64") - manifest["statistics"]["mean"]
        )
        direct = np.mean(0.5 * (samples / std) ** 2 + np.log(std * np.sqrt(2 * np.pi))) / np.log(2)
        bits = speech.measures(np.array(scores), split)
        assert bits == {"bits a sample": pytest.approx(direct, rel=1e-6)}
        assert bits["bits a sample"] == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * 1000.0**2), abs=0.03)


def test_samples_are_written_in_16_bits(tmp_path):
    manifest = {"survey": {"sample_rate": 22_050}, "statistics": {"mean": 20.0, "std": 1000.0}}
    samples = np.random.default_rng(0).normal(size=(3, 4, FRAME)).astype("float32")
    samples[1, 0, :2] = 50, -50
    paths = speech.write_samples(samples, tmp_path, manifest)
    names = ["sample-00.wav", "sample-01.wav", "sample-02.wav", "samples.png"]
    assert [Path(path).name for path in paths] == names == sorted(path.name for path in tmp_path.iterdir())
    for sample, path in zip(samples, paths, strict=False):
        found, rate = soundfile.read(path, dtype="int16")
        info = soundfile.info(path)
        assert (rate, info.channels, info.subtype, info.format) == (22_050, 1, "PCM_16", "WAV")
        expected = np.clip(np.rint(sample.astype("float64") * 1000 + 20), -32768, 32767)
        np.testing.assert_array_equal(found, expected.ravel())
    assert paths[3].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("top", "change"), [("", str), ("data/timit/", str.lower), ("TIMIT/", str)])
def test_timit(tmp_path, top, change):
    samples = {}
    for part, speakers in (("TRAIN", [f"F{i:03d}0" for i in range(40)]), ("TEST", ["MABC0", "FDEF0"])):
        for i, speaker in enumerate(speakers):
            for sentence in ("SA1", "SX7"):
                name = change(f"{part}/DR{1 + i % 8}/{speaker}/{sentence}.WAV")
                samples[name] = np.full(400 if sentence == "SA1" else 600, len(samples), "int16")
                write(tmp_path / "source" / top / name, samples[name], 16_000, format="NIST")
    write(tmp_path / "source" / top / "DOC" / "how.wav", wave(), 44_100)  # no utterance
    manifest = timit.prepare(tmp_path / "source", tmp_path / "data", verbose=False)
    assert manifest["skipped"] == [] and manifest["survey"] == {"sample_rate": 16_000}
    splits = timit.load_data(tmp_path / "data", standardize=False, verify=True)
    names = list(samples)
    found = [{names[int(split[i][0, 0])] for i in range(len(split))} for split in splits]
    assert [len(part) for part in found] == [76, 4, 4] == [len(split) for split in splits]
    assert set().union(*found) == set(names)
    assert found[2] == {name for name in names if name.lower().startswith("test")}
    train, valid = ({name.split("/")[2] for name in part} for part in found[:2])
    assert len(valid) == 2 and not valid & train  # 5 % of 40 speakers, with all they say
    assert timit.prepare(tmp_path / "source", tmp_path / "again", verbose=False) == manifest
    assert timit.load_data(tmp_path / "data").train[0].shape in ((2, 200), (3, 200))
    with pytest.raises(ValueError, match="holds the data set 'timit', not 'blizzard'"):
        blizzard.load_data(tmp_path / "data")


def test_timit_needs_both_parts(tmp_path):
    write(tmp_path / "TRAIN" / "DR1" / "FCJF0" / "SA1.WAV", wave(), 16_000, format="NIST")
    with pytest.raises(FileNotFoundError, match="has no TEST/DR1/SPEAKER"):
        timit.prepare(tmp_path, tmp_path / "data", verbose=False)


def test_blizzard_is_half_seconds_at_16_khz(tmp_path):
    for i in range(20):
        write(tmp_path / "source" / f"{i}.{('wav', 'flac')[i % 2]}", wave(20_000, i), 16_000)
    blizzard.prepare(tmp_path / "source", tmp_path / "data", verbose=False)
    splits = blizzard.load_data(tmp_path / "data")
    assert [len(split) for split in splits] == [36, 2, 2]
    assert {one.shape for one in splits.train} == {(40, 200)} and blizzard.DATASET.measures is speech.measures
    write(tmp_path / "source" / "z.wav", wave(20_000), 44_100)
    with pytest.raises(ValueError, match=r"z\.wav: 44100 samples a second, where 16000"):
        blizzard.prepare(tmp_path / "source", tmp_path / "more", verbose=False)


def test_ljspeech(tmp_path):
    for i in range(20):
        write(tmp_path / "LJSpeech-1.1" / "wavs" / f"LJ001-{i:04d}.wav", wave(1000 + 200 * i, i), 22_050)
    manifest = ljspeech.prepare(tmp_path / "LJSpeech-1.1", tmp_path / "data", verbose=False)
    splits = ljspeech.load_data(tmp_path / "data")
    assert sorted(np.concatenate([split.lengths for split in splits])) == list(range(5, 25))
    assert [len(split) for split in splits] == [18, 1, 1] and manifest["survey"]["sample_rate"] == 22_050
    assert json.loads((tmp_path / "data" / "manifest.json").read_text())["identity"]["dataset"] == "ljspeech"
