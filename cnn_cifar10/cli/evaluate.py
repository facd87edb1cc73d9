"""Measure a trained model again, and write its report and its row anew."""

from cnn_cifar10.cli import options
from cnn_cifar10.utils import printable


def add_arguments(parser):
    options.add_shared(parser, "run", "--data-dir", *options.REPORT)


def run(args):
    report = options.report_folder(args, args.run)
    print(f"Evaluating {printable(args.run)}; report: {printable(report)}")
    return options.report(*options.open_run_and_data(args), args)
