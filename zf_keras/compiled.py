"""Model methods traced and compiled, outside of Keras's train, test and predict functions."""

import functools
import warnings

import keras

#: Programs of one method that a model compiles before it warns.
MOST_PROGRAMS = 10


def compiled(method):
    """Decorator for a method of tensors to tensors: traced once a shape, run with the weights of the moment.

    Keyword arguments are constants: there is a trace for each choice of them.

    Warns:
        UserWarning: on JAX, once a model: it has compiled a method for more than `MOST_PROGRAMS` shapes and constants.
    """

    @functools.wraps(method)
    def call(self, *args, **constants):
        programs = vars(self).setdefault("_programs", {})
        if method not in programs:
            programs[method] = Programs(self, method)
        return programs[method](args, constants)

    return call


class Programs:
    """What a method of one model was compiled to."""

    def __init__(self, model, method):
        self.model, self.method = model, method
        self.functions = {}  # by constants
        self.compiled_for = {}  # constants and shapes, in order

    def __call__(self, args, constants):
        if _in_a_graph():
            return self.method(self.model, *args, **constants)
        constants = tuple(constants.items())
        if constants not in self.functions:
            self.functions[constants] = _compile(self.model, functools.partial(self.method, **dict(constants)))
        if keras.config.backend() == "jax":
            self._note(constants, args)
        return self.functions[constants](*args)

    def _note(self, constants, args):
        shapes = tuple((tuple(x.shape), str(x.dtype)) for x in keras.tree.flatten(args) if hasattr(x, "shape"))
        if (constants, shapes) in self.compiled_for:
            return
        self.compiled_for[constants, shapes] = None
        most = max(len(programs.compiled_for) for programs in vars(self.model)["_programs"].values())
        if len(self.compiled_for) == most == MOST_PROGRAMS + 1:
            warnings.warn(self._warning(), UserWarning, stacklevel=4)

    def _warning(self):
        # Of a batch and its noise, the array with the most axes is (batch, time, ...).
        largest = [max((shape for shape, _ in shapes), key=len, default=()) for _, shapes in self.compiled_for]
        varied = []
        for axis, name in enumerate(("sequences", "steps")):
            sizes = sorted({shape[axis] for shape in largest if len(shape) > axis})
            varied += [f"{', '.join(map(str, sizes))} {name}"] if len(sizes) > 1 else []
        if len({constants for constants, _ in self.compiled_for}) > 1:
            varied.append("options such as `top_k` or `num_particles`")
        return (
            f"JAX has compiled `{self.method.__name__}` of this {type(self.model).__name__} {len(self.compiled_for)} "
            f"times, which takes seconds each time: for {' and '.join(varied) or 'other types'}. Let calls have the "
            "same number of sequences and of steps: give many sequences to one call, cut prompts to their last steps, "
            "pad sequences to one length with a `mask`."
        )


def _in_a_graph():
    """Whether this is part of somebody's tf.function: functions within it would be slow to differentiate."""
    if keras.config.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()


def _compile(model, method):
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        # A `partial` of each model and method: TensorFlow counts retracings by code object, and warns.
        return tf.function(functools.partial(method, model), autograph=False, reduce_retracing=True)
    import jax

    @jax.jit
    def stateless(values, args):
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return method(model, *args)

    return lambda *args: stateless([variable.value for variable in model.variables], args)
