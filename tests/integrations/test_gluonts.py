"""GluonTS itself evaluates a model, and comes to the scores of its `Forecast`."""

import keras
import numpy as np
import pandas
import pytest
from gluonts.dataset.common import ListDataset
from gluonts.dataset.split import split
from gluonts.ev.metrics import MAE, MASE, SMAPE, MeanWeightedSumQuantileLoss
from gluonts.model import Predictor, evaluate_model

from tests.support import normal
from zf_keras import RNN, Forecast
from zf_keras.inference.scores import DECILES
from zf_keras.integrations.gluonts import SequencePredictor

HORIZON, SEASON = 4, 3
LENGTHS = (14, 20, 9)
SERIES = [normal(length, seed=i) + i for i, length in enumerate(LENGTHS)]


def rnn(width=1):
    model = RNN(units=6, output="gaussian", seed=0)
    model.build((None, None, width))
    return model


@pytest.fixture(scope="module")
def predictor():
    return SequencePredictor(rnn(), prediction_length=HORIZON, num_samples=31, batch_size=64, seed=1)


def dataset(series, **fields):
    rows = [{"start": "2020-01-01", "target": x, "item_id": str(i)} for i, x in enumerate(series)]
    rows = [row | {name: values[i] for name, values in fields.items()} for i, row in enumerate(rows)]
    return ListDataset(rows, freq="D", one_dim_target=series[0].ndim == 1)


@pytest.mark.parametrize("gap", [False, True])
def test_its_scores_are_ours(predictor, gap):
    series = [x.copy() for x in SERIES]
    if gap:
        series[1][-2] = np.nan  # after the cutoff
    _, template = split(dataset(series), offset=-HORIZON)
    found = evaluate_model(
        predictor,
        test_data=template.generate_instances(HORIZON),
        metrics=[MeanWeightedSumQuantileLoss(DECILES), MASE(), SMAPE(), MAE()],
        seasonality=SEASON,
    )
    histories = [x[:-HORIZON] for x in series]
    prompt, mask = np.zeros((3, 16, 1)), np.arange(16) < np.array(LENGTHS)[:, None] - HORIZON
    prompt[mask] = np.concatenate(histories)[:, None]
    forecast = predictor.model.forecast(prompt, HORIZON, 31, mask=mask, batch_size=64, seed=1)
    actual = np.stack([x[-HORIZON:] for x in series])[..., None]
    ours = forecast.scores(actual, [x[:, None] for x in histories], season=SEASON)
    (row,) = found.to_dict("records")
    assert row["mean_weighted_sum_quantile_loss"] == pytest.approx(ours["wql"], rel=1e-5)
    assert row["MASE[0.5]"] == pytest.approx(ours["mase"], rel=1e-5)
    assert row["sMAPE[0.5]"] == pytest.approx(2 * ours["smape"], rel=1e-5)
    point = Forecast(forecast.median[None]).scores(actual)
    assert row["MAE[0.5]"] == pytest.approx(point["crps"], rel=1e-5)


def test_each_forecast_is_of_its_series(predictor):
    forecasts = list(predictor.predict(dataset(SERIES)))
    assert [forecast.item_id for forecast in forecasts] == ["0", "1", "2"]
    for forecast, length in zip(forecasts, LENGTHS, strict=True):
        assert forecast.start_date == pandas.Period("2020-01-01", "D") + length
        assert forecast.samples.shape == (31, HORIZON)
    assert next(predictor.predict(dataset(SERIES), num_samples=5)).num_samples == 5


def test_context_length(predictor):
    """Of the last steps alone."""
    settings = {"prediction_length": HORIZON, "num_samples": 3, "seed": 0}
    model = predictor.model
    short = SequencePredictor(model, context_length=5, **settings)
    whole = SequencePredictor(model, **settings)
    np.testing.assert_allclose(
        [each.samples for each in short.predict(dataset(SERIES))],
        [each.samples for each in whole.predict(dataset([x[-5:] for x in SERIES]))],
        rtol=1e-5,
    )


def test_several_features_and_batches():
    series = [normal(2, 7, seed=i) for i in range(3)]
    predictor = SequencePredictor(rnn(2), prediction_length=HORIZON, num_samples=5, batch_size=2, seed=3)
    forecasts = list(predictor.predict(dataset(series)))
    assert [each.samples.shape for each in forecasts] == [(5, HORIZON, 2)] * 3
    again = list(predictor.predict(dataset(series)))
    np.testing.assert_array_equal([x.samples for x in forecasts], [x.samples for x in again])
    alone = predictor.model.forecast(series[2].T[None], HORIZON, 5, batch_size=2, seed=4)
    np.testing.assert_allclose(forecasts[2].samples, alone.samples[:, 0], rtol=1e-5)


def test_what_is_known_besides(monkeypatch):
    """The steps of the context and of the horizon, in the order of the model; what it does not read is left out."""
    model, asked = rnn(), []

    def forecast(prompt, horizon, num_samples, **given):
        asked.append(given)
        return Forecast(np.zeros((num_samples, len(prompt), horizon, 1)))

    monkeypatch.setattr(model, "features", {"targets": 1, "covariates": 2, "static": 1, "categories": 1})
    monkeypatch.setattr(model, "forecast", forecast)
    known = [np.stack([np.arange(len(x) + HORIZON), np.ones(len(x) + HORIZON)]) for x in SERIES]
    static, categories = np.array([[0.5], [1.5], [2.5]]), np.array([[0], [2], [1]])
    fields = {"feat_dynamic_real": known, "feat_static_real": static, "feat_static_cat": categories}
    predictor = SequencePredictor(model, prediction_length=HORIZON, context_length=12)
    list(predictor.predict(dataset(SERIES, **fields)))
    (given,) = asked
    np.testing.assert_array_equal(given["static"], static)
    np.testing.assert_array_equal(given["categories"], categories)
    assert given["covariates"].shape == (3, 12 + HORIZON, 2)
    for found, length in zip(given["covariates"], LENGTHS, strict=True):
        first = max(length - 12, 0)
        steps = np.arange(first, length + HORIZON)
        np.testing.assert_array_equal(found[: len(steps)], np.stack([steps, np.ones(len(steps))], axis=1))
    with pytest.raises(ValueError, match="`feat_dynamic_real`"):
        list(predictor.predict(dataset(SERIES)))
    known[1] = known[1][:, :-1]
    with pytest.raises(ValueError, match=r"`feat_dynamic_real` must be \(features, 24\).*\(2, 23\)"):
        list(predictor.predict(dataset(SERIES, **fields)))


def test_a_model_that_reads_them():
    """With gaps in a target, each series as alone."""
    model = RNN(units=6, output="gaussian", scaling="mean_abs", missing="skip", cardinalities=(3,), seed=0)
    known = [normal(2, length + HORIZON, seed=i) for i, length in enumerate(LENGTHS)]
    static, categories = normal(3, 1), np.array([[0], [2], [1]])
    fields = {"feat_dynamic_real": known, "feat_static_real": static, "feat_static_cat": categories}
    series = [x.copy() for x in SERIES]
    series[1][3] = np.nan

    def data(i, more):
        u = known[i].T[None, : LENGTHS[i] + more]
        return {"covariates": u, "static": static[i : i + 1], "categories": categories[i : i + 1]}

    model.loss_terms({"targets": series[0][None, :, None], **data(0, 0)})
    predictor = SequencePredictor(model, prediction_length=HORIZON, num_samples=3, batch_size=1, seed=5)
    for i, forecast in enumerate(predictor.predict(dataset(series, **fields))):
        ours = model.forecast(series[i][None, :, None], HORIZON, 3, batch_size=1, seed=5 + i, **data(i, HORIZON))
        np.testing.assert_allclose(forecast.samples, ours.samples[:, 0, :, 0], rtol=1e-5)


def test_it_is_written_and_read(predictor, tmp_path):
    predictor.serialize(tmp_path)
    again = Predictor.deserialize(tmp_path)
    assert type(again) is SequencePredictor and again.num_samples == 31 and again.batch_size == 64
    for one, other in zip(predictor.predict(dataset(SERIES)), again.predict(dataset(SERIES)), strict=True):
        np.testing.assert_allclose(one.samples, other.samples, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "series", "message"),
    [
        ({"prediction_length": 0}, SERIES, "`prediction_length`"),
        ({"context_length": 0}, SERIES, "`context_length`"),
        ({"num_samples": 0}, SERIES, "`num_samples`"),
        ({}, [normal(2, 7)], r"`target` .*of 1 features.*\(2, 7\)"),
        ({}, [np.array([0.0, np.nan, 1.0])], "`prompt`: .*nan"),
    ],
)
def test_errors(arguments, series, message):
    with pytest.raises(ValueError, match=message):
        list(SequencePredictor(rnn(), **({"prediction_length": HORIZON} | arguments)).predict(dataset(series)))


def test_other_models():
    with pytest.raises(ValueError, match="instance of SequenceModel expected"):
        SequencePredictor(keras.Sequential(), prediction_length=2)
    with pytest.raises(ValueError, match="`model` must be of frames"):
        SequencePredictor(RNN(units=2, output="categorical", num_classes=3), prediction_length=2)
