"""Penn Treebank: articles of the Wall Street Journal, as characters.

Source: simple-examples.tgz of T. Mikolov's RNNLM toolkit. Licence: of the Linguistic Data Consortium (LDC99T42), not
free. Citation: M. P. Marcus, B. Santorini and M. A. Marcinkiewicz, "Building a Large Annotated Corpus of English: The
Penn Treebank", Computational Linguistics 19(2), 1993; at the level of characters, T. Mikolov, I. Sutskever, A. Deoras,
H.-S. Le, S. Kombrink and J. Cernocky, "Subword Language Modeling with Neural Networks", 2012.

Layout: the archive, or a folder with these files in it or below it (simple-examples/data),

    ptb.train.txt, ptb.valid.txt, ptb.test.txt

or else ptb.char.{train,valid,test}.txt, in which spaces separate the characters and _ stands for a space. A line is a
sentence; it is read as it is, with its newline, and so is the "<unk>" for rare words.
"""

import dataclasses

from zf_keras.datasets import sources, text, tokens
from zf_keras.datasets.splits import Splits
from zf_keras.datasets.text import decode as decode
from zf_keras.datasets.text import encode as encode

SPACED = str.maketrans({" ": "", "_": " "})


def prepare(source, directory, length=100, on_error="stop", verbose=True):
    """Writes the characters to shards.

    Args:
        source: path. The archive or a folder, as in the layout.
        directory: path. Where the shards go.
        length: int > 1. Characters in a sequence; the last of a part may have fewer. Defaults to `100`.
        on_error: `"stop"` or `"skip"`, as for `zf_keras.datasets.text.prepare`. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        The manifest, a dict.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: an argument is wrong, or a file is empty or not UTF-8.
    """
    with sources.opened(source, directory) as folder:
        try:
            name, clean = "ptb.{}.txt", str
            root = sources.find(folder, name.format("train")).parent
        except FileNotFoundError:
            name, clean = "ptb.char.{}.txt", lambda line: line.translate(SPACED)
            root = sources.find(folder, name.format("train")).parent
        files = {split: sources.find(root, name.format(split)).name for split in Splits._fields}
        parts = {split: text.whole([file]) for split, file in files.items()}
        level = tokens.Characters(length, 16_000, clean=clean)
        return text.write_text(root, parts, directory, "ptb", level, {}, on_error, verbose)


def load_data(directory, verify=False):
    """The prepared text; see `zf_keras.datasets.text.load_data`."""
    return text.load_data(directory, verify, dataset="ptb")


DATASET = dataclasses.replace(text.DATASET, load_data=load_data, prepare=prepare)
