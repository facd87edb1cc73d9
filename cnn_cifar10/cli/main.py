"""Train, evaluate and use image classifiers built with Keras.

examples:
  cnn-cifar10 train --dataset digits --epochs 5
  cnn-cifar10 train --dataset cifar10 --model custom_cnn --seed 1
  cnn-cifar10 train --dataset digits --model-options width=64 batch_norm=no dense_units=128,64
  cnn-cifar10 inspect photos
  cnn-cifar10 convert photos photos.records
  cnn-cifar10 train --data-dir photos --minutes 10
  cnn-cifar10 train --data-dir photos --model resnet18 --image-size 64 --augment crop+flip+color
  cnn-cifar10 lr-find --dataset digits --optimizer adam
  cnn-cifar10 evaluate models/cifar10-custom_cnn-seed1
  cnn-cifar10 predict photo.jpg
  cnn-cifar10 export models/cifar10-custom_cnn-seed1
  cnn-cifar10 predict --model models/cifar10-custom_cnn-seed1 photo.jpg
  cnn-cifar10 export models/cifar10-custom_cnn-seed1 --hub upload
  cnn-cifar10 push upload hf://owner/name
  cnn-cifar10 serve --port 8000
  cnn-cifar10 sweep activation --dataset digits --seeds 0 1
  cnn-cifar10 tune --trials 30 --workers 2 --set optimizer=sgd dropout=0,0.1,0.2
  cnn-cifar10 models resnet20

`cnn-cifar10 COMMAND --help` explains a command.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence

from cnn_cifar10 import __version__
from cnn_cifar10.utils import (
    InputError,
    Terminated,
    describe_os_error,
    postpone_in_imports,
    quiet_tensorflow,
    sigterm_raises,
)

COMMANDS = (
    *("inspect", "convert", "train", "lr-find", "evaluate", "compare", "predict", "export"),
    *("push", "serve", "sweep", "findings", "tune", "plan", "models", "datasets", "augmentations"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; those of the process where omitted.

    Returns:
        Exit code: 0 done, 1 done in part, 2 input that cannot be used, 130 interrupted (Ctrl-C),
        143 terminated (SIGTERM).
    """
    quiet_tensorflow()
    postpone_in_imports()
    argv = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A log shows each line when it is printed, in an encoding that may lack its letters.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    args = _parse(argv)
    to_stderr = contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext()
    try:
        with sigterm_raises(), to_stderr:
            document = args.command.run(args)
        if args.json:
            print(json.dumps(document, indent=2))
    except BrokenPipeError:  # who reads has enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except InputError as error:
        return _end(error, 2)
    except OSError as error:
        return _end(describe_os_error(error), 2)
    except ModuleNotFoundError as error:
        backend = (error.name or "").partition(".")[0]
        if backend not in ("tensorflow", "jax", "torch"):
            raise
        how = f"pip install {backend}, or set KERAS_BACKEND to tensorflow, jax or torch"
        return _end(f"{backend}, which Keras would run on, is not installed: {how}", 2)
    except KeyboardInterrupt as error:
        what, code = ("terminated", 143) if isinstance(error, Terminated) else ("interrupted", 130)
        return _end(f"{what}{_next_command(args, argv)}", code, before="\n")
    return getattr(args, "exit_code", 0)


def _end(message, code, before=""):
    print(f"{before}cnn-cifar10: {message}", file=sys.stderr)
    return code


def _next_command(args, argv):
    """Return how to go on after an interruption, for commands that can."""
    if not hasattr(args.command, "CONTINUES"):
        return ""
    same = [word for word in argv if word != "--overwrite"]
    return f"; continue with: cnn-cifar10 {shlex.join(same)}"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        wrong, choose, choices = message.partition("(choose from")
        if choose:
            message += _near(wrong.split("'")[-2], re.findall(r"[^\s',()]+", choices))
        super().error(message)


def _near(word, known):
    """Return the question whether one of the known words was meant, if one is near."""
    import difflib

    found = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {found[0]}?" if found else ""


def _parse(argv):
    """Parse arguments, with the options of the commands that they may name."""
    description, _, examples = __doc__.partition("\n\n")
    # Whole words alone, as commands are given again without one of their options.
    shape = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = _Parser(prog="cnn-cifar10", description=description, epilog=examples, **shape)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = importlib.import_module(f"cnn_cifar10.cli.{name.replace('-', '_')}")
        document = command.__doc__
        one = commands.add_parser(
            name, help=document.partition("\n")[0], description=document, **shape
        )
        one.add_argument("--json", action="store_true", help="print one JSON document on stdout")
        one.set_defaults(command=command, parser=one)
        if name in argv and hasattr(command, "add_arguments"):
            command.add_arguments(one)
    args, unknown = parser.parse_known_args(argv)
    args.words = argv
    if unknown:
        options = re.findall(r"--[a-z-]+", args.parser.format_usage())
        near = _near(unknown[0].partition("=")[0], options)
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
    return args
