"""From log-likelihoods of sequences, in nats, to the units of papers, each with its standard error over sequences.

With l_i nats and n_i steps (numbers, characters, words, samples) of sequence i, of N:

    mean    m = sum_i l_i / N                   se(m) = sqrt(sum_i (l_i - m)^2 / (N (N - 1)))
    ratio   r = sum_i l_i / sum_i n_i           se(r) = sqrt(N / (N - 1) sum_i (l_i - r n_i)^2) / sum_i n_i

The ratio's is the delta method's: lengths vary from sequence to sequence too. docs/units.md has a table of all.
"""

import math

import numpy as np


class Measured(float):
    """A number with its `standard_error` over sequences: NaN of a single one."""

    def __new__(cls, value, standard_error):
        self = super().__new__(cls, value)
        self.standard_error = float(standard_error)
        return self

    def __getnewargs__(self):
        return float(self), self.standard_error


def nats_a_sequence(log_likelihoods):
    """The mean over sequences."""
    values = np.asarray(log_likelihoods, "float64")
    count, mean = len(values), values.mean()
    error = math.sqrt(np.sum((values - mean) ** 2) / (count * (count - 1))) if count > 1 else math.nan
    return Measured(mean, error)


def nats_a_frame(log_likelihoods, lengths):
    """All nats by all frames: the mean over frames. lengths: (sequences,), frames that were predicted."""
    values, lengths = _aligned(log_likelihoods, lengths)
    count, frames = len(values), lengths.sum()
    ratio = values.sum() / frames
    error = math.nan
    if count > 1:
        error = math.sqrt(count / (count - 1) * np.sum((values - ratio * lengths) ** 2)) / frames
    return Measured(ratio, error)


def nats_a_frame_over_sequences(log_likelihoods, lengths):
    """The mean over sequences of each one's own mean over its frames, as SRNN's authors measure music."""
    values, lengths = _aligned(log_likelihoods, lengths)
    return nats_a_sequence(values / lengths)


def bits_a_dimension(log_likelihoods, dimensions):
    """All bits by all numbers. dimensions: (sequences,) or int, numbers in a sequence: frames times features."""
    return _linear(nats_a_frame(log_likelihoods, dimensions), -1 / math.log(2))


def bits_a_character(log_likelihoods, lengths):
    """All bits by all characters."""
    return bits_a_dimension(log_likelihoods, lengths)


def bits_a_sample(log_likelihoods, samples, std):
    """All bits by all samples of audio, of their density before they were divided by `std`."""
    return _linear(bits_a_dimension(log_likelihoods, samples), 1.0, math.log2(std))


def perplexity(log_likelihoods, words):
    """exp of the negative nats a word."""
    mean = nats_a_frame(log_likelihoods, words)
    value = math.exp(-mean)
    return Measured(value, value * mean.standard_error)


#: What results and recipes call the units.
UNITS = {
    "nats a sequence": nats_a_sequence,
    "nats a frame": nats_a_frame,
    "nats a frame, mean over sequences": nats_a_frame_over_sequences,
    "bits a dimension": bits_a_dimension,
    "bits a pixel": bits_a_dimension,
    "bits a character": bits_a_character,
    "bits a sample": bits_a_sample,
    "perplexity": perplexity,
}


def _linear(measured, scale, shift=0.0):
    return Measured(scale * measured + shift, abs(scale) * measured.standard_error)


def _aligned(log_likelihoods, lengths):
    values, lengths = np.asarray(log_likelihoods, "float64"), np.asarray(lengths, "float64")
    if lengths.ndim == 0:
        lengths = np.full(len(values), lengths)
    if lengths.shape != values.shape or not np.all(lengths > 0):
        raise ValueError(
            f"There must be a positive length for each log-likelihood. Received: shapes {lengths.shape} and "
            f"{values.shape}, the least length {lengths.min(initial=math.inf):g}."
        )
    return values, lengths
