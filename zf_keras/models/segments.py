"""Training in segments of time, recomputed in the gradient: `segment_length` of a model."""

import keras
from keras import ops

from zf_keras.data.sequences import Sequences
from zf_keras.loops.scan import swap_time_and_batch
from zf_keras.loops.segments import in_segments
from zf_keras.seeds import seeds_of_steps


def segmented_terms(model, x, context, sequences, noise, training, state=None):
    """The terms of `infer`, (batch, time) nats each, and the state after the last step."""
    varying, others = _by_axes(context)
    time_major = swap_time_and_batch([x, varying, noise])
    of_steps = [None if each is None else ops.swapaxes(each, 0, 1) for each in sequences]
    given = {name: each for name, each in zip(Sequences._fields, of_steps, strict=True) if each is not None}
    seeds = seeds_of_steps(ops.shape(x)[1], model.seed_generator)

    def segment(state, inputs):
        (x, varying, noise), given, seeds = inputs
        x, varying, noise = swap_time_and_batch([x, varying, noise])
        given = {name: ops.swapaxes(each, 0, 1) for name, each in given.items()}
        sequences = Sequences(**{"mask": None} | given)
        with model.seed_generator.given(seeds[0]):
            steps, state = model.infer(x, _joined(context, varying, others), sequences, noise, training, state)
        return state, {name: ops.swapaxes(term, 0, 1) for name, term in steps.terms.items()}

    if state is None:
        state = model.initial_state(ops.shape(x)[0])
    state, terms = in_segments(segment, state, (time_major, given, seeds), model.segment_length)
    return {name: ops.swapaxes(term, 0, 1) for name, term in terms.items()}, state


def _by_axes(context):
    """Those tensors of a context that have a time axis, (batch, time, size), and the states (batch, size) as dicts."""
    leaves = dict(enumerate(keras.tree.flatten(context)))
    varying = {i: leaf for i, leaf in leaves.items() if len(leaf.shape) == 3}
    return varying, {i: leaf for i, leaf in leaves.items() if i not in varying}


def _joined(context, varying, others):
    leaves = varying | others
    return keras.tree.pack_sequence_as(context, [leaves[i] for i in sorted(leaves)])
