"""What data goes through before a preset and after it: statistics of standardised frames, a vocabulary of tokens."""

from typing import NamedTuple

import numpy as np

from zf_keras.datasets.vocabulary import Vocabulary
from zf_keras.presets.files import (
    CARD,
    STATISTICS,
    VOCABULARY,
    check_files,
    inside,
    read_json,
    read_metadata,
    write_json,
)
from zf_keras.presets.finding import find

CARD_CHARACTERS = 2**20


class Assets(NamedTuple):
    """What is beside the weights; `None` where the preset has none."""

    statistics: dict | None  # such as "mean" and "std": numbers, or arrays (features,)
    vocabulary: Vocabulary | None
    card: str | None  # markdown
    metadata: dict  # versions, results, checksums


def load_assets(preset):
    """What data goes through before the model of a preset, and after it.

    Args:
        preset: str or path. As for `from_preset`.

    Returns:
        `Assets(statistics, vocabulary, card, metadata)`.

    Raises:
        FileNotFoundError: there is no preset.
        ValueError: it is damaged, of a newer format, or refused.

    Example:

    >>> assets = load_assets("vrnn_digits")
    >>> assets.statistics, assets.vocabulary, assets.metadata["results"]["split"]
    (None, None, 'test')
    """
    directory, root = find(preset)
    metadata = read_metadata(directory, root)
    check_files(directory, metadata, root)
    statistics = vocabulary = card = None
    if STATISTICS in metadata["files"]:
        statistics = read_json(directory, STATISTICS, root)
        checked_statistics(statistics)
        statistics = {name: np.asarray(x) if isinstance(x, list) else x for name, x in statistics.items()}
    if VOCABULARY in metadata["files"]:
        config = read_json(directory, VOCABULARY, root)
        if config.keys() != {"tokens", "level", "lowercase"}:
            raise ValueError(f"{directory} is damaged: {VOCABULARY} must have tokens, level and lowercase.")
        vocabulary = Vocabulary(**config)
    path = inside(directory, CARD, root)
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:  # anybody may have edited it
            card = file.read(CARD_CHARACTERS)
    return Assets(statistics, vocabulary, card, metadata)


def write_assets(directory, statistics, vocabulary):
    if statistics is not None:
        write_json(directory / STATISTICS, checked_statistics(statistics))
    if vocabulary is not None:
        write_json(directory / VOCABULARY, vocabulary.get_config())


def checked_statistics(statistics):
    """Statistics as JSON has them.

    Raises:
        ValueError: they are not a dict of finite numbers, or of arrays of such.
    """
    if not isinstance(statistics, dict) or not all(isinstance(name, str) for name in statistics):
        raise ValueError(f"`statistics` must be a dict of numbers or arrays. Received: {statistics!r:.100}.")
    for name, value in statistics.items():
        try:
            right = np.isfinite(np.asarray(value, "float64")).all() and not isinstance(value, (str, bool))
        except (TypeError, ValueError):
            right = False
        if not right:
            raise ValueError(f"`statistics` must hold finite numbers. Received: {name}={value!r:.100}.")
    return {name: np.asarray(value).tolist() for name, value in statistics.items()}


def checked_vocabulary(vocabulary, model):
    """`Vocabulary` of the tokens of a model.

    Raises:
        ValueError: it is none, or the model has another number of tokens.
    """
    if vocabulary is None:
        return None
    if not isinstance(vocabulary, Vocabulary):
        vocabulary = Vocabulary(vocabulary)
    if not model.tokens or model.head.num_classes != len(vocabulary):
        classes = f"num_classes={model.head.num_classes}" if model.tokens else "no categorical output"
        raise ValueError(f"`vocabulary` has {len(vocabulary)} tokens, where the model has {classes}.")
    return vocabulary
