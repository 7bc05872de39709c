"""Text as tokens, of characters or of the words of sentences; read in pieces, and never held whole."""

import codecs
import io
import itertools
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np

from zf_keras.arguments import check_choice, check_positive_int
from zf_keras.extras import optional_import

UNKNOWN, START, END = range(3)
PIECE = 2**20  # bytes that are read at once
LONGEST = 2**20  # characters without the end of a sentence, after which one is made
COUNTED = 2**19  # different words that are counted at once
_CODE_POINTS = 0x110000
_ABBREVIATIONS = "mr mrs ms messrs dr prof st jr sr rev hon gen col capt lt sgt gov sen rep vs e.g i.e cf a.m p.m u.s"


def read_text(path, encoding="utf-8", piece=PIECE):
    """Text of a file in pieces, every newline as "\\n", without a leading byte order mark.

    Raises:
        ValueError: the file is empty, or not in `encoding`.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    first = True
    with Path(path).open("rb") as file:
        while True:
            data = file.read(piece)
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                # The decoder kept the start of a character, from the piece before.
                offset = file.tell() - len(error.object) + error.start
                raise ValueError(f"not {encoding} at byte {offset}: {error.reason}") from error
            if first:
                text = text.removeprefix("\ufeff")
            if text:
                yield text
                first = False
            if not data:
                break
    if first:
        raise ValueError("it is empty")


class Characters:
    """Pieces of text as tokens.

    Args:
        length: int > 1. Characters in a sequence.
        vocabulary_size: int. With the special ones.
        encoding: str. Of the files.
        clean: function from some text to what is read in its place, character by character. Defaults to `str`, the
            same.
    """

    name = "characters"
    special = ("\ufffd", "")  # shown for tokens UNKNOWN and START

    def __init__(self, length, vocabulary_size, encoding="utf-8", clean=str):
        check_positive_int("length", length)
        if length < 2:
            raise ValueError(f"`length` must be > 1. Received: length={length}.")
        self.settings = {"length": length, **_checked(vocabulary_size, encoding, self.special)}
        self.length = length
        self.vocabulary_size = vocabulary_size
        self.encoding = encoding
        self.clean = clean
        self.vocabulary = None

    @classmethod
    def of(cls, settings):
        return cls(settings["length"], settings["vocabulary_size"], settings["encoding"])

    def use(self, vocabulary):
        if vocabulary is not self.vocabulary:
            self.vocabulary = vocabulary
            self.dtype = np.min_scalar_type(len(vocabulary) - 1)
            self.table = np.full(_CODE_POINTS, UNKNOWN, self.dtype)
            characters = vocabulary[len(self.special) :]
            self.table[[ord(c) for c in characters]] = np.arange(len(self.special), len(vocabulary))

    def count(self, folder, file, shares):
        size = sum(map(len, self._texts(folder, file)))
        counts = Counter()
        if "train" in shares:
            for text in self._part(folder, file, shares["train"], size):
                found = np.bincount(_code_points(text))
                counts.update({chr(i): int(found[i]) for i in np.flatnonzero(found)})
        del counts[self.special[UNKNOWN]]
        # Only that of a file which is cut is needed again, and there is one such file.
        sizes = {"characters": size} if len(shares) > 1 else {}
        return counts, sizes

    def sequences(self, folder, file, share, survey):
        rest = np.zeros(0, self.dtype)
        for text in self._part(folder, file, share, survey.get("characters")):
            tokens = np.concatenate([rest, self.table[_code_points(text)]])
            end = len(tokens) - len(tokens) % self.length
            yield from tokens[:end].reshape(-1, self.length)
            rest = tokens[end:]
        if len(rest) > 1:
            yield rest

    def encode(self, string):
        return self.table[_code_points(string)].astype("int32")

    @staticmethod
    def decode(tokens, vocabulary):
        return "".join(vocabulary[token] for token in tokens)

    def _texts(self, folder, file):
        return (self.clean(text) for text in read_text(folder / file, self.encoding))

    def _part(self, folder, file, share, size):
        texts = self._texts(folder, file)
        if share[:2] == (0, 1):
            yield from texts
            return
        start, stop = (round(bound * size) for bound in share[:2])
        for text in texts:
            yield text[max(start, 0) : max(stop, 0)]
            start, stop = start - len(text), stop - len(text)
            if stop <= 0:
                break


class Words:
    """Sentences as tokens.

    Args:
        sentences: `"punkt"` or `"lines"`.
        max_words: int. In a sentence.
        lowercase: bool.
        vocabulary_size: int. With the special ones.
        encoding: str. Of the files.
        clean: function from some text to what is read in its place. Defaults to `str`, the same.
    """

    name = "words"
    special = ("<unk>", "<s>", "</s>")

    def __init__(self, sentences, max_words, lowercase, vocabulary_size, encoding="utf-8", clean=str):
        check_choice("sentences", sentences, ("punkt", "lines"))
        check_positive_int("max_words", max_words)
        self.settings = {"sentences": sentences, "max_words": max_words, "lowercase": bool(lowercase)}
        self.settings |= _checked(vocabulary_size, encoding, self.special)
        self.starts = _punkt() if sentences == "punkt" else _lines
        self.max_words = max_words
        self.lowercase = lowercase
        self.vocabulary_size = vocabulary_size
        self.encoding = encoding
        self.clean = clean
        self.vocabulary = None
        self.splitter = _package("tokenizers").pre_tokenizers.BertPreTokenizer()

    @classmethod
    def of(cls, settings):
        return cls(*(settings[n] for n in ("sentences", "max_words", "lowercase", "vocabulary_size", "encoding")))

    def use(self, vocabulary):
        if vocabulary is not self.vocabulary:
            self.vocabulary = vocabulary
            self.dtype = np.min_scalar_type(len(vocabulary) - 1)
            self.numbers = {word: i for i, word in enumerate(vocabulary)}

    def count(self, folder, file, shares):
        counts, found = Counter(), Counter({"sentences": 0, "sentences_left_out": 0})
        for draw, sentence in self._drawn(folder, file, next(iter(shares.values()))[2]):
            words = self._words(sentence)
            if words is None:
                found["sentences_left_out"] += 1
            elif words:
                found["sentences"] += 1
                if "train" in shares and shares["train"][0] <= draw < shares["train"][1]:
                    counts.update(words)
                    counts = most_frequent(counts)
        return counts, found

    def sequences(self, folder, file, share, survey):
        start, stop, seed = share
        for draw, sentence in self._drawn(folder, file, seed):
            if start <= draw < stop and (words := self._words(sentence)):
                yield np.array([*self._numbers(words), END], self.dtype)

    def encode(self, string):
        return np.array(self._numbers(self._split(string)), "int32")

    @staticmethod
    def decode(tokens, vocabulary):
        sentence = itertools.takewhile(lambda token: token != END, tokens)
        return " ".join(vocabulary[token] for token in sentence if token != START)

    def _words(self, sentence):
        """The words of a sentence, `None` where they are too many."""
        if len(sentence.split()) > self.max_words:  # most that are too long are found quickly
            return None
        words = self._split(sentence)
        return words if len(words) <= self.max_words else None

    def _split(self, text):
        text = text.lower() if self.lowercase else text
        return [word for word, _ in self.splitter.pre_tokenize_str(text)]

    def _numbers(self, words):
        return [self.numbers.get(word, UNKNOWN) for word in words]

    def _drawn(self, folder, file, seed):
        """Each sentence with a number in [0, 1), which says to what part it belongs."""
        rng = random.Random(f"{seed} {file}")
        texts = read_text(folder / file, self.encoding)
        return ((rng.random(), sentence) for sentence in split_sentences(texts, self.starts, self.clean))


LEVELS = {"characters": Characters, "words": Words}


def split_sentences(texts, starts, clean=str):
    """Sentences of a text that comes in pieces.

    Args:
        texts: iterable of str.
        starts: function from a str to the positions where its sentences start.
        clean: function from str to str. Defaults to `str`, the same.
    """
    rest = ""
    for text in texts:
        rest = clean(rest + text)
        # The last sentence may go on, and what follows says where the one before it ends.
        positions = [0, *starts(rest)[1:-1]]
        yield from (rest[i:j] for i, j in itertools.pairwise(positions))
        rest = rest[positions[-1] :]
        if len(rest) > LONGEST:
            yield rest
            rest = ""
    positions = [0, *starts(rest)[1:], len(rest)]
    yield from (rest[i:j] for i, j in itertools.pairwise(positions))


def _lines(text):
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _punkt():
    punkt = _package("nltk.tokenize.punkt")
    parameters = punkt.PunktParameters()
    parameters.abbrev_types = set(_ABBREVIATIONS.split())
    tokenizer = punkt.PunktSentenceTokenizer(parameters)

    def starts(text):
        found, start = [], 0
        for end in [*(match.end() for match in re.finditer(r"\n\s*\n", text)), len(text)]:
            found += [start + i for i, _ in tokenizer.span_tokenize(text[start:end])]
            start = end
        return found

    return starts


def _package(name):
    return optional_import(name, "datasets", "Text of words")


def _checked(vocabulary_size, encoding, special):
    check_positive_int("vocabulary_size", vocabulary_size)
    if vocabulary_size <= len(special):
        raise ValueError(
            f"`vocabulary_size` must be > {len(special)}, as {len(special)} tokens are special. "
            f"Received: vocabulary_size={vocabulary_size}."
        )
    try:
        codecs.getincrementaldecoder(encoding)
    except LookupError as error:
        raise ValueError(f"`encoding` must be one that Python knows. Received: encoding={encoding!r}.") from error
    return {"vocabulary_size": vocabulary_size, "encoding": encoding}


def most_frequent(counts):
    """Forgets the rarer half when there are too many to hold; the vocabulary is of far fewer."""
    return counts if len(counts) <= COUNTED else Counter(dict(counts.most_common(COUNTED // 2)))


def _code_points(text):
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
