"""Classify images that are sent over HTTP; /docs explains the service.

Listens on this machine alone, unless --host names another address. That needs a
token in the variable CNN_CIFAR10_TOKEN, which every request but GET /health must
then show. SIGTERM lets requests under way finish.

Browsers may know it by the names of this machine alone. Behind a proxy, --allow-host
gives it the proxy's names.
"""

import os
import sys
from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import HUB, InputError, printable, require_package, split_hub_name


def add_arguments(parser):
    folders = (
        "folders of exported runs, the default model first; each is served by its name "
        "(default: the shipped model)"
    )
    options.add(parser, "--model", str, folders, nargs="+", metavar="FOLDER")
    options.add(parser, "--host", "127.0.0.1", "address")
    options.add(parser, "--port", 8000, "port; 0 takes a free one")
    names = "more names by which browsers may know it, such as example.org"
    options.add(parser, "--allow-host", str, names, nargs="+", metavar="NAME")


def run(args):
    require_package("fastapi_offline", "serve needs", "'cnn-cifar10[serve]'")

    from cnn_cifar10.inference import SHIPPED, Classifier, shipped_artifact
    from cnn_cifar10.serving import TOKEN_VARIABLE, serve

    folders = {}
    for given in args.model or ():
        _check_is_folder(given)
        folder = Path(given)
        name = folder.resolve().name
        if name in folders:
            same = f"another model is named {printable(name)} too; rename its folder"
            raise InputError(f"{printable(folder)}: {same}")
        folders[name] = folder
    folders = folders or {SHIPPED[-1].name: shipped_artifact()}
    classifiers = {name: Classifier.open(folder) for name, folder in folders.items()}
    # Standard output begins with the address, for whoever waits for it.
    print(
        f"Serving {', '.join(map(printable, folders))} on {args.host}, port {args.port}",
        file=sys.stderr,
    )
    serve(
        classifiers,
        host=args.host,
        port=args.port,
        token=os.environ.get(TOKEN_VARIABLE),
        allowed_hosts=args.allow_host or (),
    )


def _check_is_folder(model):
    """Raise an `InputError` that says how a model of the Hub becomes a folder."""
    if not model.startswith(HUB):
        return
    repository, revision = split_hub_name(model)
    folder = repository.partition("/")[2]
    version = f" --revision {revision}" if revision else ""
    raise InputError(
        f"{model}: serve takes folders: get it by `hf download {repository}{version} --local-dir "
        f"{folder}`, then --model {folder}"
    )
