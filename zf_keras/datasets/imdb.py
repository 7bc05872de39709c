"""IMDB: sentences of film reviews, as words.

Source: the Large Movie Review Dataset, aclImdb_v1.tar.gz (https://ai.stanford.edu/~amaas/data/sentiment/). Licence:
none is stated; the reviews are of users of IMDb. Citation: A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng and
C. Potts, "Learning Word Vectors for Sentiment Analysis", ACL 2011.

Layout: the archive as downloaded, or the folder aclImdb that it holds, or one above it:

    aclImdb/train/{pos,neg,unsup}/*.txt    25,000 reviews with a label, and 50,000 without
    aclImdb/test/{pos,neg}/*.txt           25,000 reviews

All reviews together are split into sentences, of which those with at most 16 words are drawn to the three parts.

The papers used other reviews of IMDb: the crawl of Q. Diao, M. Qiu, C.-Y. Wu, A. J. Smola, J. Jiang and C. Wang,
"Jointly Modeling Aspects, Ratings and Sentiments for Movie Recommendation (JMARS)", KDD 2014. Whoever has them as .txt
files points `zf_keras.datasets.text` to their folder.
"""

import dataclasses
import re

from zf_keras.datasets import sources, text, tokens
from zf_keras.datasets.text import decode as decode
from zf_keras.datasets.text import encode as encode

REVIEW = re.compile(r"(|.*/)((train/(pos|neg|unsup)|test/(pos|neg))/[^/]+)")
BREAK = re.compile(r"<br\s*/?>")


def prepare(
    source,
    directory,
    max_words=16,
    vocabulary_size=16_000,
    valid=0.05,
    test=0.1,
    seed=0,
    on_error="stop",
    verbose=True,
):
    """Writes the words of the sentences, in lower case, to shards.

    Args:
        source: path. The archive or a folder, as in the layout.
        directory: path. Where the shards go.
        max_words: int. Longer sentences are left out. Defaults to `16`.
        vocabulary_size: int. The most frequent words that are kept, with the special ones. Defaults to `16000`.
        valid: float. Share of the sentences in the validation part. Defaults to `0.05`.
        test: float. Share of the sentences in the test part. Defaults to `0.1`.
        seed: int. Of the draw of sentences. Defaults to `0`.
        on_error: `"stop"` or `"skip"`, as for `zf_keras.datasets.text.prepare`. Defaults to `"stop"`.
        verbose: bool. Whether to show a progress bar. Defaults to `True`.

    Returns:
        The manifest, a dict.

    Raises:
        FileNotFoundError: there are no reviews.
        ImportError: tokenizers or nltk is not installed.
        ValueError: an argument is wrong, or a review is empty or not UTF-8.
    """
    level = tokens.Words("punkt", max_words, True, vocabulary_size, clean=lambda review: BREAK.sub("\n", review))
    with sources.opened(source, directory) as folder:
        matches = list(filter(None, map(REVIEW.fullmatch, sources.files(folder, (".txt",)))))
        roots = sorted({match[1] for match in matches})
        if not roots:
            raise FileNotFoundError(f"No reviews such as train/pos/*.txt below {folder}.")
        if len(roots) > 1:
            raise ValueError(f"There are several in {folder}: {', '.join(roots)}.")
        parts = text.share([match[2] for match in matches], level, valid, test, seed)
        rule = {"valid": valid, "test": test, "seed": seed}
        return text.write_text(folder / roots[0], parts, directory, "imdb", level, rule, on_error, verbose)


def load_data(directory, verify=False):
    """The prepared sentences; see `zf_keras.datasets.text.load_data`."""
    return text.load_data(directory, verify, dataset="imdb")


DATASET = dataclasses.replace(text.DATASET, load_data=load_data, prepare=prepare)
