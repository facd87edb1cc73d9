"""Export a trained model to other formats, with its model card and checksums.

The files are written into the folder of the run. Each format is loaded back and
compared with the Keras model on images of the split that the report is on; nothing is
kept if one does not agree. Replaces an earlier export. Needs TensorFlow and the
packages of the formats: pip install 'cnn-cifar10[export]'.
"""

from cnn_cifar10.cli.options import (
    add_report_folder,
    add_run_options,
    open_run_and_data,
    report_folder,
)


def add_arguments(parser):
    from cnn_cifar10.exporting import FORMATS

    add_run_options(parser)
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"some of {', '.join(FORMATS)} (default: all)",
    )
    parser.add_argument(
        "--images", type=int, default=1000, help="images to compare on (default: %(default)s)"
    )
    add_report_folder(parser)
    parser.add_argument("--license", help="license of the model, for its card, such as mit")


def run(args):
    from cnn_cifar10.exporting import export_run, format_comparison
    from cnn_cifar10.reporting import read_report

    trained, dataset = open_run_and_data(args)
    report = read_report(report_folder(args, trained))
    description = export_run(
        trained, dataset, report, args.formats, images=args.images, license=args.license
    )
    print(format_comparison(description))
    print(f"model: {trained.path}   card: {trained.path / 'README.md'}")
    return description
