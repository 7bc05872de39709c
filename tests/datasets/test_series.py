"""Series of CSV and Parquet: what is read of them, what is refused, and that nothing of the future is trained on."""

import json

import numpy as np
import pytest

from zf_keras.datasets import Batches, series
from zf_keras.datasets.series_files import Columns, read_series
from zf_keras.datasets.series_grid import dates_after, frequency_of, season_length

pandas = pytest.importorskip("pandas")
LENGTHS = {"b": 40, "a": 25, "c": 33}  # the first is not the first by name
ALL = {
    "covariates": ["price"],
    "static": ["size"],
    "categories": ["shop", "unique_id"],
    "calendar": ["weekday"],
    "holidays": "DE",
}


def table(lengths=LENGTHS, frequency="D", start="2024-01-01"):
    """A long table. y is the number of the step, and 100 more for each further series."""
    parts = []
    for i, (name, count) in enumerate(lengths.items()):
        times = pandas.date_range(start, periods=count, freq=frequency)
        price = np.random.default_rng(i).normal(10, 3, count)
        columns = {"unique_id": name, "ds": times, "y": 100.0 * i + np.arange(count), "price": price}
        parts.append(pandas.DataFrame({**columns, "size": 2.0 + i, "shop": ["north", "south"][i % 2]}))
    return pandas.concat(parts, ignore_index=True)


def write(path, frame):
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


def prepare(source, directory, **settings):
    return series.prepare(source, directory, **{"horizon": 5, "context": 8, "verbose": False, **settings})


def prepared(tmp_path, frame, name="out", **settings):
    """The splits of a long table, and the manifest."""
    manifest = prepare(write(tmp_path / f"{name}.csv", frame), tmp_path / name, **settings)
    return series.load_data(tmp_path / name), manifest


def refused(tmp_path, frame, message, **settings):
    with pytest.raises(ValueError, match=message):
        prepare(write(tmp_path / "wrong.csv", frame), tmp_path / "wrong", **settings)


def values(sequence):
    return (sequence["targets"] if isinstance(sequence, dict) else sequence)[:, 0]


def test_parts_and_windows(tmp_path):
    data, manifest = prepared(tmp_path, table())
    # b has 40 steps: 30 to train on, in windows of 13 that end with the last.
    assert [values(data.train[i])[[0, -1]].tolist() for i in (0, 17)] == [[0, 12], [17, 29]]
    assert data.train.lengths.tolist() == [13] * (18 + 3 + 11) and len(data.train) == 32
    assert values(data.valid[0]).tolist() == list(range(22, 35)) and values(data.test[2])[-1] == 232
    assert data.test[0].shape == (13, 1) and data.test[0].dtype == "float32"
    survey = manifest["survey"]
    assert (survey["frequency"], survey["season_length"], survey["time_zone"]) == ("D", 7, None)
    first = {"name": "b", "start": "2024-01-01", "valid": "2024-01-31", "test": "2024-02-05", "end": "2024-02-09"}
    assert survey["series"][0] == {key: x if key == "name" else f"{x}T00:00:00" for key, x in first.items()}
    strided = series.load_data(tmp_path / "out", stride=7).train
    assert [values(strided[i])[-1] for i in range(3)] == [15, 22, 29]
    with pytest.raises(IndexError):
        strided[len(strided)]


def test_what_stands_beside_the_targets(tmp_path):
    frame = table()
    data, manifest = prepared(tmp_path, frame, **ALL)
    train = pandas.concat([frame[frame.unique_id == name][: count - 10] for name, count in LENGTHS.items()])
    price = (frame.price - train.price.mean()) / train.price.std(ddof=0)
    last = data.test[0]
    np.testing.assert_allclose(last["covariates"][:, 0], price[27:40], rtol=1e-4, atol=1e-5)
    weekdays = frame.ds[27:40].dt.weekday
    np.testing.assert_allclose(last["covariates"][:, 1], weekdays / 6 - 0.5, rtol=1e-6)
    assert data.train[0]["covariates"][:, 2].tolist() == [0.5] + [-0.5] * 12  # New Year's Day
    np.testing.assert_allclose([data.test[i]["static"][0] for i in range(3)], [-1.224745, 0, 1.224745], rtol=1e-5)
    assert [data.test[i]["categories"].tolist() for i in range(3)] == [[0, 1], [1, 0], [0, 2]]
    assert manifest["survey"]["vocabularies"] == {"shop": ["north", "south"], "unique_id": ["a", "b", "c"]}
    assert series.DATASET.model_arguments(manifest) == {"cardinalities": (2, 3)}
    assert manifest["survey"]["covariates"] == ["price", "weekday", "holiday"]
    batch = Batches(data.train, 32)[0]
    shapes = {"targets": (32, 13, 1), "covariates": (32, 13, 3), "static": (32, 1), "categories": (32, 2)}
    assert {key: x.shape for key, x in batch.items()} == shapes and batch["categories"].dtype == "int32"


def test_nothing_of_the_future_is_trained_on(tmp_path):
    """By date: each step says which it is. By value: whatever comes at the cutoff and after changes nothing."""
    frame = table()
    step = frame.groupby("unique_id").cumcount()
    ends = frame.unique_id.map(LENGTHS)
    data, manifest = prepared(tmp_path, frame, **ALL)
    cutoffs = [count - 10 for count in LENGTHS.values()]
    seen = [values(data.train[i]) for i in range(len(data.train))]
    for i, cutoff in enumerate(cutoffs):
        of_series = np.concatenate([each - 100 * i for each in seen if each[0] // 100 == i])
        assert of_series.max() == cutoff - 1
        assert manifest["survey"]["series"][i]["valid"] == str(
            (frame.ds[0] + pandas.Timedelta(cutoff, "D")).isoformat()
        )
    for name, future, parts in (
        ("valid", step >= ends - 10, ("train",)),
        ("test", step >= ends - 5, ("train", "valid")),
    ):
        changed = frame.copy()
        changed.loc[future, ["y", "price"]] *= -1000
        # One that is too short to train on says nothing either.
        extra = table({"z": 10}).assign(shop="west", size=99.0)
        other, found = prepared(tmp_path, pandas.concat([changed, extra]), name, short="drop", **ALL)
        assert found["survey"]["short"] == ["z"]
        for key in ("scales", "vocabularies", "series", "frequency"):
            assert found["survey"][key] == manifest["survey"][key]
        assert found["statistics"] == manifest["statistics"]
        for split in parts:
            for before, after in zip(getattr(data, split), getattr(other, split), strict=True):
                for key in before:
                    np.testing.assert_array_equal(before[key], after[key])
        assert (values(other.test[0]) != values(data.test[0])).any()


def test_rows_in_any_order_and_both_formats(tmp_path):
    frame = table()
    shuffled = frame.sample(frac=1, random_state=0)
    shuffled = pandas.concat([frame[:1], shuffled[shuffled.index > 0]])  # b comes first
    write(tmp_path / "a.csv", shuffled)
    write(tmp_path / "a.parquet", shuffled.assign(unique_id=shuffled.unique_id.astype("category")))
    write(tmp_path / "dated.parquet", frame[:40].set_index("ds"))
    columns = Columns("long", "unique_id", "ds", ["y"], ["price"], [], ["shop"])
    for name in ("a.csv", "a.parquet"):
        found = {each.name: each for each in read_series(tmp_path / name, columns)}
        assert set(found) == {"a", "b", "c"} and next(iter(found)) == "b"
        for key, count in LENGTHS.items():
            each, own = found[key], frame[frame.unique_id == key]
            assert len(each.times) == count and each.times.equals(pandas.DatetimeIndex(own.ds))
            np.testing.assert_array_equal(each.targets[:, 0], own.y)
            np.testing.assert_allclose(each.covariates[:, 0], own.price)
            assert each.categories == [own.shop.iloc[0]]
    (dated,) = read_series(tmp_path / "dated.parquet", columns)
    assert dated.times.equals(pandas.DatetimeIndex(frame.ds[:40]))


def test_wide_and_files(tmp_path):
    frame = table()
    wide = frame.pivot(index="ds", columns="unique_id", values="y")[list(LENGTHS)]
    for name in ("wide.csv", "wide.parquet"):
        source = write(tmp_path / name, wide.reset_index() if name.endswith("csv") else wide)
        prepare(source, tmp_path / f"{name}-out", layout="wide", categories=["unique_id"])
    (tmp_path / "files").mkdir()
    for name in LENGTHS:
        write(tmp_path / "files" / f"{name}.csv", frame[frame.unique_id == name].drop(columns="unique_id"))
    prepare(tmp_path / "files", tmp_path / "files-out", layout="files", categories=["unique_id"])
    expected = prepared(tmp_path, frame, categories=["unique_id"])[0]
    order = {"wide.csv": (0, 1, 2), "wide.parquet": (0, 1, 2), "files": (1, 0, 2)}
    for name, places in order.items():
        data = series.load_data(tmp_path / f"{name}-out")
        for i, place in enumerate(places):
            np.testing.assert_array_equal(data.test[i]["targets"], expected.test[place]["targets"])
            assert data.test[i]["categories"].tolist() == expected.test[place]["categories"].tolist()


def test_a_name_is_what_is_written(tmp_path):
    """NA too, which pandas takes for nothing, and 007 for a number."""
    frame = table({"NA": 12, "007": 12})
    _, manifest = prepared(tmp_path, frame.assign(shop="null"), categories=["shop"])
    assert [each["name"] for each in manifest["survey"]["series"]] == ["NA", "007"]
    assert manifest["survey"]["vocabularies"] == {"shop": ["null"]}
    refused(
        tmp_path, frame.assign(shop=frame["shop"].where(frame.index != 3)), "'shop' must be one", categories=["shop"]
    )


def test_several_targets_and_missing_values(tmp_path):
    frame = table({"a": 30}).assign(y2=lambda frame: -frame.y)
    frame.loc[[4, 28], "y"] = np.nan
    frame = frame.drop(index=[6, 7])
    refused(tmp_path, frame, "wrong.csv: series 'a' has no row for 2024-01-07 00:00:00, nor for 1 other")
    refused(
        tmp_path, frame[:6], "series 'a' has no value of target 1 at 2024-01-05 00:00:00: .*gaps='missing'", horizon=2
    )
    data, manifest = prepared(tmp_path, frame, target=["y", "y2"], gaps="missing")
    first = data.train[0]
    assert np.argwhere(np.isnan(first)).tolist() == [[4, 0], [6, 0], [6, 1], [7, 0], [7, 1]]
    there = first[~np.isnan(first)]
    assert there.tolist() == [0, 0, 1, -1, 2, -2, 3, -3, -4, 5, -5, 8, -8, 9, -9, 10, -10, 11, -11, 12, -12]
    every = np.arange(20)
    known = np.concatenate([np.delete(every, [4, 6, 7]), -np.delete(every, [6, 7])])
    assert manifest["statistics"]["mean"] == pytest.approx(known.mean())
    assert np.isnan(Batches(data.train, 2)[0]["targets"]).sum() == 5 + 5
    refused(tmp_path, frame, "no row for 2024-01-07 .*covariates must be known", gaps="missing", covariates=["price"])


def test_rows_after_the_last_value_are_of_the_future(tmp_path):
    frame = table({"a": 30})
    frame.loc[25:, "y"] = np.nan
    frame.loc[:1, "y"] = np.nan
    data, manifest = prepared(tmp_path, frame, covariates=["price"])
    assert values(data.test[0]).tolist() == list(range(12, 25))
    assert manifest["survey"]["series"][0]["start"] == "2024-01-03T00:00:00"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.rename(columns={"ds": "date"}),
            "no column 'ds', which `time` says. There are 'unique_id', 'da",
        ),
        (lambda f: f.drop(columns="y"), "no column 'y', which `target` says"),
        (lambda f: f.drop(columns="unique_id"), "no column 'unique_id', which `series` says"),
        (lambda f: f.astype({"y": object}).replace({"y": {3.0: "3,0"}}), r"series 'b', row 4: '3,0' in the column 'y'"),
        (lambda f: f.replace({"y": {3.0: np.inf}}), "series 'b', row 4: 'inf' in the column 'y' is no finite number"),
        (lambda f: pandas.concat([f, f[7:8]]), "series 'b': the rows 8 and 99 have one date, 2024-01-08"),
        (lambda f: f.assign(ds=f.ds.astype(str).replace("2024-01-02", "02/01/2024")), "row 2: '02/01/2024' is no date"),
        (lambda f: f.assign(ds=f.ds.where(f.index != 5)), "series 'b', row 6: 'nan' is no date"),
        (lambda f: f.assign(unique_id=f.unique_id.where(f.index != 5)), "row 6 names no series"),
        (lambda f: f.drop(index=5), "series 'b' has no row for 2024-01-06"),
        (
            lambda f: f.assign(ds=f.ds + pandas.to_timedelta((f.index == 50) * 3600, "s")),
            "'a': 2024-01-11 01:00:00 is no",
        ),
        (
            lambda f: f[(f.unique_id != "a") | (f.index % 2 == 0)],
            "series 'a' is of frequency '2D', where 'D' is expected",
        ),
        (
            lambda f: f.groupby("unique_id").head(10),
            "series 'b' has 10 steps, where horizon=5 needs 11: ",
        ),
        (lambda f: f[:0], "wrong.csv: it has no rows"),
        (
            lambda f: f.assign(ds=f.ds.astype(str) + np.where(f.index > 3, " 00:00Z", "")),
            "row 1: '2024-01-01' has no time zone",
        ),
    ],
)
def test_what_is_refused(tmp_path, change, message):
    refused(tmp_path, change(table()), message)
    assert not (tmp_path / "wrong" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"horizon": 0}, "`horizon` must be a positive integer"),
        ({"context": None}, "`context` must be a positive integer"),
        ({"layout": "tall"}, "`layout` must be one of 'long', 'wide', 'files'"),
        ({"gaps": "zero"}, "`gaps` must be one of"),
        ({"short": "pad"}, "`short` must be one of"),
        ({"calendar": ["hours"]}, "`calendar` must be one of"),
        ({"holidays": "XX"}, "must know the country"),
        ({"frequency": "often"}, "`frequency` must be one of pandas"),
        ({"season": 0}, "`season` must be a positive integer"),
        ({"target": 3}, "`target` must be a sequence of names"),
        ({"target": []}, "`target` must name a column"),
        ({"covariates": ["y"]}, "'y' is named twice"),
        ({"layout": "wide", "covariates": ["price"]}, "`covariates` need layout='long'"),
        ({"covariates": ["weight"]}, "no column 'weight', which `covariates` says"),
        ({"static": ["price"]}, "series 'b': column 'price' must be one value in all its rows, but it holds"),
    ],
)
def test_wrong_settings(tmp_path, settings, message):
    refused(tmp_path, table(), message, **settings)


def test_covariates_must_be_known(tmp_path):
    frame = table()
    frame.loc[12, "price"] = np.nan
    refused(tmp_path, frame, "series 'b': covariate 1 has no value at 2024-01-13", covariates=["price"])


def test_time_zones(tmp_path):
    """Of the clocks of Berlin in March 2024, by their offsets, and in words."""
    berlin = pandas.date_range("2024-03-30", periods=72, freq="h", tz="Europe/Berlin")
    frame = table({"a": 72}, "h")
    offsets = frame.assign(ds=[time.isoformat() for time in berlin])
    refused(tmp_path, offsets, r"row 27: '2024-03-31T03:00:00\+02:00' is \+0200 from UTC, where row 1 is \+0100")
    data, manifest = prepared(tmp_path, offsets, time_zone="Europe/Berlin", calendar=["hour"])
    survey = manifest["survey"]
    assert survey["time_zone"] == "Europe/Berlin" and survey["season_length"] == 24
    assert survey["series"][0]["end"] == "2024-04-02T00:00:00+02:00"
    hours = np.rint((data.train[20]["covariates"][:, 0] + 0.5) * 23)
    assert hours.tolist() == [20, 21, 22, 23, 0, 1, 3, 4, 5, 6, 7, 8, 9]
    one = offsets.assign(ds=[time.isoformat() for time in berlin.tz_convert("UTC")])
    assert prepared(tmp_path, one, "utc")[1]["survey"]["time_zone"] == "UTC"
    # Of a new file: brought to the clocks of the data, or refused where these are not known.
    (summer,) = series.read(write(tmp_path / "summer.csv", one), manifest)
    assert str(summer.times.tz) == "Europe/Berlin" and (summer.times == berlin).all()
    fixed = prepared(tmp_path, one.assign(ds=one.ds.str.replace("+00:00", "+02:00")), "fixed")[1]
    (utc,) = series.read(tmp_path / "summer.csv", fixed)
    assert (utc.times == berlin).all() and utc.times[0].utcoffset() == pandas.Timedelta("2h")
    naive = prepared(tmp_path, frame, "naive")[1]
    with pytest.raises(ValueError, match=r"summer\.csv: series 'a' has the time zone .*, where the data has none"):
        series.read(tmp_path / "summer.csv", naive)
    parquet = write(tmp_path / "zoned.parquet", frame.assign(ds=berlin))
    for zone, expected in ((None, "Europe/Berlin"), ("UTC", "UTC")):
        assert prepare(parquet, tmp_path / expected, time_zone=zone)["survey"]["time_zone"] == expected
    clocks = frame.assign(ds=pandas.date_range("2024-03-30", periods=72, freq="h"))
    refused(tmp_path, clocks, "row 27: .* comes twice or never in Europe/Berlin", time_zone="Europe/Berlin")
    (tmp_path / "two").mkdir()
    write(tmp_path / "two/a.csv", one)
    write(tmp_path / "two/b.csv", clocks.assign(unique_id="b"))
    with pytest.raises(ValueError, match=r"b\.csv: series 'b' has the time zone None, where others have UTC"):
        prepare(tmp_path / "two", tmp_path / "two-out")


def test_files_that_can_not_be_read_are_skipped(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.csv", table())
    write(folder / "b.csv", table({"a": 30}))
    (folder / "c.parquet").write_bytes(b"none")
    write(folder / "d.csv", table({"d": 30}))
    with pytest.raises(ValueError, match=r"b\.csv: series 'a' is in another file too"):
        prepare(folder, tmp_path / "out")
    manifest = prepare(folder, tmp_path / "out", on_error="skip")
    assert [skipped["source"] for skipped in manifest["skipped"]] == ["b.csv", "c.parquet"]
    assert [each["name"] for each in manifest["survey"]["series"]] == ["b", "a", "c", "d"]
    data = series.load_data(tmp_path / "out", verify=True)
    assert len(data.valid) == len(data.test) == 4 and values(data.test[3])[-1] == 29


@pytest.mark.parametrize("frequency", ["h", "15min", "D", "B", "W-SUN", "MS", "ME", "QE-DEC", "YS-JAN", "YE-DEC"])
def test_frequencies(tmp_path, frequency):
    """Told from the dates, those with a gap too, and gone on with."""
    times = pandas.date_range("2023-02-27", periods=30, freq=frequency)
    each = read_series(
        write(tmp_path / "a.csv", pandas.DataFrame({"ds": times, "y": 1.0})),
        Columns("files", "id", "ds", ["y"], [], [], []),
    )[0]
    assert each.name == "a"
    with_gap = each._replace(times=times.delete(12))
    assert frequency_of([each]) == frequency_of([with_gap]) == frequency
    np.testing.assert_array_equal(dates_after(times[19], frequency, 10), times[20:])


def test_seasons():
    seasons = {
        "h": 24,
        "2h": 12,
        "5h": 24,
        "30min": 48,
        "s": 3600,
        "B": 5,
        "W-SUN": 1,
        "ME": 12,
        "QS-OCT": 4,
        "YE-DEC": 1,
    }
    assert {name: season_length(name) for name in seasons} == seasons


def test_of_too_few_dates_no_frequency_is_told(tmp_path):
    frame = table({"a": 3})[["unique_id", "ds", "y"]].drop(index=1)
    refused(tmp_path, frame, "give `frequency`", horizon=1)
    refused(tmp_path, frame, "no row for 2024-01-02", horizon=1, frequency="D")


def test_prepared_once_with_its_settings(tmp_path):
    manifest = prepared(tmp_path, table())[1]
    assert prepared(tmp_path, table())[1] == manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    with pytest.raises(ValueError, match="prepared with horizon=5, not horizon=6"):
        prepare(tmp_path / "out.csv", tmp_path / "out", horizon=6)
