"""What a forecast is: sample paths, and what they say of each step."""

import keras
import numpy as np

from zf_keras import pictures
from zf_keras.arguments import check_non_negative_int, check_probability
from zf_keras.extras import optional_import
from zf_keras.inference.conformal import recalibrated
from zf_keras.inference.scores import scores


class Forecast(np.lib.mixins.NDArrayOperatorsMixin):
    """Sample paths of what may come after each of some sequences, as `forecast` of every model draws them.

    To NumPy it is the array of its samples: it has a shape, is indexed and iterated, and functions and operators take
    it and give arrays. A path is a joint draw of all steps and features, so that sums, maxima and the like over the
    horizon are those of the paths: `forecast.samples.sum(axis=2)`.

    Args:
        samples: array (num_samples, batch, horizon, features), or (num_samples, batch, horizon) of tokens.

    Attributes:
        samples: that, a NumPy array.

    Raises:
        ValueError: `samples` has no such shape. Of tokens: a mean, median, quantile, interval or picture is asked for.

    Example:

    >>> forecast = Forecast(np.random.default_rng(0).normal(size=(100, 2, 24, 1)))
    >>> forecast.shape, forecast.mean.shape, forecast.quantile([0.1, 0.5, 0.9]).shape
    ((100, 2, 24, 1), (2, 24, 1), (3, 2, 24, 1))
    >>> lower, upper = forecast.interval(0.9)
    >>> bool((lower < upper).all())
    True
    """

    def __init__(self, samples):
        samples = np.asarray(samples)
        if samples.ndim not in (3, 4) or 0 in samples.shape:
            raise ValueError(
                "`samples` must be of shape (num_samples, batch, horizon, features), or (num_samples, batch, horizon) "
                f"of tokens, and not empty. Received: shape={samples.shape}."
            )
        self.samples = samples

    @property
    def mean(self):
        """Mean of the samples, NumPy array (batch, horizon, features), float64."""
        self._check_numbers("mean")
        return self.samples.mean(axis=0, dtype="float64")

    @property
    def median(self):
        """Median of the samples, NumPy array (batch, horizon, features), float64."""
        self._check_numbers("median")
        return self.quantile(0.5)

    def quantile(self, q):
        """Quantiles of each reading by itself, interpolated between samples.

        Args:
            q: number in [0, 1], or a sequence of them.

        Returns:
            NumPy array (batch, horizon, features); (len(q), batch, horizon, features) for a sequence.

        Raises:
            ValueError: `q` is no such number, or the samples are tokens.
        """
        self._check_numbers("quantile")
        _probabilities("q", q)
        return np.quantile(self.samples, np.asarray(q, "float64"), axis=0)

    def interval(self, level):
        """The central interval in which a reading lies with probability `level`.

        Args:
            level: number in [0, 1].

        Returns:
            Two NumPy arrays (batch, horizon, features), its lower and its upper end.

        Raises:
            ValueError: `level` is no such number, or the samples are tokens.
        """
        self._check_numbers("interval")
        check_probability("level", level)
        return tuple(self.quantile([(1 - level) / 2, (1 + level) / 2]))

    def to_frame(self, quantiles=(0.1, 0.5, 0.9)):
        """A pandas data frame with a row for each reading, or of tokens for each draw.

        Args:
            quantiles: number in [0, 1], or a sequence of them, a column each. Of tokens it is not read.

        Returns:
            `pandas.DataFrame` with the columns `series` and `feature`, from 0, `step`, from 1, `mean`, and a column for
            each quantile, such as `"0.1"`. Of tokens: `series`, `step`, `sample`, from 0, and `token`.

        Raises:
            ImportError: pandas is not there.
            ValueError: `quantiles` holds something else.
        """
        return optional_import("pandas", "series", "A data frame").DataFrame(self._columns(quantiles))

    def plot(self, history=None, series=0, features=None):
        """The median of one series with its intervals of 50 % and 90 %, behind what was known; see `pictures.forecast`.

        Args:
            history: array (batch, time, features), or a list of (time, features) if they end apart, such as the prompt
                or its last steps. Defaults to `None`.
            series: int. Which of the batch. Defaults to `0`.
            features: sequence of ints or `None`. Which are drawn, a panel each. Defaults to `None`, the first eight.

        Returns:
            `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib is not there.
            ValueError: names what is wrong with an argument, or the samples are tokens.
        """
        self._check_numbers("picture")
        batch = self.shape[1]
        if check_non_negative_int("series", series) >= batch:
            raise ValueError(f"`series` must be less than the {batch} of the forecast. Received: series={series}.")
        if history is not None:
            if len(history) != batch:
                raise ValueError(f"`history` must hold {batch} series, as the forecast. Received: {len(history)}.")
            history = history[series]
        return pictures.forecast(self.samples[:, series], history, features)

    scores = scores
    recalibrated = recalibrated

    def _check_numbers(self, name):
        if self.ndim == 3:
            raise ValueError(
                f"The forecast is of tokens, whose order means nothing: they have no {name}. Count their `samples`."
            )

    def _columns(self, quantiles):
        if self.ndim == 3:
            sample, series, step = np.indices(self.shape).reshape(3, -1)
            return {"series": series, "step": step + 1, "sample": sample, "token": self.samples.ravel()}
        series, step, feature = np.indices(self.shape[1:]).reshape(3, -1)
        columns = {"series": series, "step": step + 1, "feature": feature, "mean": self.mean.ravel()}
        return columns | {str(q): self.quantile(q).ravel() for q in _probabilities("quantiles", quantiles)}

    # An array to NumPy.

    @property
    def shape(self):
        return self.samples.shape

    @property
    def ndim(self):
        return self.samples.ndim

    @property
    def dtype(self):
        return self.samples.dtype

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]

    def __iter__(self):
        return iter(self.samples)

    def __repr__(self):
        return f"Forecast(samples of shape {self.shape}, {self.dtype})"

    def __array__(self, dtype=None, copy=None):
        return np.array(self.samples, dtype) if copy else np.asarray(self.samples, dtype)

    def __array_function__(self, function, types, args, kwargs):
        # Left to itself, `np.mean` would call `mean`.
        args, kwargs = keras.tree.map_structure(lambda x: x.samples if isinstance(x, Forecast) else x, (args, kwargs))
        return function(*args, **kwargs)


def _probabilities(name, q):
    """A number in [0, 1], or a sequence of them, as a list."""
    return [check_probability(name, each) for each in ([q] if np.ndim(q) == 0 else q)]
