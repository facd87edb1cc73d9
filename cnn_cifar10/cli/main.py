"""The `cnn-cifar10` command: its parser, and what an error looks like.

A command is a file beside this one: its docstring is its help, `add_arguments` adds
its options, and `run` does it and returns a document for `--json`. Each imports what it
needs when it runs, so that `--help` answers at once.
"""

import argparse
import contextlib
import importlib
import json
import os
import sys

from cnn_cifar10 import __version__
from cnn_cifar10.utils import InputError

COMMANDS = (
    *("train", "evaluate", "compare", "predict", "export", "serve"),
    *("sweep", "findings", "tune", "models", "datasets", "augmentations"),
)

EXAMPLES = """\
examples:
  cnn-cifar10 train --dataset digits --epochs 5
  cnn-cifar10 train --dataset cifar10 --model custom_cnn --seed 1
  cnn-cifar10 train --dataset folder --data-dir photos --image-size 64 --augment crop+flip+color
  cnn-cifar10 evaluate models/cifar10-custom_cnn-seed1
  cnn-cifar10 predict photo.jpg
  cnn-cifar10 export models/cifar10-custom_cnn-seed1
  cnn-cifar10 predict --model models/cifar10-custom_cnn-seed1 photo.jpg
  cnn-cifar10 serve --port 8000
  cnn-cifar10 sweep activation --dataset digits --seeds 0 1
  cnn-cifar10 tune --trials 30 --workers 2 --set optimizer=sgd dropout=0,0.1,0.2

`cnn-cifar10 COMMAND --help` explains a command.
"""


def main(argv=None):
    """Run the command line.

    Args:
        argv: Arguments; those of the process where omitted.

    Returns:
        Exit code: 0 done, 2 input that cannot be used, 130 interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    argv = sys.argv[1:] if argv is None else argv
    args = _build_parser(argv).parse_args(argv)
    try:
        with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
            document = args.command(args)
    except (InputError, OSError) as error:
        print(f"cnn-cifar10: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        backend = (error.name or "").partition(".")[0]
        if backend not in ("tensorflow", "jax", "torch"):
            raise
        print(
            f"cnn-cifar10: {backend}, which Keras would run on, is not installed: "
            f"pip install {backend}, or set KERAS_BACKEND to one that is "
            "(tensorflow, jax or torch)",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\ncnn-cifar10: interrupted", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps(document, indent=2))
    return 0


def _build_parser(argv):
    """Return the parser, with the options of the commands that the arguments may name."""
    parser = argparse.ArgumentParser(
        prog="cnn-cifar10",
        description="Train, evaluate and use image classifiers built with Keras.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = importlib.import_module(f"cnn_cifar10.cli.{name}")
        one = commands.add_parser(
            name,
            help=command.__doc__.partition("\n")[0],
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument(
            "--json", action="store_true", help="print one JSON document on standard output"
        )
        one.set_defaults(command=command.run)
        if name in argv:
            command.add_arguments(one)
    return parser
