"""What the latents of a model learned: functions of a model and of data. docs/diagnostics.md lists them.

All numbers are of z_t drawn from the posterior, once a sequence. The posterior at a step is given the draws at the
steps before, as in `encode`. Sums are NumPy's, in float64; masked steps are not counted. `calibration` is of forecasts,
and needs no latents.
"""

from zf_keras.inference.diagnostics.calibration import calibration
from zf_keras.inference.diagnostics.latents import (
    active_units,
    aggregate_posterior,
    kl,
    log_prob_at_prior_mean,
    mutual_information,
    overlap,
)
from zf_keras.inference.diagnostics.loss import gradient_norms, loss_shares
from zf_keras.inference.diagnostics.report import summary
