"""Trained loops, with a gradient by hand.

Automatic differentiation of a loop adds every step's weight gradients inside it, and keeps whatever it meets. Here the
step is a chain of parts (`parts.py`), which a tape records. The loop of the gradient runs through the tape backwards:
it carries the gradient of the state alone. Slopes are taken before it, and each weight's gradient after it, by one
matrix product.
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from zf_keras.loops.parts import Affine, Traced
from zf_keras.loops.scan import scan
from zf_keras.loops.xla import by_xla, uses_xla


class Call(NamedTuple):
    """A part that a step called, and the keys of what it read and gave; `None` is for what is not on the tape."""

    part: Any
    arguments: list
    results: list


class Tape:
    """The parts that a step calls, in order, and its tensors by key."""

    def __init__(self):
        self.calls, self.values = [], {}

    def enter(self, name, tensors):
        """`Traced` tensors of a nest; the keys are (name, 0), (name, 1), ..."""
        leaves = [self.traced((name, i), value) for i, value in enumerate(keras.tree.flatten(tensors))]
        return keras.tree.pack_sequence_as(tensors, leaves)

    def traced(self, key, value):
        self.values[key] = value
        return Traced(self, key, value)

    def call(self, part, arguments):
        traced = [isinstance(each, Traced) for each in arguments]
        values = [each.value if on_tape else each for each, on_tape in zip(arguments, traced, strict=True)]
        results = self.enter(len(self.calls), part.forward(*values))
        keys = [each.key if on_tape else None for each, on_tape in zip(arguments, traced, strict=True)]
        self.calls.append(Call(part, keys, [each.key for each in results]))
        return results

    def finish(self, state, outputs):
        """Notes the step's results, and what has to be kept of all steps: `kept`, of keys."""
        self.outputs = outputs
        self.after = [each.key for each in keras.tree.flatten(state)]
        self.output_keys = [each.key for each in keras.tree.flatten(outputs)]
        read = [key for call in self.calls for key in (*self.read(call)[0], *self.read(call)[1]) if key is not None]
        # A state before a step is kept as that after the step before.
        read = [self.after[key[1]] if key[0] == "state" else key for key in read]
        self.kept = [key for key in dict.fromkeys([*self.output_keys, *read]) if key[0] != "input"]

    @staticmethod
    def read(call):
        """Keys of the arguments and of the results that the gradient of a call reads, `None` for the others."""
        part = call.part
        arguments = [key if i in part.reads_arguments else None for i, key in enumerate(call.arguments)]
        return arguments, [key if i in part.reads_results else None for i, key in enumerate(call.results)]


def recurrence(step, weights, state, inputs):
    """Runs `step` over the leading (time) axis, to be differentiated.

    Args:
        step: function. `(weights, state, inputs_t) -> (state, outputs_t)`, nests of tensors (batch, ...). It calls
            nothing but the parts of `parts.py`, and adds by `+`.
        weights: nest with `Affine`s.
        state: nest of tensors (batch, ...). The state before the first step.
        inputs: nest of tensors (time, batch, ...), of at least one step.

    Returns:
        The state after the last step, and the outputs stacked to (time, ...).
    """
    leaves = keras.tree.flatten(weights)
    affines = [leaf for leaf in leaves if isinstance(leaf, Affine)]
    nests = [[affine.weights for affine in affines], state, inputs]
    tape = None

    @ops.custom_gradient
    def run(*tensors):
        arrays, first, given = keras.tree.pack_sequence_as(nests, tensors)
        own = [affine.with_weights(w) for affine, w in zip(affines, arrays, strict=True)]
        calls = iter(own)
        own_weights = [next(calls) if isinstance(leaf, Affine) else leaf for leaf in leaves]
        own_weights = keras.tree.pack_sequence_as(weights, own_weights)

        def recorded_step(state, inputs):
            nonlocal tape
            tape = Tape()
            state, outputs = step(own_weights, tape.enter("state", state), tape.enter("input", inputs))
            tape.finish(state, outputs)
            return keras.tree.map_structure(lambda x: x.value, state), [tape.values[key] for key in tape.kept]

        last, kept = scan(recorded_step, first, given)
        stacks = dict(zip(tape.kept, kept, strict=True))
        stacks |= {("input", i): x for i, x in enumerate(keras.tree.flatten(given))}
        results = [*keras.tree.flatten(last), *(stacks[key] for key in tape.output_keys)]

        def gradient(*upstream):
            upstream = upstream if len(upstream) == len(results) else upstream[0]
            return backwards(tape, own, stacks, keras.tree.flatten(first), upstream)

        return tuple(results), gradient

    widest = max(x.shape[-1] for x in keras.tree.flatten(state))
    results = (by_xla(run) if uses_xla(widest) else run)(*keras.tree.flatten(nests))
    count = len(tape.after)
    return (
        keras.tree.pack_sequence_as(state, results[:count]),
        keras.tree.pack_sequence_as(tape.outputs, results[count:]),
    )


def backwards(tape, affines, stacks, first, upstream):
    """Gradients of the weights, the state and the inputs of `recurrence`, a flat list."""
    d_last, d_outputs = upstream[: len(first)], upstream[len(first) :]

    def stack(key):
        if key is None or key in stacks:
            return stacks.get(key)
        return before(first[key[1]], stacks[tape.after[key[1]]])

    slopes, backs = zip(*(call.part.gradient(*map_keys(stack, tape.read(call))) for call in tape.calls), strict=True)
    inputs = [key for key in stacks if key[0] == "input"]
    of_affines = [call for call in tape.calls if isinstance(call.part, Affine)]
    #: Keys of the tensors whose gradients are wanted at every step, and where each is among those that are written.
    wanted = [*inputs, *(key for call in of_affines for key in call.results)]
    places = {}

    def step_back(d_after, given):
        d_outputs, slopes = given
        found = {}

        def add(keys, gradients):
            for key, d in zip(keys, gradients, strict=True):
                if key is not None and d is not None:
                    found[key] = found[key] + d if key in found else d

        add(tape.output_keys, d_outputs)
        add(tape.after, d_after)
        for call, back, slope in zip(*(reversed(each) for each in (tape.calls, backs, slopes)), strict=True):
            d_results = [found.get(key) for key in call.results]
            if any(d is not None for d in d_results):
                add(call.arguments, back(slope, *d_results))
        written = {id(found[key]): found[key] for key in wanted if key in found}
        places.update((key, list(written).index(id(found[key]))) for key in wanted if key in found)
        d_before = [found[key] if (key := ("state", i)) in found else ops.zeros_like(x) for i, x in enumerate(d_after)]
        return d_before, list(written.values())

    d_first, written = scan(step_back, list(d_last), (list(d_outputs), list(slopes)), reverse=True)
    gradients = {key: written[place] for key, place in places.items()}
    of_weights = {affine: [ops.zeros_like(weight) for weight in affine.weights] for affine in affines}
    for call in of_affines:
        if call.results[0] not in gradients:  # nothing depends on it
            continue
        x, d = [stack(key) for key in call.arguments], [gradients[key] for key in call.results]
        found = call.part.gradient_of_weights(x, d)
        of_weights[call.part] = [a + b for a, b in zip(of_weights[call.part], found, strict=True)]
    d_inputs = [gradients[key] if key in gradients else ops.zeros_like(stacks[key]) for key in inputs]
    return [*keras.tree.flatten(list(of_weights.values())), *d_first, *d_inputs]


def map_keys(function, keys):
    return [[function(key) for key in each] for each in keys]


def before(first, x):
    """x_{t-1} for every t: (time, ...) with `first` as x_0."""
    return ops.concatenate([first[None], x[:-1]], axis=0)
