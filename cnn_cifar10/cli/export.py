"""Export a trained model to other formats, with its model card and checksums.

The files are written into the folder of the run. Each format is loaded back and
compared with the Keras model on images of the split that the report is on; nothing is
kept if one does not agree. Replaces an earlier export. Needs TensorFlow and the
packages of the formats: pip install 'cnn-cifar10[export]'.

With --hub, a folder is written too as the Hugging Face Hub is to have it, for `push`.
"""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import printable


def add_arguments(parser):
    from cnn_cifar10.exporting import FORMATS

    options.add_shared(parser, "run", "--data-dir", "--report")
    listed = f"some of {', '.join(FORMATS)} (default: all)"
    options.add(parser, "--formats", str, listed, nargs="+", choices=FORMATS, metavar="FORMAT")
    options.add(parser, "--images", 1000, "images to compare on")
    options.add(parser, "--license", str, "license of the model, for its card, such as mit")
    options.add(parser, "--hub", Path, "folder to write for the Hugging Face Hub", metavar="DIR")


def run(args):
    from cnn_cifar10.exporting import FORMATS

    formats = args.formats or list(FORMATS)
    run, names = printable(args.run), ", ".join(formats)
    print(f"Exporting {run} to {names}; images to compare on: {args.images}")

    from cnn_cifar10.exporting import (
        check_hub_folder,
        export_run,
        format_comparison,
        write_hub_folder,
    )
    from cnn_cifar10.reporting import read_report

    if args.hub:
        check_hub_folder(args.hub)

    trained, dataset = options.open_run_and_data(args)
    report = read_report(options.report_folder(args, trained.path))
    description = export_run(
        trained, dataset, report, formats, images=args.images, license=args.license
    )
    print(format_comparison(description))
    places = {"model": trained.path, "card": trained.path / "README.md"}
    if args.hub:
        write_hub_folder(trained, args.hub)
        places["hub"] = args.hub
    options.say_made(**places)
    return description
