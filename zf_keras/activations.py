"""The hidden activation of the networks f_p, f_q, f_a and f_o."""

from keras import ops

SLOPE = 1 / 3
BOUND = 3.0


def clipped_leaky_relu(x):
    """Leaky ReLU of slope 1/3, clipped to [-3, 3], as in the released code of Z-Forcing."""
    return ops.clip(ops.leaky_relu(x, SLOPE), -BOUND, BOUND)
