"""Text: what is in the tokens, the parts and the vocabulary; the data sets of text."""

import functools
import io
import itertools
import sys
import tarfile

import numpy as np
import pytest

from zf_keras.data.shard_writer import write_shards
from zf_keras.data.shards import MANIFEST
from zf_keras.datasets import imdb, ptb, text, tokens
from zf_keras.datasets.sources import UnsafeArchiveError
from zf_keras.datasets.splits import Splits

LINES = "The cat sat.\nThe dog sat.\nA cat!\n\n" + "one two three four five six\n" + "The Owl sat.\n"
STORY = (
    "Mr. Smith met Dr. Jones at 3.15 p.m. in town. \u201cIs it far?\u201d he asked.\nIt was not!  He walked\non. "
    "Then, at last ...\n\nCHAPTER TWO\n\nThe U.S. was far away (or so they said.) Nobody knew. \n \nThe end."
)


def write(path, string, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(string if isinstance(string, bytes) else string.encode(encoding))
    return path


def prepared(source, directory, module=text, **kwargs):
    manifest = module.prepare(source, directory, verbose=False, **kwargs)
    return manifest, module.load_data(directory, verify=True)


def strings(sequences, manifest):
    return [text.decode(sequences[i], manifest) for i in range(len(sequences))]


def archive(path, members):
    with tarfile.open(path, "w:gz") as file:
        for name, string in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(string.encode())
            file.addfile(info, io.BytesIO(string.encode()))
    return path


def test_characters_of_one_file_are_cut_in_three(tmp_path):
    string = "".join(f"{i} \u00e4\u4e16\U0001f600\0\n" for i in range(1000))
    source = write(tmp_path / "a.txt", "\ufeff" + string.replace("\n", "\r\n"))
    manifest, splits = prepared(source, tmp_path / "out", length=70)
    parts = ["".join(strings(part, manifest)) for part in splits]
    assert "".join(parts) == string
    assert [len(part) for part in parts] == [7556, 445, 889]  # 85, 5 and 10% of 8890
    for part, joined in zip(splits, parts, strict=True):
        assert set(part.lengths[:-1]) == {70} and part.lengths[-1] == len(joined) % 70
        assert part[0].dtype == "int32" and part[0].shape == (70,)
    vocabulary = manifest["survey"]["vocabulary"]
    assert vocabulary[:2] == ["\ufffd", ""] and sorted(vocabulary[2:]) == sorted(set(string))
    frequencies = [parts[0].count(character) for character in vocabulary[2:]]
    assert frequencies == sorted(frequencies, reverse=True)
    assert vocabulary[2:8] == [" ", "\u00e4", "\u4e16", "\U0001f600", "\0", "\n"]  # equally often: by code point
    assert text.model_arguments(manifest) == {"num_classes": 18, "start_token": 1, "unknown_token": 0}


def test_the_vocabulary_of_characters_is_of_the_training_part_and_cut(tmp_path):
    source = write(tmp_path / "a.tex", "aaaa" * 10 + "bbbccd" + "\ufffd" * 9 + "z" * 8)
    manifest, splits = prepared(source, tmp_path / "out", vocabulary_size=4, valid=0.0, test=8 / 63)
    assert manifest["survey"]["vocabulary"] == ["\ufffd", "", "a", "b"]
    assert splits.train[0].tolist() == [2] * 40 + [3] * 3 + [0] * 12
    assert splits.test[0].tolist() == [0] * 8 and len(splits.valid) == 0
    assert text.encode("abz", manifest).tolist() == [2, 3, 0] and text.encode("a", manifest).dtype == "int32"
    assert text.decode([1, 2, 3, 0], manifest) == "ab\ufffd"


def test_characters_of_a_folder_are_split_by_file(tmp_path):
    for i in range(20):
        write(tmp_path / "in" / f"{i % 3}" / f"{i}.txt", chr(ord("a") + i) * 5 + "!")
    write(tmp_path / "in" / "notes.md", "not read")
    manifest, splits = prepared(tmp_path / "in", tmp_path / "out", length=3)
    assert [len(part) for part in splits] == [2 * 17, 2 * 1, 2 * 2]
    letters = [{string[0] for string in strings(part, manifest)} - {"\ufffd"} for part in splits]
    assert len(letters[0]) == 17 and not letters[1] | letters[2]  # unknown: of other files


def test_words(tmp_path):
    source = write(tmp_path / "a.txt", LINES)
    options = {"level": "words", "sentences": "lines", "max_words": 5, "valid": 0.0, "test": 0.0}
    manifest, splits = prepared(source, tmp_path / "out", **options)
    vocabulary = ["<unk>", "<s>", "</s>", ".", "sat", "the", "cat", "!", "a", "dog", "owl"]
    assert manifest["survey"] == {
        "sentences": 4,
        "sentences_left_out": 1,
        "unreadable": {},
        "vocabulary": vocabulary,
    }
    assert [splits.train[i].tolist() for i in range(4)] == [
        [5, 6, 4, 3, 2],
        [5, 9, 4, 3, 2],
        [8, 6, 7, 2],
        [5, 10, 4, 3, 2],
    ]
    assert splits.train[0].dtype == "int32"
    assert text.encode("The UNICORN sat", manifest).tolist() == [5, 0, 4]
    assert text.decode([1, 5, 0, 2, 5], manifest) == "the <unk>"

    manifest, splits = prepared(source, tmp_path / "cut", **options, vocabulary_size=6)
    assert manifest["survey"]["vocabulary"] == vocabulary[:6]
    assert splits.train[2].tolist() == [0, 0, 0, 2]
    manifest, _ = prepared(source, tmp_path / "upper", **{**options, "lowercase": False})
    assert manifest["survey"]["vocabulary"][3:7] == [".", "The", "sat", "cat"]


def test_sentences_are_drawn_to_parts_by_the_seed(tmp_path):
    sentences = [f"word{i} word{i % 7} ." for i in range(2000)]
    for i in range(2):
        write(tmp_path / "in" / f"{i}.txt", "\n".join(sentences[i::2]))
    options = {"level": "words", "sentences": "lines"}
    manifest, splits = prepared(tmp_path / "in", tmp_path / "out", **options)
    # The words of the other parts are unknown; the vocabulary of all has them.
    whole, everything = prepared(tmp_path / "in", tmp_path / "all", **options, valid=0.0, test=0.0)
    assert sorted(strings(everything.train, whole)) == sorted(sentences)
    assert set(strings(splits.train, manifest)) < set(sentences)
    assert sum(map(len, splits)) == len(sentences)
    assert [len(part) for part in splits] == pytest.approx([1700, 100, 200], abs=45)
    for part in splits[1:]:
        others = {string.split()[0] for string in strings(part, manifest)}
        assert "<unk>" in others and not others & {f"word{i}" for i in range(7, 2000)}
    before = (tmp_path / "out" / "train-00000.npy").read_bytes()
    prepared(tmp_path / "in", tmp_path / "again", **options)
    assert (tmp_path / "again" / "train-00000.npy").read_bytes() == before
    prepared(tmp_path / "in", tmp_path / "other", **options, seed=1)
    assert (tmp_path / "other" / "train-00000.npy").read_bytes() != before
    with pytest.raises(ValueError, match="prepared with "):
        prepared(tmp_path / "in", tmp_path / "out", **options, seed=1)


@pytest.mark.parametrize("split", ["folders", "files"])
def test_parts_that_are_given(tmp_path, split):
    name = "corpus/{}/x.txt" if split == "folders" else "b/corpus.{}.txt"
    for part in Splits._fields:
        write(tmp_path / "in" / name.format(part), f"A {part} sentence. Another.")
    write(tmp_path / "in" / "readme.txt", "not read")
    manifest, splits = prepared(tmp_path / "in", tmp_path / "out", split=split)
    assert [strings(part, manifest)[0][:5] for part in splits] == ["A tra", "A \ufffda\ufffd", "A tes"]
    manifest, splits = prepared(tmp_path / "in", tmp_path / "words", split=split, level="words")
    assert strings(splits.train, manifest) == ["a train sentence .", "another ."]
    assert strings(splits.test, manifest) == ["a <unk> sentence .", "another ."]
    with pytest.raises(FileNotFoundError, match="valid part"):
        prepared(write(tmp_path / "train.txt", "one"), tmp_path / "none", split="files")
    (tmp_path / "in" / name.format("valid")).unlink()
    with pytest.raises(FileNotFoundError, match="valid part"):
        prepared(tmp_path / "in", tmp_path / "none", split=split)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis"])
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
def test_pieces_of_any_size_are_the_whole(tmp_path, encoding, piece):
    string = "a\u4e16\r\n\u4e16\u4e16b\r\u3042\u3044\nc" + ("\u00e4\ufeff\U0001f600" if encoding != "shift_jis" else "")
    source = write(tmp_path / "a.txt", string, encoding)
    found = "".join(tokens.read_text(source, encoding, piece))
    assert found == string.replace("\r\n", "\n").replace("\r", "\n")


def test_punkt_in_pieces(tmp_path):
    level = tokens.Words("punkt", 16, True, 100)
    sentences = [s.split() for s in tokens.split_sentences([STORY], level.starts)]
    assert [s[-1] for s in sentences] == [
        "town.", "far?\u201d", "asked.", "not!", "on.", "...", "TWO", "said.)", "knew.", "end.",
    ]  # fmt: skip
    for size in (1, 3, 10, 50):
        pieces = [STORY[i : i + size] for i in range(0, len(STORY), size)]
        assert [s.split() for s in tokens.split_sentences(pieces, level.starts)] == sentences
    # What follows says where a sentence ends.
    string = "A reference C<(?('...')...)> allows. It was (so?)... Then he. No."
    whole = list(tokens.split_sentences([string], level.starts))
    for i in range(len(string)):
        assert list(tokens.split_sentences([string[:i], string[i:]], level.starts)) == whole


def test_what_is_held_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "LONGEST", 50)
    found = list(tokens.split_sentences(["a" * 10] * 100, tokens._lines))
    assert "".join(found) == "a" * 1000 and max(map(len, found)) == 60
    monkeypatch.setattr(tokens, "COUNTED", 100)
    source = write(tmp_path / "a.txt", "".join(f"the word{i}\n" for i in range(500)))
    manifest, _ = prepared(source, tmp_path / "out", level="words", sentences="lines", vocabulary_size=50)
    counts, _ = tokens.Words("lines", 16, True, 50).count(tmp_path, "a.txt", {"train": (0.0, 1.0, 0)})
    assert len(counts) <= 100 and counts["the"] == 500
    assert len(manifest["survey"]["vocabulary"]) == 50 and manifest["survey"]["vocabulary"][3] == "the"


def test_many_shards_and_pieces_hold_the_same(tmp_path, monkeypatch):
    source = write(tmp_path / "a.txt", STORY * 30)
    whole = {}
    for level in tokens.LEVELS:
        manifest, splits = prepared(source, tmp_path / level, level=level)
        whole[level] = [strings(part, manifest) for part in splits]
    monkeypatch.setattr(text, "write_shards", functools.partial(write_shards, shard_bytes=1500))
    monkeypatch.setattr(tokens.read_text, "__defaults__", ("utf-8", 7))
    for level in tokens.LEVELS:
        manifest, splits = prepared(source, tmp_path / f"{level}-2", level=level)
        assert len(manifest["splits"]["train"]["shards"]) > 3
        assert [strings(part, manifest) for part in splits] == whole[level]


@pytest.mark.parametrize("level", tokens.LEVELS)
def test_interrupted_within_a_file_it_goes_on(tmp_path, monkeypatch, level):
    source = write(tmp_path / "a.txt", STORY * 30)
    monkeypatch.setattr(text, "write_shards", functools.partial(write_shards, shard_bytes=700))
    prepared(source, tmp_path / "whole", level=level)

    def interrupted(*args, sequences=tokens.LEVELS[level].sequences):
        yield from itertools.islice(sequences(*args), 40)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tokens.LEVELS[level], "sequences", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepared(source, tmp_path / "parts", level=level)
    assert (tmp_path / "parts" / "train-00000.npy").exists()
    monkeypatch.setattr(tokens.LEVELS[level], "count", None)  # the vocabulary is kept
    prepared(source, tmp_path / "parts", level=level)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "parts" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("level", ["characters", "words"])
@pytest.mark.parametrize("bad", [b"good words.\n" * 3 + b"\xff", b"\xe4\xb8", b"", b"\xef\xbb\xbf"])
def test_files_that_are_not_text_stop_or_are_skipped(tmp_path, level, bad):
    for i in range(20):
        write(tmp_path / "in" / f"{i}.txt", "good words.\n" * 5)
    write(tmp_path / "in" / "bad.txt", bad)
    options = {"level": level, "sentences": "lines", "length": 12}
    reason = {0: "empty", 3: "empty", 2: "not utf-8 at byte 0", 37: "not utf-8 at byte 36"}[len(bad)]
    with pytest.raises(ValueError, match=rf"bad\.txt: .*{reason}"):
        prepared(tmp_path / "in", tmp_path / "stop", **options)
    assert not (tmp_path / "stop" / MANIFEST).exists()
    manifest, splits = prepared(tmp_path / "in", tmp_path / "skip", **options, on_error="skip")
    assert len(manifest["skipped"]) == 1 and "bad.txt" in manifest["skipped"][0]["source"]
    assert reason in manifest["skipped"][0]["error"] and manifest["skipped"][0]["kept"] == 0
    assert sum(map(len, splits)) == 100
    assert {string.strip() for part in splits for string in strings(part, manifest)} <= {"good words.", "good words ."}


@pytest.mark.parametrize("piece", [1, 4, 100])
def test_the_offset_of_a_wrong_byte_across_pieces(tmp_path, piece):
    source = write(tmp_path / "a.txt", "\u4e16\u4e16".encode() + b"\xe4\xb8z")
    with pytest.raises(ValueError, match="not utf-8 at byte 6"):
        list(tokens.read_text(source, piece=piece))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "letters"}, "`level` must be one of 'characters', 'words'"),
        ({"length": 1}, "`length` must be > 1"),
        ({"vocabulary_size": 2}, "`vocabulary_size` must be > 2"),
        ({"level": "words", "vocabulary_size": 3}, "`vocabulary_size` must be > 3"),
        ({"level": "words", "max_words": 0}, "`max_words`"),
        ({"level": "words", "max_words": 1}, "No words are left to train on.*'sentences_left_out': 4"),
        ({"level": "words", "sentences": "none"}, "`sentences`"),
        ({"split": "thirds"}, "`split`"),
        ({"valid": 0.5, "test": 0.5}, "`valid` \\+ `test` must be < 1"),
        ({"valid": -0.1}, "`valid`"),
        ({"encoding": "klingon"}, "`encoding`.*klingon"),
        ({"encoding": "ascii"}, "a.txt: not ascii at byte 2"),
        ({"on_error": "ignore"}, "`on_error`"),
    ],
)
def test_errors(tmp_path, options, message):
    source = write(tmp_path / "a.txt", "On\u00e9 two. Three four! Five six? Seven eight.")
    with pytest.raises(ValueError, match=message):
        prepared(source, tmp_path / "out", **options)
    assert not (tmp_path / "out" / MANIFEST).exists()


@pytest.mark.parametrize("package", ["tokenizers", "nltk.tokenize.punkt"])
def test_a_package_that_is_not_there(tmp_path, monkeypatch, package):
    source = write(tmp_path / "a.txt", LINES)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "zf_keras\[datasets\]"'):
        prepared(source, tmp_path / "out", level="words")
    prepared(source, tmp_path / "out")


def test_measures(tmp_path):
    source = write(tmp_path / "a.txt", LINES)
    manifest, splits = prepared(source, tmp_path / "c", valid=0.0, test=0.0, length=10)
    count = splits.train.lengths.sum()
    assert count == len(LINES)
    scores = -splits.train.lengths * np.log(8.0)  # one of eight, uniformly
    assert text.measures(scores, splits.train) == pytest.approx({"bits a character": 3.0})
    manifest, splits = prepared(source, tmp_path / "w", level="words", sentences="lines", valid=0.0, test=0.0)
    scores = np.zeros(5, "float32")
    scores[1] = -np.log(2.0) * (5 + 5 + 4 + 7 + 5)
    assert manifest["survey"]["sentences"] == 5
    assert text.measures(scores, splits.train) == pytest.approx({"perplexity": 2.0})


def test_samples(tmp_path):
    source = write(tmp_path / "a.txt", LINES)
    manifest, _ = prepared(source, tmp_path / "c")
    samples = np.stack([text.encode("cat\n", manifest), text.encode("dog!", manifest)])
    assert text.write_samples(samples, tmp_path, manifest) == [tmp_path / "samples.txt"]
    assert (tmp_path / "samples.txt").read_bytes() == b"cat\n\n\ndog!\n"
    manifest, _ = prepared(source, tmp_path / "w", level="words", valid=0.0, test=0.0)
    samples = np.array([[*text.encode("the cat", manifest), 2, 5], text.encode("The dog sat .", manifest)])
    text.write_samples(samples, tmp_path, manifest)
    assert (tmp_path / "samples.txt").read_text() == "the cat\n\nthe dog sat .\n"


def test_imdb(tmp_path):
    reviews = {
        f"aclImdb/{folder}/{i}_{i % 10}.txt": f"Film {i} was<br /><br />Good. Mr. {folder} liked it!<br />{'so ' * 17}"
        for folder in ("train/pos", "train/neg", "train/unsup", "test/pos", "test/neg")
        for i in range(20)
    }
    others = {"aclImdb/README.txt": "none", "aclImdb/train/urls_pos.txt": "http://x"}
    source = archive(tmp_path / "aclImdb_v1.tar.gz", reviews | others)
    manifest, splits = prepared(source, tmp_path / "out", imdb)
    found = [strings(part, manifest) for part in splits]
    assert sum(map(len, found)) == 300 and all(found)
    assert manifest["survey"]["sentences"] == 300 and manifest["survey"]["sentences_left_out"] == 100
    for string in itertools.chain(*found):
        assert string == "good ." or string.startswith("film ") or string.endswith(" liked it !")
    assert len([s for s in found[0] if s == "mr . train / pos liked it !"]) > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aclImdb_v1.tar.gz", "out"]
    with tarfile.open(source) as file:
        file.extractall(tmp_path / "folder", filter="data")
    _, again = prepared(tmp_path / "folder" / "aclImdb", tmp_path / "again", imdb)
    assert [strings(part, manifest) for part in again] == found
    with pytest.raises(ValueError, match="holds the data set 'imdb'"):
        text.load_data(tmp_path / "out")
    write(tmp_path / "none" / "a.txt", "no review")
    with pytest.raises(FileNotFoundError, match="No reviews"):
        prepared(tmp_path / "none", tmp_path / "other", imdb)


def test_penn_treebank(tmp_path):
    lines = {split: f" aer <unk> {split} \n n't N\n" for split in Splits._fields}
    words = {f"./simple-examples/data/ptb.{split}.txt": line for split, line in lines.items()}
    spaced = {
        f"simple-examples/data/ptb.char.{split}.txt": " ".join(line.replace(" ", "_")).replace(" \n ", "\n") + " "
        for split, line in lines.items()
    }
    assert spaced["simple-examples/data/ptb.char.test.txt"].startswith("_ a e r _ < u n k > _")
    for name, members in (("words", words), ("spaced", spaced), ("both", words | spaced)):
        source = archive(tmp_path / f"{name}.tgz", members)
        manifest, splits = prepared(source, tmp_path / name, ptb, length=10)
        assert "".join(strings(splits.train, manifest)) == lines["train"]
        test = "".join(strings(splits.test, manifest))
        assert test == lines["test"].replace("s", "\ufffd")  # not in the training part
    archive(tmp_path / "part.tgz", {name: line for name, line in words.items() if "valid" not in name})
    with pytest.raises(FileNotFoundError, match=r"ptb\.valid\.txt"):
        prepared(tmp_path / "part.tgz", tmp_path / "part", ptb)


@pytest.mark.parametrize("module", [text, imdb, ptb])
def test_an_archive_that_climbs_out_is_refused(tmp_path, module):
    source = archive(tmp_path / "a.tar.gz", {"ptb.train.txt": "good", "../evil.txt": "evil"})
    with pytest.raises(UnsafeArchiveError, match=r"evil\.txt"):
        prepared(source, tmp_path / "deep" / "out", module)
    assert [path.name for path in tmp_path.rglob("*.txt")] == []


@pytest.mark.parametrize("suffixes", [[1], ".txt", None])
def test_suffixes_are_strings(tmp_path, suffixes):
    with pytest.raises(ValueError, match="`suffixes` must be a tuple of strings"):
        text.prepare(tmp_path, tmp_path / "data", suffixes=suffixes)
