"""Any text, as sequences of characters or of the words of sentences.

Source, licence and citation: those of the text that is prepared.

Layout: a text file, a folder with text files (.txt) anywhere below it, or an archive of such a folder. The parts are,
by `split`,

    "shares"     shares of the text. Characters: one file is cut in three, the training part first and the test part
                 last; of several files, whole files are drawn at random. Words: sentences are drawn at random.
    "folders"    the files below folders train/, valid/ and test/; what lies elsewhere is not read
    "files"      the files train.txt, valid.txt and test.txt, or such as corpus.train.txt

Tokens are numbered by how often they are in the training part, after the special ones: 0, an unknown character or word;
1, the start, which is never predicted but is what a model reads before the first step; and of words 2, the end, the
last step of every sentence. A text of any size is read in pieces, and never held whole.
"""

import contextlib
from collections import Counter
from pathlib import Path

import numpy as np

from zf_keras import units
from zf_keras.arguments import check_choice, check_rate
from zf_keras.data.batches import Mapped
from zf_keras.data.files import check_name, file_state, printable
from zf_keras.data.shard_writer import write_shards
from zf_keras.datasets import sources
from zf_keras.datasets.dataset import Dataset
from zf_keras.datasets.splits import Splits, load_splits
from zf_keras.datasets.tokens import LEVELS, START, UNKNOWN, Characters, Words, most_frequent


def prepare(
    source,
    directory,
    level="characters",
    length=100,
    sentences="punkt",
    max_words=16,
    lowercase=True,
    vocabulary_size=16_000,
    split="shares",
    valid=0.05,
    test=0.1,
    seed=0,
    suffixes=(".txt",),
    encoding="utf-8",
    on_error="stop",
    verbose=True,
):
    """Writes the tokens of a text to shards.

    Args:
        source: path. A text file, or a folder as in the layout, or an archive of it.
        directory: path. Where the shards go.
        level: `"characters"`: a sequence is a piece of a file, wherever it is cut; or `"words"`: a sentence and the
            token of its end. Defaults to `"characters"`.
        length: int > 1. Characters in a sequence; the last of a file may have fewer, but has two. Defaults to `100`.
        sentences: of words, `"punkt"`: running English text is split into sentences by nltk's Punkt; or `"lines"`:
            each line is one. Defaults to `"punkt"`.
        max_words: int. Longer sentences are left out, and counted in the manifest's survey; punctuation marks are
            words. Defaults to `16`.
        lowercase: bool. Whether words are lower-cased. Defaults to `True`.
        vocabulary_size: int. The most frequent tokens of the training part that are kept, with the special ones.
            Defaults to `16000`.
        split: `"shares"`, `"folders"` or `"files"`, as in the layout. Defaults to `"shares"`.
        valid: float. With `"shares"`, that of the validation part. Defaults to `0.05`.
        test: float. With `"shares"`, that of the test part. Defaults to `0.1`.
        seed: int. Of what is drawn at random with `"shares"`. Defaults to `0`.
        suffixes: tuple of str. Of the files of a folder, in lower case. Defaults to `(".txt",)`.
        encoding: str. Of the files. Defaults to `"utf-8"`.
        on_error: `"stop"` or `"skip"`, as for `write_shards`: a file that is skipped is left out whole. Defaults to
            `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        The manifest, a dict; its `"survey"` has the vocabulary.

    Raises:
        FileNotFoundError: there is no such text.
        ImportError: a package that words need is not installed.
        ValueError: an argument is wrong, a file is empty or not in `encoding`, or nothing is left of a part.
    """
    check_choice("level", level, LEVELS)
    check_choice("split", split, ("shares", "folders", "files"))
    if not isinstance(suffixes, list | tuple) or not all(isinstance(each, str) for each in suffixes):
        raise ValueError(f"`suffixes` must be a tuple of strings, such as ('.txt',). Received: suffixes={suffixes!r}.")
    if level == "characters":
        level = Characters(length, vocabulary_size, encoding)
    else:
        level = Words(sentences, max_words, lowercase, vocabulary_size, encoding)
    source = Path(source)
    one = source.is_file() and not source.name.lower().endswith(sources.ARCHIVES)
    with contextlib.nullcontext(source.parent) if one else sources.opened(source, directory) as folder:
        files = [source.name] if one else sources.files(folder, suffixes)
        rule = {"split": split}
        if split == "shares":
            parts = share(files, level, valid, test, seed)
            rule |= {"valid": valid, "test": test, "seed": seed}
        else:
            parts = _named(files, split)
        return write_text(folder, parts, directory, "text", level, rule, on_error, verbose)


def share(files, level, valid, test, seed):
    """The files of each part: dict from split to dict from a file to the share (from, to, seed) of it that is taken."""
    check_rate("valid", valid)
    check_rate("test", test)
    if valid + test >= 1:
        raise ValueError(f"`valid` + `test` must be < 1. Received: valid={valid}, test={test}.")
    if isinstance(level, Characters) and len(files) > 1:
        return {split: whole(names) for split, names in sources.split_names(files, valid, test, seed).items()}
    bounds = (0.0, 1 - valid - test, 1 - test, 1.0)
    shares = zip(Splits._fields, bounds[:-1], bounds[1:], strict=True)
    return {split: dict.fromkeys(files, (start, stop, seed)) if start < stop else {} for split, start, stop in shares}


def whole(files):
    """Shares of files that are taken whole."""
    return dict.fromkeys(files, (0.0, 1.0, 0))


def _named(files, split):
    def part(file):
        names = Path(file).parts[:-1] if split == "folders" else Path(file).stem.split(".")[-1:]
        return next((name for name in names if name in Splits._fields), None)

    parts = {name: whole(file for file in files if part(file) == name) for name in Splits._fields}
    for name, found in parts.items():
        if not found:
            raise FileNotFoundError(f"There is no text of the {name} part for split={split!r}.")
    return parts


def write_text(folder, parts, directory, dataset, level, rule, on_error="stop", verbose=True):
    """Writes texts to shards; what the data sets of text share.

    Args:
        folder: path.
        parts: dict from split to dict from a file, relative to `folder`, to its share, of `share` or `whole`.
        directory: path. Where the shards go.
        dataset: str. Name in the manifest.
        level: `Characters` or `Words`.
        rule: dict. The arguments by which they were split, for the manifest.
        on_error: `"stop"` or `"skip"`.
        verbose: bool.

    Returns:
        The manifest, a dict.
    """
    check_choice("on_error", on_error, ("stop", "skip"))
    of_file = {}  # the shares of each file
    for split, shares in parts.items():
        for file, bounds in shares.items():
            of_file.setdefault(file, {})[split] = bounds
    names = {split: {f"{file}, {split} part": (file, split) for file in shares} for split, shares in parts.items()}

    def survey():
        counts, found, unreadable = Counter(), Counter(), {}
        for file, shares in of_file.items():
            try:
                check_name(file)
                counted, of_this = level.count(folder, file, shares)
            except (OSError, ValueError) as error:
                if on_error == "stop":
                    raise ValueError(f"{printable(file)}: {error}") from error
                unreadable[file] = str(error)
                continue
            counts.update(counted)
            counts = most_frequent(counts)
            found.update(of_this)
        if not counts:
            raise ValueError(f"No {level.name} are left to train on: {dict(found)}, unreadable {unreadable}.")
        most = sorted(counts, key=lambda token: (-counts[token], token))[: level.vocabulary_size - len(level.special)]
        return {**found, "unreadable": unreadable, "vocabulary": [*level.special, *most]}

    def read(source, survey):
        file, split = source
        if file in survey["unreadable"]:
            if split == next(iter(of_file[file])):  # counted once
                raise ValueError(survey["unreadable"][file])
            return
        level.use(survey["vocabulary"])
        yield from level.sequences(folder, file, of_file[file][split], survey)

    return write_shards(
        directory,
        dataset,
        names,
        read,
        settings={"level": level.name, **level.settings, **rule},
        survey=survey,
        statistics_of=None,
        on_error=on_error,
        verbose=verbose,
        state=lambda source: file_state(Path(folder) / source[0]),
    )


def load_data(directory, verify=False, dataset="text"):
    """The prepared text.

    Args:
        directory: path. As given to `prepare`.
        verify: bool. Whether to compare the checksums. Defaults to `False`.
        dataset: str. Name in the manifest. Defaults to `"text"`.

    Returns:
        `Splits(train, valid, test)`, random access to arrays of tokens (time,), int32.

    Raises:
        FileNotFoundError: nothing complete is there.
        ValueError: it is another data set, or a file is not as it was written.
    """
    return load_splits(directory, dataset, verify).map(lambda shards: Mapped(shards, _as_int32))


def _as_int32(tokens):
    return np.asarray(tokens, "int32")


def encode(string, manifest):
    """Tokens of a string, such as a prompt: (time,), int32, without those of start and end.

    Args:
        string: str.
        manifest: dict. Of the data set.
    """
    settings = manifest["identity"]["settings"]
    level = LEVELS[settings["level"]].of(settings)
    level.use(manifest["survey"]["vocabulary"])
    return level.encode(string)


def read_prompt(given, manifest):
    """Tokens of a text to be continued: (time,), int32.

    Args:
        given: str. The path of a file, or the text itself.
        manifest: dict. Of the data set.

    Raises:
        ValueError: it holds nothing.
    """
    try:
        is_file = Path(given).is_file()
    except OSError:  # a text that is too long for a name
        is_file = False
    tokens = encode(Path(given).read_text(encoding="utf-8").rstrip("\n") if is_file else str(given), manifest)
    if not len(tokens):
        raise ValueError("The prompt holds no text.")
    return tokens


def decode(tokens, manifest):
    """The string of tokens: characters, or words with spaces between them, up to the first end of a sentence.

    Args:
        tokens: array (time,).
        manifest: dict. Of the data set.
    """
    return LEVELS[manifest["identity"]["settings"]["level"]].decode(tokens, manifest["survey"]["vocabulary"])


def model_arguments(manifest):
    """What a model with output="categorical" is built with.

    Args:
        manifest: dict. Of the data set.

    Returns:
        Dict of `num_classes`, `start_token` and `unknown_token`.
    """
    return {"num_classes": len(manifest["survey"]["vocabulary"]), "start_token": START, "unknown_token": UNKNOWN}


def measures(log_likelihoods, sequences):
    """What a log-likelihood comes to beside nats a sequence.

    Args:
        log_likelihoods: array (sequences,), nats.
        sequences: the split that was scored.

    Returns:
        Dict with `"perplexity"` of words, in which the end of a sentence counts as one, or `"bits a character"`.
    """
    if sequences.manifest["identity"]["settings"]["level"] == "words":
        return {"perplexity": units.perplexity(log_likelihoods, sequences.lengths)}
    return {"bits a character": units.bits_a_character(log_likelihoods, sequences.lengths)}


def write_samples(samples, directory, manifest):
    """Writes generated text to `samples.txt`, with an empty line between samples.

    Args:
        samples: array (count, time) of tokens.
        directory: path.
        manifest: dict. Of the data set.

    Returns:
        List of the paths written.
    """
    path = Path(directory) / "samples.txt"
    paragraphs = (decode(sample, manifest) for sample in np.asarray(samples))
    path.write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8", newline="\n")
    return [path]


DATASET = Dataset(
    load_data,
    prepare,
    model_arguments=model_arguments,
    measures=measures,
    read_prompt=read_prompt,
    write_samples=write_samples,
    text=decode,
)
