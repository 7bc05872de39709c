"""Output heads: what f_o's parameters mean, as a distribution. A file a head; each file here is found by itself."""

import importlib
import pkgutil

from zf_keras.heads.head import DistributionHead, IndependentHead
from zf_keras.heads.registry import get_head, without_void

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
