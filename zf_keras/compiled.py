"""Model methods traced and compiled, outside of Keras's train, test and predict functions."""

import functools

import keras


def compiled(method):
    """Decorator for a method of tensors to tensors: traced once a shape, run with the weights of the moment."""
    name = f"_compiled_{method.__name__}"

    @functools.wraps(method)
    def call(self, *args):
        function = getattr(self, name, None)
        if function is None:
            function = _compile(self, method)
            setattr(self, name, function)
        return function(*args)

    return call


def _compile(model, method):
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(functools.partial(method, model), autograph=False, reduce_retracing=True)
    import jax

    @jax.jit
    def stateless(values, args):
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return method(model, *args)

    return lambda *args: stateless([variable.value for variable in model.variables], args)
