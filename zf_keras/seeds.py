"""Random numbers of a model: its own stream for noise, and initial weights of its own."""

import contextlib
import functools
import random
import threading

import keras
from keras import ops

from zf_keras import replicas
from zf_keras.arguments import check_seed, optional

_LOCK = threading.RLock()


class SeedGenerator(keras.random.SeedGenerator):
    """A `keras.random.SeedGenerator` of which no two threads draw the same numbers, nor two replicas."""

    def __init__(self, seed=None, name=None, **kwargs):
        super().__init__(optional(check_seed, "seed", seed), name, **kwargs)

    @classmethod
    def of(cls, seed):
        """A generator from an int or `None`; a generator is returned as it is."""
        return seed if isinstance(seed, keras.random.SeedGenerator) else cls(seed)

    def next(self, ordered=True):
        if self._given is not None:
            return self._given.next()
        with _LOCK:
            seed = super().next(ordered)
        return replicas.own_seed(seed)

    #: A `GivenSeed` in its place.
    _given = None

    @contextlib.contextmanager
    def given(self, seed):
        """Inside of it the numbers are those of a seed, a tensor (2,): the same, whenever they are computed."""
        self.__dict__["_given"] = GivenSeed(seed)
        try:
            yield
        finally:
            self.__dict__["_given"] = None


class GivenSeed(keras.random.SeedGenerator):
    """Gives the seed that it is made of, a tensor (2,), and then those after it: for draws within a loop."""

    def __init__(self, seed):
        self.given = seed

    def next(self, ordered=True):
        seed, self.given = self.given, self.given + ops.cast([0, 1], self.given.dtype)
        return seed


def seeds_of_steps(time, generator):
    """A seed for each step of a loop, (time, 2), for `GivenSeed`."""
    seeds = keras.random.randint((time, 2), 0, 2**31 - 1, seed=generator)
    return ops.cast(seeds, "int32" if keras.config.backend() == "tensorflow" else "uint32")


def seeded(part):
    """Decorator of a model's `build`: with `seed` the initial weights are those of the seed, whatever was drawn before.

    Keras seeds its initializers by Python's `random`, whose state is put back.

    part: str. What else they depend on: builds call one another, and none repeats another's weights.
    """

    def decorate(build):
        @functools.wraps(build)
        def call(self, input_shape):
            with _seeded_initializers(self.seed, part):
                return build(self, input_shape)

        return call

    return decorate


@contextlib.contextmanager
def _seeded_initializers(seed, part):
    if seed is None:
        yield
        return
    with _LOCK:
        state = random.getstate()
        random.seed(f"{seed} {part}")
        try:
            yield
        finally:
            random.setstate(state)
