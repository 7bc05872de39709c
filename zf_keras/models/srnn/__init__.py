"""SRNN (Fraccaro et al. 2016)."""

from zf_keras.models.srnn.srnn import SRNN
