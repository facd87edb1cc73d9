"""Measure a trained model again, and write its report and its row anew."""

from cnn_cifar10.cli.options import add_report_options, add_run_options, open_run_and_data, report


def add_arguments(parser):
    add_run_options(parser)
    add_report_options(parser)


def run(args):
    return report(*open_run_and_data(args), args)
