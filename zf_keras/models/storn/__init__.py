"""STORN (Bayer and Osendorp 2014)."""

from zf_keras.models.storn.storn import STORN
