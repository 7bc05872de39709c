"""Model methods traced and compiled, outside of Keras's train, test and predict functions."""

import functools

import keras


def compiled(method):
    """Decorator for a method of tensors to tensors: traced once a shape, run with the weights of the moment.

    Keyword arguments are constants: there is a trace for each choice of them.
    """

    @functools.wraps(method)
    def call(self, *args, **constants):
        name = "_".join(["_compiled", method.__name__, *(f"{key}_{value}" for key, value in constants.items())])
        function = getattr(self, name, None)
        if function is None:
            function = _compile(self, functools.partial(method, **constants))
            setattr(self, name, function)
        return function(*args)

    return call


def _compile(model, method):
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        method = functools.partial(method, model)
        function = tf.function(method, autograph=False, reduce_retracing=True)
        # Inside somebody's tf.function it is part of that graph: nested functions are slow to differentiate.
        return lambda *args: (function if tf.executing_eagerly() else method)(*args)
    import jax

    @jax.jit
    def stateless(values, args):
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return method(model, *args)

    return lambda *args: stateless([variable.value for variable in model.variables], args)
