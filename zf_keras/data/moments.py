"""Mean and standard deviation of a stream of numbers."""

import numpy as np


class Moments:
    """Count, mean and standard deviation of a stream of numbers, in float64 (Chan et al. 1979)."""

    def __init__(self, count=0, mean=0.0, squares=0.0):
        self.count, self.mean, self.squares = count, mean, squares

    def add(self, values, piece=2**20):
        flat = np.ravel(values)
        for start in range(0, len(flat), piece):
            self._add(np.asarray(flat[start : start + piece], "float64"))

    def _add(self, values):
        mean, total = values.mean(), self.count + values.size
        delta = mean - self.mean
        self.squares += np.square(values - mean).sum() + delta**2 * self.count * values.size / total
        self.mean += delta * values.size / total
        self.count = total

    @property
    def std(self):
        """Of the population."""
        return float(np.sqrt(self.squares / max(self.count, 1)))

    def statistics(self):
        """Dict of mean and std."""
        return {"mean": float(self.mean), "std": self.std}

    def state(self):
        return {"count": int(self.count), "mean": float(self.mean), "squares": float(self.squares)}
