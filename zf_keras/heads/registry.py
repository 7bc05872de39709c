"""The heads, by the name that a model's `output` has for them."""

import inspect

from zf_keras.heads.head import DistributionHead

#: name -> class.
OUTPUTS = {}
#: name -> arguments that the name settles.
_SETTLED = {}


def output(name, **arguments):
    """Class decorator: the head that `output=name` asks for, with these arguments."""

    def register(cls):
        OUTPUTS[name], _SETTLED[name] = cls, arguments
        return cls

    return register


def get_head(output, hidden_units=None, output_network=None, **arguments):
    """The head that a model's `output` argument names; a head instance is returned as it is.

    Args:
        output: str or `DistributionHead`.
        hidden_units: int or `None`. Size of the head's hidden layer, unless `output_network` is `"linear"`.
        output_network: `"mlp"`, `"linear"` or `None`, not given.
        arguments: further arguments of the head. `None` leaves one at the head's default.

    Raises:
        ValueError: unknown name, an argument that the head needs and was not given, or one that it does not take.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if isinstance(output, DistributionHead):
        given = {"hidden_units": hidden_units, "output_network": output_network, **given}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"`{name}` must be left out where `output` is a head, which has arguments of its own. "
                    f"Received: {name}={value!r}, output={type(output).__name__}(...)."
                )
        return output
    if not isinstance(output, str) or output not in OUTPUTS:
        accepted = ", ".join(repr(name) for name in OUTPUTS)
        raise ValueError(f"`output` must be one of {accepted}, or a DistributionHead. Received: output={output!r}.")
    parameters = _parameters(output)
    for name, value in given.items():
        if name not in parameters:
            raise ValueError(f"`{name}` must be left out with output={output!r}. Received: {name}={value!r}.")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            raise ValueError(f"`output={output!r}` needs `{name}`.")
    given = {"hidden_units": None if output_network == "linear" else hidden_units, **given}
    return OUTPUTS[output](**_SETTLED[output], **given)


def without_void(arguments, latents):
    """A model's arguments as version 0.1 wrote them, without those that its head does not take.

    latents: bool. Whether the model has networks besides the head that `hidden_units` is for.
    """
    output = arguments.get("output")
    if isinstance(output, DistributionHead):
        void = {"num_components", "num_classes", "output_network"} | (set() if latents else {"hidden_units"})
    else:
        void = {"num_components", "num_classes"} - set(_parameters(output) if output in OUTPUTS else arguments)
    return {name: value for name, value in arguments.items() if name not in void}


def _parameters(output):
    _, *parameters = inspect.signature(OUTPUTS[output].__init__).parameters.values()
    settled = _SETTLED[output]
    return {x.name: x for x in parameters if x.kind is not x.VAR_KEYWORD and x.name not in settled}
