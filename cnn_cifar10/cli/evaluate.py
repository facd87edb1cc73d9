"""Measure a trained model again, and write its report and its row anew."""

from cnn_cifar10.cli import options


def add_arguments(parser):
    options.add_shared(parser, "run", "--data-dir", *options.REPORT)


def run(args):
    print(f"Evaluating {args.run}; report: {options.report_folder(args, args.run)}")
    return options.report(*options.open_run_and_data(args), args)
