"""Classify images with an exported model, without Keras.

By default with the model that comes with the package, which knows CIFAR-10's classes.
An image that cannot be read is named at the end, and the others are answered. Exit codes:
0 all images were classified, 1 some of them, 2 none, 130 those before the interruption.
"""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import InputError, check_writable, printable

_NAMED = 20  # images that cannot be read; more are counted


def add_arguments(parser):
    options.add(parser, "images", Path, "images, or folders of images", nargs="+")
    model = "folder of an exported run, or hf://owner/name@revision (default: the shipped model)"
    options.add(parser, "--model", str, model)
    options.add(parser, "--top", 5, "how many classes to name")
    mirror = "average over each image and its mirror image (test-time augmentation)"
    options.add(parser, "--mirror", False, mirror)
    unsure = "answer `unsure` where the best class has a lower probability, such as 0.6"
    options.add(parser, "--threshold", 0.0, unsure)
    table = "write a table, one row an image; those that cannot be read have the reason"
    options.add(parser, "--csv", Path, table, metavar="FILE")
    sort = "make a folder for each predicted class, with links to its images"
    options.add(parser, "--sort-into", Path, sort, metavar="DIR")
    options.add(parser, "--copy", False, "with --sort-into: copy the images")
    embeddings = "write what the classifier layer takes, float32, with paths, for numpy.load"
    options.add(parser, "--embeddings", Path, embeddings, metavar="FILE.npz")


def run(args):
    from cnn_cifar10.datasets import ImageError
    from cnn_cifar10.inference import Classifier

    _check(args)
    asked = {"mirror": args.mirror, "threshold": args.threshold, "embed": bool(args.embeddings)}
    classifier = Classifier.open(args.model, **asked)
    faults, document = [], []
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(writer) for writer in _writers(args, classifier)]
        progress = stack.enter_context(contextlib.closing(_Progress(args.images)))
        interrupted = stack.enter_context(_noting_interruption())
        for path, answer in classifier.stream(_list(args.images)):
            for write in writers:
                write(path, answer)
            if isinstance(answer, ImageError):
                faults.append(answer)
                row = {"file": path, "error": answer.reason}
            else:
                row = _show(path, answer, args.top)
            if args.json:
                document.append(row)
            progress.update()
            if interrupted:
                args.exit_code = 130
                break
    if interrupted:
        print(f"cnn-cifar10: interrupted; {progress} answered", file=sys.stderr)
    if faults:
        _end(args, faults, progress.seen)
    return document


def _check(args):
    """Raise an `InputError` for what would fail after images were classified."""
    from cnn_cifar10.datasets import IMAGE_FORMATS, find_images

    if args.top < 1:
        raise InputError(f"--top must be 1 or more, received {args.top}")
    if args.copy and not args.sort_into:
        raise InputError("--copy needs --sort-into DIR")
    for path in (args.csv, args.embeddings):
        if path and os.path.lexists(path):
            raise InputError(f"{printable(path)}: is there already; remove it or name another file")
        if path:
            check_writable(path.parent, InputError, "name a file elsewhere")
        if path and not path.parent.is_dir():
            raise InputError(f"{printable(path)}: its folder does not exist; make it first")
    if args.csv and args.csv == args.embeddings:
        raise InputError("--csv and --embeddings name the same file; name two")
    folders = [path for path in args.images if path.is_dir()]
    for folder in folders:
        if next(find_images(folder), None) is None:
            raise InputError(f"{printable(folder)}: holds no images ({', '.join(IMAGE_FORMATS)})")
    if not (target := args.sort_into):
        return
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise InputError(f"{printable(target)}: is there already; name a new or empty folder")
    # What is linked there would be found and classified again.
    if any(target.resolve().is_relative_to(folder.resolve()) for folder in folders):
        raise InputError(f"{printable(target)}: lies among the images; name a folder beside them")


def _list(paths):
    from cnn_cifar10.datasets import find_images

    for path in paths:
        yield from find_images(path) if path.is_dir() else [path]


def _writers(args, classifier):
    from cnn_cifar10 import inference

    names = classifier.class_names
    if args.csv:
        yield inference.csv_rows(args.csv, names, args.top)
    if args.sort_into:
        yield inference.sorted_images(args.sort_into, names, args.copy)
    if args.embeddings:
        yield inference.embeddings_file(args.embeddings, names)


def _show(path, prediction, count):
    """Print a prediction, and return what the JSON document holds of it."""
    label, top = prediction.label, prediction.top(count)
    unsure = f"{label}; " if prediction.is_unsure else ""
    classes = ", ".join(f"{each['class']} {each['probability']:.1%}" for each in top)
    print(f"{printable(path)}: {unsure}{classes}")
    return {"file": path, **top[0], "class": label, "top": top}


def _end(args, faults, seen):
    """Name the images that cannot be read; raise an `InputError` if there are no others."""
    lines = [printable(str(fault)) for fault in faults[:_NAMED]]
    if len(faults) > _NAMED:
        lines.append(f"and {len(faults) - _NAMED:,} more; --csv FILE lists them all")
    if len(faults) == seen:
        raise InputError(*lines)
    message = f"cnn-cifar10: {len(faults):,} of {seen:,} images cannot be read:"
    print("\n  ".join([message, *lines]), file=sys.stderr)
    args.exit_code = getattr(args, "exit_code", 1)


@contextlib.contextmanager
def _noting_interruption():
    """Give a list that Ctrl-C adds to, so that an image is done; a second one ends at once."""
    interrupted = []

    def note(number, frame):
        signal.signal(number, signal.default_int_handler)
        interrupted.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


class _Progress:
    """Counts images, with a bar on stderr unless the answers are shown on the same terminal."""

    def __init__(self, paths):
        self.seen, self._total, self._bar = 0, None, None
        if sys.stderr.isatty() and not sys.stdout.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc="Classifying", unit="image")
        # Answers need not wait until all folders are listed.
        threading.Thread(target=self._count, args=(paths,), daemon=True).start()

    def _count(self, paths):
        with contextlib.suppress(InputError):  # which the images meet too
            self._total = sum(1 for _ in _list(paths))

    def update(self):
        self.seen += 1
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.update()

    def close(self):
        if self._bar is not None:
            self._bar.close()

    def __str__(self):
        known = "" if self._total is None else f" of {self._total:,}"
        return f"{self.seen:,}{known} images"
