"""What is drawn is what was given: values are read back from the figures."""

import numpy as np
import pytest

from zf_keras import pictures
from zf_keras.datasets import midi
from zf_keras.inference.diagnostics.calibration import Calibration

RNG = np.random.default_rng(0)


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.axison or axis.images]


def test_images_are_blocks():
    real, drawn = RNG.integers(0, 2, size=(2, 4, 9, 1)).astype("float32")
    figure = pictures.images({"real": real, "generated": drawn[:3]})
    assert titles(figure) == ["real", "generated"]
    for axis, images in zip(figure.axes, (real, drawn[:3]), strict=True):
        block = axis.images[0].get_array()
        assert block.shape == (10, 10)
        for i, image in enumerate(images):
            row, column = 5 * (i // 2), 5 * (i % 2)
            np.testing.assert_array_equal(block[row + 1 : row + 4, column + 1 : column + 4], image.reshape(3, 3))


def test_a_strip_of_images():
    points = RNG.integers(0, 2, size=(5, 2, 4, 1)).astype("float32")
    figure = pictures.images({f"{i}": point for i, point in enumerate(points)}, columns=1)
    places = [axis.get_subplotspec() for axis in figure.axes]
    assert [place.colspan.start for place in places] == [0, 1, 2, 3, 4]  # in one row
    assert all(axis.images[0].get_array().shape == (8, 4) for axis in figure.axes)


def test_rolls_are_columns_of_groups():
    real = (RNG.random((2, 6, 88)) < 0.2).astype("float32")
    figure = pictures.rolls({"real": real, "generated": real[:1]})
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == ["real", "generated", ""]
    for axis, roll in zip(shown, (real[0], real[0], real[1]), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), roll.T)
        assert axis.images[0].get_extent() == [0, 6, 20.5, 108.5]


def test_a_tone_is_a_line_of_the_spectrogram():
    rate, seconds = 8000, np.arange(8000) / 8000
    figure = pictures.waveforms([1000 * np.sin(2 * np.pi * 1000 * seconds), np.zeros(8000)], rate)
    wave, spectrum, silence_wave, silence = figure.axes
    assert wave.get_xlim() == spectrum.get_xlim() == (0, 1) and not silence_wave.lines[0].get_ydata().any()
    power = spectrum.images[0].get_array()
    assert np.argmax(power.mean(axis=1)) == pytest.approx(1000 / 4000 * len(power), abs=1)
    assert power.max() == pytest.approx(0, abs=1e-6)
    assert (silence.images[0].get_array() == -80).all()


def test_series_are_lines():
    values = RNG.normal(size=(3, 7, 2))
    figure = pictures.series({"real": values[:1], "forecast": values[1:2], "other": values[2:]})
    lines = [[line.get_ydata() for line in axis.lines] for axis in figure.axes if axis.lines]
    np.testing.assert_array_equal(lines, values.swapaxes(1, 2))


@pytest.mark.parametrize("groups", [{}, {"real": []}, {"real": np.zeros((1, 4, 1)), "generated": []}])
def test_nothing_to_draw(groups):
    with pytest.raises(ValueError, match="`groups` must hold a sequence or more for each title"):
        pictures.images(groups)


def test_paths_are_on_their_principal_plane():
    """Latents that lie in a plane keep all of their distances."""
    plane = RNG.normal(size=(2, 8))
    flat = RNG.normal(size=(3, 5, 2))
    mask = np.ones((3, 5), bool)
    mask[1, 2:] = False
    latents = flat @ np.linalg.qr(plane.T)[0].T
    latents[~mask] = 1e6
    paths, shares = pictures.projected(latents, mask)
    assert [len(path) for path in paths] == [5, 2, 5] and shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1]
    found, given = np.concatenate(paths), flat[mask]
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found, axis=-1), np.linalg.norm(given[:, None] - given, axis=-1)
    )
    axis = pictures.latent_paths(latents, mask).axes[0]
    np.testing.assert_array_equal(axis.lines[0].get_xydata(), paths[0])


def test_latents_of_one_dimension_or_that_stand_still():
    paths, shares = pictures.projected(np.arange(4.0).reshape(1, 4, 1))
    np.testing.assert_allclose(np.abs(paths[0]), [[1.5, 0], [0.5, 0], [0.5, 0], [1.5, 0]])
    assert shares.tolist() == [1, 0]
    paths, shares = pictures.projected(np.ones((2, 3, 4)))
    assert not np.any(paths) and not shares.any()


@pytest.mark.parametrize(
    ("latents", "mask", "message"),
    [
        (np.zeros((3, 4)), None, r"`latents` must have the shape \(batch, time, latent_dim\)"),
        (np.zeros((3, 4, 2)), np.ones((3, 5)), r"`mask` must have the shape \(3, 4\)"),
        (np.zeros((1, 4, 2)), np.eye(1, 4), "two steps or more that count. Received: 1"),
    ],
)
def test_latents_that_have_no_path(latents, mask, message):
    with pytest.raises(ValueError, match=message):
        pictures.projected(latents, mask)


def test_kl_goes_down():
    figure = pictures.kl_by_dimension([0.5, 2.0, 0.0, 1.0], active=[True, True, False, True])
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [2, 1, 0.5, 0]
    assert len({bar.get_facecolor() for bar in bars[:3]}) == 1 and bars[3].get_facecolor() != bars[0].get_facecolor()
    assert "3 of 4 are active" in figure.axes[0].get_xlabel()


def test_curves_have_a_band_over_seeds():
    first = {
        "updates": [10, 20, 30],
        "elbo": [-9, -8, -7],
        "val_elbo": [-9, -6, -5],
        "kl": [0, 1, 2],
        "val_kl": [0, 1, 3],
    }
    second = {"updates": [10, 20], "elbo": [-9, -8], "val_elbo": [-7, -2], "kl": [1, 1], "val_kl": [1, 1]}
    figure = pictures.curves({"seeds": [first, second], "RNN": {"elbo": [-3], "val_elbo": [-4]}}, kept={"seeds": 2})
    elbo, kl = figure.axes
    assert titles(figure) == ["ELBO", "KL of posterior and prior"] and len(kl.lines) == 3 and len(kl.collections) == 2
    training, validation, dot, *rnn = elbo.lines
    assert validation.get_xydata().tolist() == [[10, -8], [20, -4]] and training.get_linestyle() == ":"
    assert dot.get_xydata().tolist() == [[20, -4]]
    assert [line.get_ydata().tolist() for line in rnn] == [[-3], [-4]]
    heights = elbo.collections[1].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (-9, -2)
    with pytest.raises(ValueError, match="must have one of the metrics elbo, kl"):
        pictures.curves({"a": {"loss": [1.0]}})


def test_the_sound_of_a_roll():
    roll = np.zeros((6, 88), "float32")
    roll[1:5, 69 - 21] = 1  # a, 440 Hz
    wave, rate = midi.to_wave(roll, step_seconds=0.25)
    assert wave.dtype == "int16" and len(wave) == 1.5 * rate
    assert not wave[: rate // 4].any() and not wave[5 * rate // 4 :].any()
    power = np.abs(np.fft.rfft(wave[rate // 4 : 5 * rate // 4].astype("float64")))
    assert np.argmax(power) == 440
    assert not midi.to_wave(np.zeros((2, 88)))[0].any()


@pytest.mark.parametrize("kind", ["real", "binary", "tokens"])
def test_calibration_is_beside_the_diagonal(kind):
    levels, came, error = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.4, 0.9]), np.array([0.05, 0.1, 0.0])
    result = Calibration(kind, levels, came, error, np.ones(3), 0.0667, None, 3, 0)
    (axis,) = pictures.calibration(result).axes
    diagonal, model = axis.lines[:2]
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    np.testing.assert_array_equal(model.get_xydata(), np.stack([levels, came], axis=1))
    bars = np.array([[low[1], high[1]] for low, high in axis.collections[0].get_segments()])
    np.testing.assert_allclose(bars, np.stack([came - 2 * error, came + 2 * error], axis=1))
    assert "0.067" in axis.get_title()
