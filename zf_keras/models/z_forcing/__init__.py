"""Z-Forcing."""

from zf_keras.models.z_forcing.released_weights import from_released_weights
from zf_keras.models.z_forcing.z_forcing import ZForcing
