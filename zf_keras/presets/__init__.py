"""Presets: a model's configuration, weights, statistics, vocabulary and card in a folder. See docs/presets.md."""

from zf_keras.presets.assets import Assets, load_assets
