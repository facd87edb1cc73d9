"""Look at a folder of images before training: classes, sizes, damage, duplicates, flaws.

Writes a page with figures and whole lists, and says what matters in five lines. It
reads folders that a training would refuse too.
"""

from pathlib import Path

from cnn_cifar10.cli import options


def add_arguments(parser):
    options.add(parser, "data", str, "folder, table or archive of images, as for --data-dir")
    options.add(parser, "--output", Path, "folder of the page (default: reports/<name>-data)")
    options.add_fields(parser, ("fit", "group_by"))
    options.add_shared(parser, "--quiet")


def run(args):
    from cnn_cifar10.datasets import DataOptions
    from cnn_cifar10.reporting import inspect_folder

    print(f"Inspecting {args.data}")
    given = DataOptions(args.data, **options.given_fields(args, ("fit", "group_by")))
    document = inspect_folder(given, args.output, progress=False if args.quiet else None)
    print("\n".join(document["headline"]))
    options.say_made(page=Path(document["output"]) / "inspection.md")
    return document
