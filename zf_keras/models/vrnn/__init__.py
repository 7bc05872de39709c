"""VRNN (Chung et al. 2015)."""

from zf_keras.models.vrnn.vrnn import VRNN
