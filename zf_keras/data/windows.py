"""Windows of long series, so many steps each."""

import numpy as np

from zf_keras.arguments import check_positive_int
from zf_keras.data.batches import lengths_of
from zf_keras.data.sequences import TIMELESS


class Windows:
    """Random access to the windows of some series, for `Batches`.

    Those of a series end with its last step, `stride` steps before it, twice as many, and so on, as long as they are
    whole. A series that is shorter than a window is one by itself. Nothing is copied: a window is cut as it is read.

    Args:
        series: random access, as of `Batches`, to arrays (time, features), or to dicts of targets and what stands
            beside them.
        length: int. Steps of a window.
        stride: int. Steps from the end of a window to that of the next. Defaults to `1`.

    Raises:
        ValueError: names what is wrong with an argument.

    Example:

    >>> windows = Windows([np.arange(10)[:, None], np.arange(3)[:, None]], length=4, stride=3)
    >>> [windows[i][:, 0].tolist() for i in range(len(windows))]
    [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [0, 1, 2]]
    """

    def __init__(self, series, length, stride=1):
        self.series = series
        self.length = check_positive_int("length", length)
        self.stride = check_positive_int("stride", stride)
        self._steps = lengths_of(series)
        self._counts = np.maximum(self._steps - length, 0) // stride + 1
        self._ends = np.cumsum(self._counts)
        self.lengths = np.repeat(np.minimum(self._steps, length), self._counts)

    @property
    def manifest(self):
        return self.series.manifest

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Window {index} of {len(self)}.")
        number = int(np.searchsorted(self._ends, index, side="right"))
        stop = self._steps[number] - (self._ends[number] - 1 - index) * self.stride
        steps = slice(max(0, stop - self.length), stop)
        series = self.series[number]
        if not isinstance(series, dict):
            return series[steps]
        return {key: value if key in TIMELESS else value[steps] for key, value in series.items()}
