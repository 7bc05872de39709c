"""Pictures with matplotlib, which comes with the extra `plot`: each function returns a figure, to show or to save."""

from zf_keras.pictures.curves import band, curves
from zf_keras.pictures.forecasts import forecast
from zf_keras.pictures.latents import kl_by_dimension, latent_paths, projected
from zf_keras.pictures.reliability import calibration
from zf_keras.pictures.sequences import images, rolls, series, tiled, waveforms
