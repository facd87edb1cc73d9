"""Options and steps that several commands share."""

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cnn_cifar10.configs import FOLDER, TrainingConfig, type_name
from cnn_cifar10.utils import InputError, printable, read_assignment, read_value

_SHARED = {
    "run": (Path, "folder of the run, such as models/<run>"),
    "--data-dir": (str, "where the data are now, if not where they were"),
    "--report": (Path, "folder of the report (default: reports/<run>)"),
    "--results": (Path("reports/results.csv"), "table of results, one row a run"),
    "--tta": (False, "measure accuracy over six views of each image too (test-time augmentation)"),
    "--diagnostics": (
        False,
        "add calibration, robustness, Grad-CAM and likely label errors",
    ),
    "--no-test": (False, "leave the test split untouched and report on validation, to choose by"),
    "--quiet": (False, "show no progress"),
}
REPORT = ("--report", "--results", "--tta", "--diagnostics", "--no-test")


def add(parser: argparse.ArgumentParser, name: str, default: Any, help: str, **more: Any) -> None:
    """Add an option of the type of its default; of the type itself where there is no default."""
    if default is False:
        more["action"] = "store_true"
    elif isinstance(default, type):
        more["type"] = default
    else:
        more |= {"type": type(default), "default": default}
        help += f" (default: {default})"
    if more.get("nargs") == "+" and name.startswith("-"):
        more["action"] = "extend"  # given twice, it has all values
    parser.add_argument(name, help=help, **more)


def add_shared(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options that several commands have, by name."""
    for name in names:
        add(parser, name, *_SHARED[name])


def add_fields(
    parser: argparse.ArgumentParser, names: Sequence[str] | None = None, show_defaults: bool = True
) -> None:
    """Add an option for these fields of a config, or all; absent where it is not given."""
    hows: dict[str, dict[str, Any]] = {
        "dict": {"nargs": "+", "action": "extend", "metavar": "NAME=VALUE"},
        "bool": {"action": "store_true"},
        **{kind.__name__: {"type": kind} for kind in (str, int, float)},
    }
    for field in dataclasses.fields(TrainingConfig):
        if names is not None and field.name not in names:
            continue
        how, choices = hows[type_name(field)], field.metadata["choices"]
        known = field.default not in (None, dataclasses.MISSING) and field.default is not False
        default = f" (default: {field.default}" if show_defaults and known else ""
        if default:
            default += f", for folders {FOLDER[field.name]})" if field.name in FOLDER else ")"
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=field.metadata["help"] + default,
            **(how | {"choices": choices} if choices else how),
        )


def given_fields(args: argparse.Namespace, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the fields that were given, of these names or of all."""
    names = names or [field.name for field in dataclasses.fields(TrainingConfig)]
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def imply_folder(given: dict[str, Any]) -> dict[str, Any]:
    """Return given fields, with the data set `folder` for a place of data that names no other."""
    if "data_dir" not in given or "dataset" in given:
        return given
    place = Path(given["data_dir"])
    names = [place.name, *(os.listdir(place) if place.is_dir() else ())]
    is_cifar10 = any(name.startswith(("cifar-10-", "data_batch_")) for name in names)
    return given if is_cifar10 else {**given, "dataset": "folder"}


@contextlib.contextmanager
def naming(option: str) -> Iterator[None]:
    """Name an option in the errors that its values raise."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def read_model_options(words: Sequence[str], model: str) -> dict[str, Any]:
    """Return the options of a network that `NAME=VALUE` words give, of the types of its defaults.

    Raises:
        InputError: If there is no such network or option, or a value is of another type.
    """
    from cnn_cifar10.architectures import check_options, find_network

    defaults, values = find_network(model).options, {}
    with naming("--model-options"):
        given = dict(map(read_assignment, words))
        check_options(model, given)
        for name, text in given.items():
            with naming(f"{name}={text}"):
                values[name] = read_value(text, defaults[name], isinstance(defaults[name], str))
    return values


def describe(config: TrainingConfig) -> str:
    """Return what is trained on what, such as `"custom_cnn (width=8) on digits"`."""
    options = ", ".join(f"{name}={value}" for name, value in config.model_options.items())
    return printable(f"{config.model}{f' ({options})' if options else ''} on {config.source}")


def say_made(**places: Path) -> None:
    """Print the last line of a command: what it made, and where."""
    made = (f"{name.replace('_', ' ')}: {printable(path)}" for name, path in places.items())
    print("   ".join(made))


def verbosity(args: argparse.Namespace) -> int:
    """Return what `train` takes: a progress bar on a terminal, else a line an epoch."""
    return 0 if args.quiet else 1 if sys.stdout.isatty() else 2


def open_run_and_data(args):
    """Return the `Run` that is named and its `Dataset`."""
    from cnn_cifar10.training import load_data, open_run

    run = open_run(args.run)
    config = run.config()
    if args.data_dir:
        config = dataclasses.replace(config, data_dir=args.data_dir)
    return run, load_data(config)


def report_folder(args: argparse.Namespace, run: Path) -> Path:
    """Return the folder of the report on the run in a folder."""
    return args.report or Path("reports") / run.name


def report(run, dataset, args) -> dict[str, Any]:
    """Write a `Run`'s report and its row, say where they are, and return the report.

    Raises:
        InputError: If the data are others than the run's, and no other folder is named.
    """
    from cnn_cifar10.reporting import report_run

    folder, places = report_folder(args, run.path), {"row": args.results}
    if run.facts()["fingerprint"] not in dataset.fingerprints:
        places = {}
        if not args.report:
            raise InputError(
                f"{run.path}: was trained with other splits than those of {dataset.title} here "
                f"(their fingerprints differ); name a folder for their report with --report, since "
                f"{folder} is for the run's own"
            )
    document = report_run(run, dataset, folder, args.results, **_asked(args))
    print(printable(document["headline"]))
    say_made(model=run.path, report=folder / "report.md", **places)
    return document


def known_report(run, args) -> dict[str, Any] | None:
    """Return the report of a finished `Run`, if all of it that is asked for is there."""
    from cnn_cifar10.reporting import find_report

    folder = report_folder(args, run.path)
    return find_report(run.facts(), folder, args.results, **_asked(args))


def _asked(args):
    splits = ("train", "validation") if args.no_test else ("train", "validation", "test")
    return {"splits": splits, "tta": args.tta, "diagnostics": args.diagnostics}
