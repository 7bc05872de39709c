"""A simulated plant with labelled faults, in the style of public sets (SMD, Tennessee Eastman, Numenta's).

Eight sensors, a reading an hour. A load with seasons of a day and of a week, slow weather and three regimes drive them
all, so that they hang together: by products, squares and saturation, some of them with a delay. Training and
validation parts are clean. In the test part one sensor at a time reads wrong, while the plant itself goes on.
"""

from typing import NamedTuple

import numpy as np

DAY, WEEK = 24, 168
SENSORS = ("flow", "pressure", "power", "temperature", "valve", "vibration", "level", "quality")
#: Kind of a fault -> its least and longest duration, in hours.
KINDS = {
    "spike": (1, 2),
    "level shift": (24, 72),
    "drift": (48, 96),
    "stuck": (12, 48),
    "broken coupling": (24, 72),
    "variance": (24, 48),
    "missing season": (48, 96),
}


class Plant(NamedTuple):
    """Parts that follow one another, from the first hour of a week on: readings (hours, sensors)."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    kinds: np.ndarray  # (test hours,): 0 where nothing is wrong, else 1 + the index of one of KINDS

    @property
    def clean(self):
        return np.concatenate([self.train, self.valid])


def smoothed(x, keep):
    """First-order lag, keep * s_{t-1} + (1 - keep) * x_t."""
    found, last = np.empty_like(x), x[0]
    for t, value in enumerate(x):
        found[t] = last = keep * last + (1 - keep) * value
    return found


def slow_noise(random, steps, keep):
    """Noise of standard deviation 1 whose autocorrelation at lag 1 is `keep`."""
    return smoothed(random.normal(size=steps), keep) * np.sqrt((1 + keep) / (1 - keep))


def regimes(random, steps, dwell=72):
    """Which of three regimes each hour is in; one lasts `dwell` hours on average."""
    changes = random.random(steps) < 1 / dwell
    return (np.cumsum(changes * random.integers(1, 3, steps)) + random.integers(3)) % 3


def readings(random, phases, steps):
    """Readings (steps, sensors) of a plant, whose days are those of `phases`."""
    hour = np.arange(steps)
    day, weekend = 2 * np.pi * hour / DAY, hour % WEEK >= 5 * DAY
    profile = np.sin(day + phases[0]) + 0.5 * np.sin(2 * day + phases[1])
    load = 0.6 * profile * np.where(weekend, 0.5, 1.0) - 0.3 * weekend + 0.25 * slow_noise(random, steps, 0.9)
    weather = 0.5 * np.sin(day + phases[2]) + 0.5 * slow_noise(random, steps, 0.99)
    regime = regimes(random, steps)
    flow = np.array([0.9, 1.0, 1.12])[regime] * np.log1p(np.exp(1.0 + load))
    pressure = flow**2 / (1 + flow) + 0.05 * slow_noise(random, steps, 0.7)
    power = np.array([1.05, 1.0, 0.95])[regime] * flow * pressure
    temperature = smoothed(power, 0.8) + 0.5 * weather
    valve = 1 / (1 + np.exp(-2 * (np.roll(temperature, 1) - 1.5 + 0.3 * load)))
    vibration = np.exp(0.5 * flow + 0.15 * random.normal(size=steps))
    level = smoothed(flow - 1.5 * valve, 0.9)
    quality = np.tanh(temperature - weather - 1) - 0.3 * np.cos(load)
    found = np.stack([flow, pressure, power, temperature, valve, vibration, level, quality], axis=1)
    return found + 0.08 * found.std(axis=0) * random.normal(size=found.shape)


def by_hour_of_week(x):
    """Mean and standard deviation of each hour of the week, (168, sensors), of readings from the first such hour on."""
    groups = [x[hour::WEEK] for hour in range(WEEK)]
    return np.stack([g.mean(axis=0) for g in groups]), np.stack([g.std(axis=0, ddof=1) for g in groups])


def simulate(seed, train_weeks=26, valid_weeks=4, test_weeks=78, each=7):
    """A `Plant` with `each` faults of every kind, at random times that do not meet, in random sensors."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 2 * np.pi, 3)
    clean, steps = (train_weeks + valid_weeks) * WEEK, test_weeks * WEEK
    whole, other = (readings(random, phases, clean + steps) for _ in range(2))
    season = by_hour_of_week(whole[:clean])[0]
    usual = np.resize(season, whole.shape)
    sd = (whole - usual)[:clean].std(axis=0)
    seasonal = np.argsort(season.std(axis=0) / sd)[len(SENSORS) // 2 :]
    test, kinds = whole[clean:].copy(), np.zeros(steps, int)
    order = random.permutation(np.repeat(np.arange(len(KINDS)), each))
    room = steps // len(order)
    for place, index in enumerate(order):
        kind, (least, longest) = list(KINDS.items())[index]
        length = random.integers(least, longest + 1)
        start = place * room + random.integers(room - length - DAY + 1)
        at = slice(start, start + length)
        sensor = random.choice(seasonal) if kind == "missing season" else random.integers(len(SENSORS))
        sign, size = random.choice([-1, 1]) * sd[sensor], random.uniform()
        if kind == "spike":
            test[at, sensor] += sign * (3 + 3 * size)
        elif kind == "level shift":
            test[at, sensor] += sign * (1.5 + 1.5 * size)
        elif kind == "drift":
            test[at, sensor] += sign * (2 + 2 * size) * np.linspace(0, 1, length)
        elif kind == "stuck":
            test[at, sensor] = test[start, sensor]
        elif kind == "broken coupling":  # the sensor of another such plant, at the same hours
            test[at, sensor] = other[clean:][at, sensor]
        elif kind == "variance":
            test[at, sensor] += sd[sensor] * (0.5 + size) * random.normal(size=length)
        else:
            test[at, sensor] += (season.mean(axis=0) - usual[clean:][at])[:, sensor]
        kinds[at] = 1 + index
    unit, offset = np.exp(random.uniform(-2, 5, len(SENSORS))), random.uniform(-50, 50, len(SENSORS))
    parts = np.split(np.concatenate([whole[:clean], test]) * unit + offset, [train_weeks * WEEK, clean])
    return Plant(*parts, kinds)
