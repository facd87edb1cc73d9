"""Pack a folder of images into a few large files of records, to train on.

Takes what `train --data-dir` takes. The images stay as they are, with their names, classes,
splits and groups, so that a training on records is one on the folder. Interrupt it at any
time: the same command goes on. Needs ArrayRecord: pip install 'cnn-cifar10[records]'.

  cnn-cifar10 convert photos photos.records
  cnn-cifar10 train --data-dir photos.records
"""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import InputError, printable

CONTINUES = True


def add_arguments(parser):
    options.add(parser, "data", str, "folder, table or archive of images, as for --data-dir")
    options.add(parser, "output", Path, "folder of the records, such as photos.records")
    options.add(parser, "--dataset", "folder", "layout of the data: folder or imagenet")
    options.add_fields(parser, ("skip_damaged",))
    options.add_shared(parser, "--quiet")


def run(args):
    from cnn_cifar10.datasets import DATASETS, DataOptions, find_source, write_records

    list_files = find_source(args.dataset).list_files
    if list_files is None:
        names = " or ".join(name for name, source in DATASETS.items() if source.list_files)
        raise InputError(f"--dataset {args.dataset} has no files to convert; choose {names}")
    print(f"Converting {printable(args.data)}")
    _, files = list_files(DataOptions(args.data))
    count = write_records(
        files,
        args.output,
        **options.given_fields(args, ("skip_damaged",)),
        progress=False if args.quiet else None,
    )
    print(f"{count:,} images of {len(files.class_names):,} classes")
    options.say_made(records=args.output)
    return {"images": count, "classes": len(files.class_names), "records": str(args.output)}
