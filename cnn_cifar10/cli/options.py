"""Options and steps that several commands share."""

import argparse
import contextlib
import dataclasses
import json
from pathlib import Path

from cnn_cifar10.configs import TrainingConfig, type_name


def add_fields(parser, names=None, show_defaults=True):
    """Add an option for these fields of a config, or all; absent where it is not given."""
    types = {"str": str, "int": int, "float": float}
    for field in dataclasses.fields(TrainingConfig):
        if names is not None and field.name not in names:
            continue
        kind = type_name(field)
        if kind == "dict":
            how = {"nargs": "+", "metavar": "NAME=VALUE", "type": _name_and_value}
        elif kind == "bool":
            how = {"action": "store_true"}
        else:
            how = {"type": types[kind], "choices": field.metadata["choices"]}
        shown = show_defaults and field.default not in (None, False, dataclasses.MISSING)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=field.metadata["help"] + (f" (default: {field.default})" if shown else ""),
            **how,
        )


def given_fields(args, names=None):
    """Return the fields that were given, of these names or of all."""
    names = names or [field.name for field in dataclasses.fields(TrainingConfig)]
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    if "model_options" in given:
        given["model_options"] = dict(given["model_options"])
    return given


def _name_and_value(text):
    """Parse `name=value`, the value as JSON where it is JSON."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    with contextlib.suppress(json.JSONDecodeError):
        value = json.loads(value)
    return name, value


def add_run_options(parser):
    """Add the folder of a finished run, and where its data are."""
    parser.add_argument("run", type=Path, help="folder of the run, such as models/<run>")
    parser.add_argument("--data-dir", help="where the data is now, if not where it was")


def add_report_folder(parser):
    """Add the folder of a run's report."""
    parser.add_argument("--report", type=Path, help="folder of the report (default: reports/<run>)")


def add_results(parser, help="table that gets a row for the run"):
    """Add the table of results."""
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("reports/results.csv"),
        help=f"{help} (default: %(default)s)",
    )


def add_report_options(parser):
    """Add what is measured, and where it is written."""
    add_report_folder(parser)
    add_results(parser)
    parser.add_argument(
        "--tta",
        action="store_true",
        help="measure accuracy over six views of each image too (test-time augmentation)",
    )
    parser.add_argument(
        "--diagnostics",
        action="store_true",
        help="report calibration, robustness to corruptions, Grad-CAM and likely label errors too",
    )
    parser.add_argument(
        "--no-test",
        action="store_true",
        help="report on the validation split and leave the test split untouched; use it to choose",
    )


def add_quiet(parser):
    """Add the option to show no progress."""
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def open_run_and_data(args):
    """Return the run that is named and its data."""
    from cnn_cifar10.training import load_data, open_run

    run = open_run(args.run)
    config = run.config()
    if args.data_dir:
        config = dataclasses.replace(config, data_dir=args.data_dir)
    return run, load_data(config)


def report_folder(args, run):
    """Return the folder of a run's report."""
    return args.report or Path("reports") / run.path.name


def report(run, dataset, args):
    """Write a run's report and its row, say where they are, and return the report."""
    from cnn_cifar10.reporting import report_run

    folder = report_folder(args, run)
    splits = ("train", "validation") if args.no_test else ("train", "validation", "test")
    document = report_run(
        run, dataset, folder, args.results, splits, tta=args.tta, diagnostics=args.diagnostics
    )
    print(document["headline"])
    print(f"model: {run.path}   report: {folder / 'report.md'}   row: {args.results}")
    return document
