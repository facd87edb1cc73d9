"""Classify images that are sent over HTTP; /docs explains the service.

Listens on this machine alone, unless --host names another address. That needs a
token in the variable CNN_CIFAR10_TOKEN, which every request but GET /health must
then show. SIGTERM lets requests under way finish.
"""

import importlib.util
import os
from pathlib import Path

from cnn_cifar10.utils import InputError


def add_arguments(parser):
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="folders of exported runs, the default model first; each is served by its name "
        "(default: the model that comes with the package)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)"
    )


def run(args):
    if importlib.util.find_spec("fastapi_offline") is None:
        raise InputError("serve needs FastAPI and more: pip install 'cnn-cifar10[serve]'")

    from cnn_cifar10.inference import SHIPPED, Classifier, shipped_artifact
    from cnn_cifar10.serving import TOKEN_VARIABLE, serve

    folders = {}
    for folder in args.model:
        name = folder.resolve().name
        if name in folders:
            raise InputError(f"{folder}: another model is named {name} too; rename its folder")
        folders[name] = folder
    folders = folders or {SHIPPED[-1].name: shipped_artifact()}
    classifiers = {name: Classifier.open(folder) for name, folder in folders.items()}
    serve(classifiers, host=args.host, port=args.port, token=os.environ.get(TOKEN_VARIABLE))
