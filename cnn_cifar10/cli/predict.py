"""Classify images with an exported model, without Keras.

By default with the model that comes with the package, which knows CIFAR-10's classes.
"""

from pathlib import Path

from cnn_cifar10.utils import InputError


def add_arguments(parser):
    parser.add_argument("images", nargs="+", type=Path, help="images, or folders of images")
    parser.add_argument(
        "--model",
        type=Path,
        help="folder of an exported run (default: the model that comes with the package)",
    )
    parser.add_argument("--top", type=int, default=5, help="how many classes to name (default: 5)")
    parser.add_argument(
        "--mirror",
        action="store_true",
        help="average over each image and its mirror image (test-time augmentation)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        help="answer `unsure` where the best class has a lower probability, such as 0.6",
    )


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
    classifier = Classifier.open(args.model, mirror=args.mirror, threshold=args.threshold)
    for file, prediction in zip(files, classifier.classify_files(files), strict=True):
        label, top = prediction.label, prediction.top(args.top)
        document.append({"file": str(file), **top[0], "class": label, "top": top})
        unsure = "" if label == top[0]["class"] else f"{label}; "
        print(f"{file}: {unsure}" + ", ".join(f"{t['class']} {t['probability']:.1%}" for t in top))
    return document
