"""The loop of a particle filter: K particles a sequence, in one batch, drawn anew where few of them count.

z_t^k ~ q(z_t | ...);  w_t^k = w_{t-1}^k p(y_t | ...) p(z_t | ...) / q(z_t | ...);  p^(y_t | y_<t) = sum_k w_t^k,
where the w_{t-1} sum to one. Where the effective sample size 1 / sum_k (w_t^k)^2 falls below a share of K, the K
particles are drawn anew from among themselves by their weights. The product of the p^ is an unbiased estimate of p(y).

The weights sum to one after every step, so that float32 holds them.
"""

import keras
from keras import ops

from zf_keras.loops.scan import scan
from zf_keras.probability import float32
from zf_keras.seeds import GivenSeed

RESAMPLING = ("systematic", "multinomial")


def particle_loop(
    model,
    sequences,
    x,
    context,
    seeds,
    observed=None,
    *,
    num_particles,
    proposal,
    resample_below,
    resampling,
    each=None,
    reads_draws=False,
    kl_weight=1.0,
):
    """Runs the particles of a batch through its steps.

    Args:
        sequences: `Sequences`.
        x: tensor (batch, time, input_dim), the inputs as they are read.
        context, seeds, observed, num_particles, ...: as of `filtered`.
        each: function of a step's `Steps` and its frames, (batch * K, ...), and of log p of these, the particles'
            log-weights before it and log p(z) - log q(z), (batch, K), to a nest of (batch, ...). Defaults to `None`.
        reads_draws: bool. Whether a reading that is missing is replaced by the model's draw where it is read.
        kl_weight: number or scalar tensor. What log p(z) - log q(z) is multiplied by.

    Returns:
        log p^(y_t | y_<t), (batch, time), zero where nothing is scored; and what `each` returned, (batch, time, ...).
    """
    head, count = model.head, ops.shape(sequences.targets)[0]
    rows = count * num_particles
    weights = model.step_weights(proposal)
    uniform = ops.broadcast_to(-ops.log(float32(num_particles)), (count, num_particles))

    def repeated(nest):
        return keras.tree.map_structure(lambda x: ops.repeat(x, num_particles, axis=0), nest)

    def by_sequence(x):
        return ops.reshape(x, (count, num_particles))

    def step(carry, given):
        state, log_weights, *frame = carry
        seed = GivenSeed(given["seed"])
        scale = repeated(given["scale"]) if "scale" in given else None
        if frame:
            x = model.read_frames(frame[0], repeated(given["known"]) if "known" in given else None, scale)
        else:
            x = repeated(given["x"])
        noise = ops.cast(keras.random.normal((rows, model.noise_dim), seed=seed), model.compute_dtype)
        read = repeated(given["context"]) if proposal == "posterior" else None
        steps, state = model.step(weights, state, x, noise, read)
        steps = steps._replace(output=model.in_units(steps.output, scale))
        log_ratio = ops.zeros_like(uniform)
        if proposal == "posterior":
            log_ratio = by_sequence(steps.prior.log_prob(steps.latent) - steps.posterior.log_prob(steps.latent))
        y = repeated(given["y"])
        seen = [repeated(given["seen"])] if "seen" in given else []
        log_probs = by_sequence(head.log_prob(steps.output, y, *seen))
        increments = log_probs + kl_weight * log_ratio
        if "scored" in given:
            increments = ops.where(given["scored"][:, None], increments, 0.0)
        unnormalised = log_weights + increments
        total = ops.logsumexp(unnormalised, axis=1)
        outputs = each(steps, y, log_probs, log_weights, log_ratio) if each else ()
        # Where no particle explains a frame at all, they go on as equals.
        log_weights = ops.where(ops.isfinite(total)[:, None], unnormalised - total[:, None], uniform)
        if frame:
            drawn = head.draw(steps.output, *head.noise((rows,), seed))
            frame = [ops.where(repeated(given["observed"]), head.as_values(y), drawn)]
        if resample_below and not (isinstance(num_particles, int) and num_particles == 1):
            few = effective_sample_size(log_weights) < resample_below * float32(num_particles)
            chosen = ancestors(ops.stop_gradient(ops.exp(log_weights)), resampling, seed)
            chosen = ops.where(few[:, None], chosen, ops.arange(num_particles, dtype=chosen.dtype))
            chosen = ops.reshape(chosen + ops.arange(count, dtype=chosen.dtype)[:, None] * num_particles, (-1,))
            state, frame = keras.tree.map_structure(lambda x: ops.take(x, chosen, axis=0), (state, frame))
            log_weights = ops.where(few[:, None], uniform, log_weights)
        if "scored" in given:
            total = ops.where(given["scored"], total, 0.0)
        return (state, log_weights, *frame), (total, outputs)

    given = {"x": x, "y": sequences.targets, "seen": sequences.observed}
    given |= {"known": sequences.known, "scale": sequences.scale}
    given = {name: each for name, each in given.items() if each is not None}
    scored = [x for x in (sequences.mask, None if observed is None else ops.all(observed, axis=-1)) if x is not None]
    if scored:
        given["scored"] = ops.all(ops.stack(scored), axis=0)
    if reads_draws:
        given["observed"] = observed
    if proposal == "posterior":
        given["context"] = model.step_context(context)
    given = keras.tree.map_structure(lambda x: ops.swapaxes(x, 0, 1), given)
    first = [head.as_values(repeated(sequences.inputs[:, 0]))] if reads_draws else []
    _, outputs = scan(step, (model.initial_state(rows), uniform, *first), {**given, "seed": seeds})
    return keras.tree.map_structure(lambda x: ops.swapaxes(x, 0, 1), outputs)


def effective_sample_size(log_weights):
    """1 / sum_k w_k^2 of log-weights (batch, K) whose exponentials sum to one: (batch,)."""
    return ops.exp(-ops.logsumexp(2 * log_weights, axis=-1))


def ancestors(weights, resampling, seed):
    """K indices for each row of weights (batch, K), each drawn by its weight: (batch, K), ascending.

    Systematic resampling takes K points at equal distances, multinomial K independent ones.
    """
    batch, count = ops.shape(weights)
    if resampling == "systematic":
        points = (ops.arange(count, dtype="float32") + keras.random.uniform((batch, 1), seed=seed)) / float32(count)
    else:
        points = ops.sort(keras.random.uniform((batch, count), seed=seed), axis=-1)
    cumulative = ops.cumsum(weights, axis=-1)
    # The rank of a point among all numbers tells how many weights end below it.
    both = ops.concatenate([cumulative / cumulative[:, -1:], points], axis=-1)
    ranks = ops.argsort(ops.argsort(both, axis=-1), axis=-1)[:, count:]
    return ops.minimum(ranks - ops.arange(count, dtype=ranks.dtype), count - 1)
