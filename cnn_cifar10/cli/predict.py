"""Classify images with an exported model, without Keras.

By default with the model that comes with the package, which knows CIFAR-10's classes.
"""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import InputError


def add_arguments(parser):
    options.add(parser, "images", Path, "images, or folders of images", nargs="+")
    options.add(parser, "--model", Path, "folder of an exported run (default: the shipped model)")
    options.add(parser, "--top", 5, "how many classes to name")
    mirror = "average over each image and its mirror image (test-time augmentation)"
    options.add(parser, "--mirror", False, mirror)
    unsure = "answer `unsure` where the best class has a lower probability, such as 0.6"
    options.add(parser, "--threshold", 0.0, unsure)


def run(args):
    from cnn_cifar10.datasets import IMAGE_FORMATS
    from cnn_cifar10.inference import Classifier

    files = []
    for path in args.images:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_FORMATS)
            if not inside:
                raise InputError(f"{path}: holds no images ({', '.join(IMAGE_FORMATS)})")
            files += inside
        else:
            files.append(path)
    if args.top < 1:
        raise InputError(f"--top must be 1 or more, received {args.top}")
    document = []
    if len(files) > 1:
        print(f"Classifying {len(files)} images with {args.model or 'the shipped model'}")
    classifier = Classifier.open(args.model, mirror=args.mirror, threshold=args.threshold)
    for file, prediction in zip(files, classifier.classify_files(files), strict=True):
        label, top = prediction.label, prediction.top(args.top)
        document.append({"file": str(file), **top[0], "class": label, "top": top})
        unsure = "" if label == top[0]["class"] else f"{label}; "
        print(f"{file}: {unsure}" + ", ".join(f"{t['class']} {t['probability']:.1%}" for t in top))
    return document
