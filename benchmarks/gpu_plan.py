"""What `python -m benchmarks gpu` runs, in the order of what matters most."""

from dataclasses import dataclass, field

#: What XLA may put into command buffers (CUDA graphs), loops included.
COMMAND_BUFFERS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE"
#: Of which models the shorter comparisons are.
FEW = ("ZForcing", "VRNN")


@dataclass(frozen=True)
class Part:
    """A function of `gpu_parts.py` with its arguments; each part runs in a process of its own."""

    name: str
    function: str
    share: float  # of the time
    arguments: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)


def command_buffers(what):
    """The environment in which XLA puts that into command buffers. The flags are read as JAX starts."""
    return {"XLA_FLAGS": f"--xla_gpu_enable_command_buffer={what} --xla_gpu_graph_min_graph_size=1"}


PLAN = [
    Part("machine", "machine", 1.5),
    Part("correctness", "correctness", 9),
    Part("steps A", "steps", 4, {"size": "A"}),
    Part("steps B", "steps", 5, {"size": "B"}),
    Part("command buffers off", "steps", 2, {"size": "B", "models": FEW}, command_buffers("")),
    Part("command buffers on", "steps", 2.5, {"size": "B", "models": FEW}, command_buffers(COMMAND_BUFFERS)),
    Part("cuDNN", "cudnn", 2, {"sizes": ("A", "B")}),
    Part("PyTorch", "pytorch", 4, {"sizes": ("A", "B"), "models": FEW}, {"JAX_PLATFORMS": "cpu"}),
    Part("steps TIMIT", "steps", 4, {"size": "TIMIT"}),
    Part("steps Blizzard", "steps", 4, {"size": "Blizzard"}),
    Part("steps MNIST", "steps", 5, {"size": "MNIST"}),
    Part("epoch", "epoch", 3, {"size": "MNIST", "sequences": 50_000}),
]


def limit(part, remaining, to_come):
    """Seconds that a part may take: its share of what remains among itself and those to come."""
    return remaining * part.share / sum(each.share for each in (part, *to_come))
