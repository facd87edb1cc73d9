"""Compare the runs in a table of results.

Runs that differ in their seed alone are one line: mean and standard deviation.
"""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import InputError


def add_arguments(parser):
    help = "tables of results, one row a run (default: reports/results.csv)"
    options.add(parser, "--results", Path, help, nargs="+", metavar="FILE")
    choices = ("accuracy", "validation_accuracy")
    help = "what to compare: accuracy of the test split, or, to choose, of the validation split"
    options.add(parser, "--metric", "accuracy", help, choices=choices)
    options.add(parser, "--dataset", str, "compare runs on this data set alone", metavar="TITLE")
    options.add(parser, "--output", Path, "folder for a page of the comparison, with figures")


def run(args):
    from cnn_cifar10 import reporting

    results = args.results or [Path("reports/results.csv")]
    tables = ", ".join(map(str, results))
    print(f"Comparing the runs in {tables} by {args.metric}")
    recorded = reporting.read_tables(results)
    rows = reporting.summarize_results(recorded, args.metric)
    if not rows:
        raise InputError(
            f"{tables}: no run has a figure for --metric {args.metric}; data without a test "
            "split are compared by --metric validation_accuracy"
        )
    titles = sorted({row["dataset"] for row in rows})
    choices = ", ".join(map(repr, titles))
    if args.dataset and args.dataset not in titles:
        raise InputError(f"{tables}: no run is on {args.dataset!r}: choose from {choices}")
    if args.output and not args.dataset and len(titles) > 1:
        raise InputError(f"a page is of one data set: choose one with --dataset from {choices}")
    rows = [row for row in rows if args.dataset in (None, row["dataset"])]
    left = [row for row in recorded if row[args.metric] is None]
    if left := [row["run"] for row in left if args.dataset in (None, row["dataset"])]:
        print(f"Without a figure for {args.metric}, and left out: {', '.join(left)}")
    print(reporting.format_summaries(rows, args.metric))
    if args.output:
        reporting.write_comparison(args.output, rows, results[0].parent, args.metric)
        options.say_made(page=args.output / "comparison.md")
    return rows
