"""A vocabulary by itself: text to tokens and back, without the data set that it was made from."""

from zf_keras.arguments import check_choice
from zf_keras.datasets.tokens import LEVELS, Characters, Words


class Vocabulary:
    """Text as tokens and back.

    Args:
        tokens: list of str. What each token stands for, different ones; the first are special, as in
            `zf_keras.datasets.text`.
        level: `"characters"` or `"words"`. Defaults to `"characters"`.
        lowercase: bool. Whether words are lower-cased before they are looked up. Defaults to `True`.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> vocabulary = Vocabulary(["\\ufffd", "", "a", "b"])
    >>> vocabulary.encode("abba").tolist()
    [2, 3, 3, 2]
    >>> vocabulary.decode([2, 3])
    'ab'
    """

    def __init__(self, tokens, level="characters", lowercase=True):
        check_choice("level", level, LEVELS)
        special = LEVELS[level].special
        if not isinstance(tokens, (list, tuple)) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"`tokens` must be a list of strings. Received: {type(tokens).__name__}.")
        if len(set(tokens)) < len(tokens) or tuple(tokens[: len(special)]) != special:
            raise ValueError(f"`tokens` must be different ones, the first of them {special}. Received: {tokens[:5]}...")
        if level == "characters" and any(len(token) != 1 for token in tokens[len(special) :]):
            raise ValueError("`tokens` must be single characters after the special ones.")
        if not isinstance(lowercase, bool):
            raise ValueError(f"`lowercase` must be True or False. Received: lowercase={lowercase!r}.")
        self.tokens = list(tokens)
        self.level = level
        self.lowercase = lowercase
        self._encoder = None

    @classmethod
    def of(cls, manifest):
        """That of a prepared data set."""
        settings = manifest["identity"]["settings"]
        return cls(manifest["survey"]["vocabulary"], settings["level"], settings.get("lowercase", True))

    def __len__(self):
        return len(self.tokens)

    def encode(self, text):
        """Tokens of a string, (time,) int32, without those of start and end.

        Raises:
            ImportError: words need the package tokenizers.
        """
        if self._encoder is None:
            if self.level == "characters":
                self._encoder = Characters(2, len(self.tokens))
            else:
                self._encoder = Words("lines", 1, self.lowercase, len(self.tokens))
            self._encoder.use(self.tokens)
        return self._encoder.encode(text)

    def decode(self, tokens):
        """The string of tokens (time,): characters, or words with spaces between them, up to the end of a sentence."""
        return LEVELS[self.level].decode(tokens, self.tokens)

    def get_config(self):
        return {"tokens": self.tokens, "level": self.level, "lowercase": self.lowercase}
