"""Whether an accelerator computes what the CPU does: every model's terms and gradients, by precision.

The CPU's are computed in a process without an accelerator, for Keras chooses cuDNN by the process. Weights, data and
noise are NumPy's, the same in both.
"""

from typing import NamedTuple

import jax
import keras
import numpy as np
from keras import ops

from benchmarks.measures import in_new_process
from benchmarks.models import MODELS, new_model
from benchmarks.training_step import Size, frames

SIZE = Size(time=12, features=5, units=32, latent=8, hidden=16, output="gaussian", batch=4)
#: An error is relative to the size of what it is of, and to so much of all of its kind.
SHARE = 0.01


class Precision(NamedTuple):
    policy: str  # Keras's
    products: str | None  # JAX's, of matrices in float32
    bits: int  # of the significand

    @property
    def limit(self):
        """Largest relative error.

        Forwards and backwards some 10 products a step are rounded, of 12 steps. Such errors, one independent of
        another, add up as the square root of their number, to 11 roundoffs; three times that is allowed. In float32 the
        order of sums and the functions of the hardware come to more: it is 1e-4, as of tests between backends.

        Where 11 roundoffs turn the sign of an activation, at a density of 0.4 about zero, its slope changes by 2/3. Of
        gradients, sums of about as many terms of either sign, this is the root of the share of such activations.
        """
        rounding = (10 * SIZE.time) ** 0.5 * 2.0**-self.bits
        return max(1e-4, 3 * rounding) + 2 / 3 * (0.4 * rounding) ** 0.5


PRECISIONS = {
    "float32": Precision("float32", "highest", 24),  # not the hardware's TF32
    "mixed_bfloat16": Precision("mixed_bfloat16", None, 8),
}


def values(name, precision):
    """Terms and gradients of a model, by name: two dicts of NumPy arrays."""
    policy, products, _ = PRECISIONS[precision]
    with jax.default_matmul_precision(products or "default"):
        return _values(name, policy)


def _values(name, policy):
    model = new_model(name, SIZE.units, SIZE.latent, output=SIZE.output, hidden_units=SIZE.hidden, seed=0, dtype=policy)
    model.build((None, None, SIZE.features))
    rng, variables = np.random.default_rng(0), model.trainable_weights
    for weight in variables:
        weight.assign(rng.normal(size=weight.shape) / weight.shape[0] ** 0.5)
    noise = ops.cast(rng.normal(size=(SIZE.batch, SIZE.time, model.noise_dim)), model.compute_dtype)
    x = frames(SIZE)

    @jax.jit
    def run(values):
        def loss(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                terms, weights = model.loss_terms(x, noise=noise), model.current_weights()
                return ops.mean(sum(weight * terms[name] for name, weight in weights.items())), terms

        gradients, terms = jax.grad(loss, has_aux=True)(values)
        return terms, gradients

    terms, gradients = run([variable.value for variable in variables])
    names = [f"{i} {variable.path.partition('/')[2]}" for i, variable in enumerate(variables)]
    return (
        {name: np.asarray(x, "float32") for name, x in terms.items()},
        {name: np.asarray(x, "float32") for name, x in zip(names, gradients, strict=True)},
    )


def errors(found, expected):
    """Relative errors of arrays by name."""
    sizes = {name: np.linalg.norm(x) for name, x in expected.items()}
    of_all = SHARE * np.linalg.norm(list(sizes.values()))
    return {name: float(np.linalg.norm(found[name] - x) / (sizes[name] + of_all)) for name, x in expected.items()}


def on_cpu(names):
    return {name: values(name, "float32") for name in names}


def agreement(names=tuple(MODELS)):
    """For each model and precision a dict: the largest errors, of what, the limit, and whether they are below it."""
    cpu = in_new_process(on_cpu, names, environment={"JAX_PLATFORMS": "cpu"})
    for name in names:
        for precision in PRECISIONS:
            limit, row = PRECISIONS[precision].limit, {"model": name, "precision": precision}
            pairs = zip(("terms", "gradients"), values(name, precision), cpu[name], strict=True)
            found = {kind: errors(here, there) for kind, here, there in pairs}
            for kind, of in found.items():
                row |= {f"error of {kind}": max(of.values()), f"worst of {kind}": max(of, key=of.get)}
            # NaN is below nothing.
            agrees = all(error < limit for of in found.values() for error in of.values())
            yield {**row, "limit": limit, "agrees": agrees}
