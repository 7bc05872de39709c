"""`python -m benchmarks`: the suite; and with `gpu` and `wheels` what runs where Keras is not installed yet."""

import importlib
import sys

COMMANDS = ("gpu", "wheels")


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return importlib.import_module(f"benchmarks.{argv[0]}").main(argv[1:])
    return importlib.import_module("benchmarks.command").main(argv)


if __name__ == "__main__":
    sys.exit(main())
