"""Models as predictors of GluonTS, whose `evaluate_model` scores them: `pip install "zf_keras[gluonts]"`."""

import json
from pathlib import Path

import keras
import numpy as np
from gluonts.core.component import validated
from gluonts.itertools import batcher
from gluonts.model import Predictor, SampleForecast
from gluonts.model.predictor import RepresentablePredictor

from zf_keras.arguments import check_positive_int, check_seed, check_size, optional
from zf_keras.models.base import SequenceModel

#: What a model may read beside its targets, by the fields of GluonTS.
FIELDS = {"covariates": "feat_dynamic_real", "static": "feat_static_real", "categories": "feat_static_cat"}


class SequencePredictor(RepresentablePredictor):
    """A model as a predictor of GluonTS: a `SampleForecast` of joint paths for each series of a dataset.

    A model that was built for covariates, static numbers or categories reads them from `feat_dynamic_real`,
    `feat_static_real` and `feat_static_cat`; fields that it was not built for are not read. A target with gaps (NaN)
    needs a model with `missing="skip"`.

    Args:
        model: a `SequenceModel` of frames that has been fitted, or loaded.
        prediction_length: int. Steps to forecast.
        context_length: int or `None`. The last steps of a target that the model reads; `None` for all. Defaults to
            `None`.
        num_samples: int. Sample paths for each series. A quantile of a `SampleForecast` is the path next to it: with
            `10 * k + 1` paths the deciles, and so the scores, are those of `Forecast`. Defaults to `101`.
        batch_size: int. Series at a time, and (series, path) pairs that are computed at a time. Defaults to `128`.
        seed: int or `None`. The same seed gives the same paths; `None` continues the model's own. Defaults to `None`.

    Raises:
        ValueError: names what is wrong with an argument, or with a series of the dataset.

    Example:

    >>> import pandas
    >>> model = RNN(units=8, output="gaussian", seed=0)
    >>> model.build((None, None, 1))
    >>> predictor = SequencePredictor(model, prediction_length=6, seed=0)
    >>> start = pandas.Period("2024-01", "M")
    >>> (forecast,) = predictor.predict([{"target": np.zeros(24), "start": start}])
    >>> forecast.samples.shape, str(forecast.start_date)
    ((101, 6), '2026-01')
    """

    @validated()
    def __init__(
        self,
        model: SequenceModel,
        prediction_length: int,
        context_length: int | None = None,
        num_samples: int = 101,
        batch_size: int = 128,
        seed: int | None = None,
    ):
        super().__init__(prediction_length=check_positive_int("prediction_length", prediction_length))
        if model.tokens:
            raise ValueError("`model` must be of frames: tokens are no targets of GluonTS.")
        self.model = model
        self.context_length = optional(check_positive_int, "context_length", context_length)
        self.num_samples = check_size("num_samples", num_samples)
        self.batch_size = check_positive_int("batch_size", batch_size)
        self.seed = optional(check_seed, "seed", seed)

    def predict(self, dataset, num_samples=None):
        """Forecasts, one for each series of a dataset of GluonTS, in its order.

        Args:
            dataset: iterable of dicts with `target`, (time,) or (features, time), and `start`, a `pandas.Period`.
            num_samples: int or `None`. Instead of the predictor's own.
        """
        num_samples = self.num_samples if num_samples is None else num_samples
        for i, entries in enumerate(batcher(dataset, self.batch_size)):
            prompts = [self._prompt(entry) for entry in entries]
            arrays = {key: _padded([prompt[key] for prompt in prompts]) for key in prompts[0]}
            lengths = np.array([len(prompt["prompt"]) for prompt in prompts])
            found = self.model.forecast(
                **arrays,
                horizon=self.prediction_length,
                num_samples=num_samples,
                batch_size=self.batch_size,
                mask=np.arange(lengths.max()) < lengths[:, None],
                seed=None if self.seed is None else (self.seed + i) % 2**31,
            )
            for entry, samples in zip(entries, found.samples.swapaxes(0, 1), strict=True):
                target = np.asarray(entry["target"])
                yield SampleForecast(
                    samples=samples[..., 0] if target.ndim == 1 else samples,
                    start_date=entry["start"] + target.shape[-1],
                    item_id=entry.get("item_id"),
                )

    def predict_item(self, item):
        """The forecast of one series."""
        return next(self.predict([item]))

    def serialize(self, path):
        """Writes the model as `model.keras`, and the other arguments, into a folder."""
        Predictor.serialize(self, path)
        self.model.save(Path(path) / "model.keras")
        names = ("prediction_length", "context_length", "num_samples", "batch_size", "seed")
        (Path(path) / "predictor.json").write_text(json.dumps({name: getattr(self, name) for name in names}))

    @classmethod
    def deserialize(cls, path):
        """The predictor of such a folder; `Predictor.deserialize` of GluonTS finds it too."""
        settings = json.loads((Path(path) / "predictor.json").read_text())
        return cls(model=keras.saving.load_model(Path(path) / "model.keras"), **settings)

    def _prompt(self, entry):
        """What the model reads of a series: arguments of `forecast`, without the batch axis."""
        target = np.asarray(entry["target"], "float32")
        frames = np.atleast_2d(target).T
        features = self.model.features["targets"]
        if frames.shape[1] != features or not len(frames):
            raise ValueError(
                f"`target` must be (time,) or (features, time), of {features} features, which the model was built for, "
                f"and not empty. Received: shape={target.shape}."
            )
        found = {"prompt": frames[-self.context_length :] if self.context_length else frames}
        for key, field in FIELDS.items():
            if not self.model.features.get(key):
                continue
            if entry.get(field) is None:
                raise ValueError(f"The model reads {key}: each series must have `{field}`. Received: {sorted(entry)}.")
            values = np.asarray(entry[field])
            if key == "covariates":
                steps = len(frames) + self.prediction_length
                if values.ndim != 2 or values.shape[1] != steps:
                    raise ValueError(
                        f"`{field}` must be (features, {steps}), of the target and the {self.prediction_length} steps "
                        f"after it. Received: shape={values.shape}."
                    )
                values = values.T[-len(found["prompt"]) - self.prediction_length :]
            found[key] = values
        return found


def _padded(arrays):
    """One array of some that differ in length, with zeros on the right."""
    whole = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    for row, x in zip(whole, arrays, strict=True):
        row[: len(x)] = x
    return whole
