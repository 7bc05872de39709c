"""`python -m zf_keras export`: a saved model as a SavedModel, ONNX or LiteRT files."""

import argparse
import importlib
import sys
from pathlib import Path


def main(argv=None):
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m zf_keras", description="What is done with a saved model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sub = commands.add_parser("export", help="writes a saved model for others to run, without zf_keras")
    sub.add_argument(
        "model", metavar="MODEL", help="a .keras file, or a preset: a bundled name, a folder, hf://user/repo"
    )
    sub.add_argument("folder", metavar="FOLDER", help="folder to be made")
    sub.add_argument(
        "--format",
        default="tf_saved_model",
        choices=("tf_saved_model", "onnx", "litert"),
        help="default: tf_saved_model",
    )
    sub.add_argument("--overwrite", action="store_true", help="replaces an earlier export in the folder")
    sub.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="module with classes of your own that the model has; may be given often",
    )
    sub.add_argument("--error-file", help=argparse.SUPPRESS)  # for a process that started this one
    args = parser.parse_args(argv)
    import keras

    from zf_keras import SequenceModel

    sys.path.insert(0, "")
    try:
        for name in args.modules:
            importlib.import_module(name)
        if args.model.endswith(".keras"):
            model = keras.saving.load_model(args.model, compile=False)
            if not isinstance(model, SequenceModel):
                raise ValueError(f"{args.model} holds a {type(model).__name__}, which is no model of zf_keras.")
        else:
            model = SequenceModel.from_preset(args.model)
        model.export(args.folder, args.format, args.overwrite)
    except (ImportError, OSError, ValueError) as error:
        print(f"\npython -m zf_keras export: {error}", file=sys.stderr)
        if args.error_file:
            Path(args.error_file).write_text(str(error), encoding="utf-8")
        return 1
    print(f"{args.folder}: endpoints.json lists what can be asked.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
