"""Compare the runs in a table of results.

Runs that differ in their seed alone are one line: mean and standard deviation.
"""

from pathlib import Path

from cnn_cifar10.cli.options import add_results
from cnn_cifar10.utils import InputError


def add_arguments(parser):
    add_results(parser, "the table")
    parser.add_argument(
        "--metric",
        choices=("accuracy", "validation_accuracy"),
        default="accuracy",
        help="figure to compare: of the test split, or, to choose, of validation",
    )
    parser.add_argument("--dataset", metavar="TITLE", help="compare runs on this data set alone")
    parser.add_argument(
        "--output", type=Path, help="folder for a page of the comparison, with figures"
    )


def run(args):
    from cnn_cifar10.reporting import (
        format_table,
        read_results,
        summarize_results,
        summary_columns,
        write_comparison,
    )

    rows = summarize_results(read_results(args.results), args.metric)
    if not rows:
        raise InputError(f"{args.results}: no run has a figure for --metric {args.metric}")
    titles = sorted({row["dataset"] for row in rows})
    choices = ", ".join(map(repr, titles))
    if args.dataset and args.dataset not in titles:
        raise InputError(f"{args.results}: no run is on {args.dataset!r}: choose from {choices}")
    if args.output and not args.dataset and len(titles) > 1:
        raise InputError(f"a page is of one data set: choose one with --dataset from {choices}")
    rows = [row for row in rows if args.dataset in (None, row["dataset"])]
    print(format_table(rows, summary_columns(args.metric)))
    if args.output:
        write_comparison(args.output, rows, args.results.parent, args.metric)
        print(f"page: {args.output / 'comparison.md'}")
    return rows
