"""Pack a folder of images into a few large files of records, to train on.

Takes what `train --data-dir` takes. The images stay as they are, with their names, classes,
splits and groups, so that a training on records is one on the folder. Interrupt it at any
time: the same command goes on. Needs ArrayRecord: pip install 'cnn-cifar10[records]'.

  cnn-cifar10 convert photos photos.records
  cnn-cifar10 train --data-dir photos.records
"""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import InputError

CONTINUES = True


def add_arguments(parser):
    options.add(parser, "data", str, "folder, table or archive of images, as for --data-dir")
    options.add(parser, "output", Path, "folder of the records, such as photos.records")
    options.add_fields(parser, ("dataset", "skip_damaged"), show_defaults=False)
    options.add_shared(parser, "--quiet")


def run(args):
    from cnn_cifar10.datasets import DataOptions, find_source, write_records

    given = options.given_fields(args, ("dataset", "skip_damaged"))
    name = given.get("dataset", "folder")
    list_files = find_source(name).list_files
    if list_files is None:
        raise InputError(f"--dataset {name} has no files to convert; choose folder or imagenet")
    print(f"Converting {args.data}")
    _, files = list_files(DataOptions(args.data))
    count = write_records(
        files,
        args.output,
        skip_damaged=given.get("skip_damaged", False),
        progress=False if args.quiet else None,
    )
    print(f"{count:,} images of {len(files.class_names):,} classes")
    options.say_made(records=args.output)
    return {"images": count, "classes": len(files.class_names), "records": str(args.output)}
