"""Upload to the Hugging Face Hub what `export --hub` wrote.

The name is hf://owner/name; a repository that is missing is made. The token is that of
`hf auth login`, or of the variable HF_TOKEN. Without one, the command lists what it would
upload. The last line has the name with the commit, by which others get the same files.
"""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.utils import format_size, printable


def add_arguments(parser):
    options.add(parser, "folder", Path, "folder that `export --hub` wrote")
    options.add(parser, "name", str, "hf://owner/name")
    options.add(parser, "--private", False, "make a new repository for its owners alone")


def run(args):
    from cnn_cifar10.exporting import push_folder

    document = push_folder(args.folder, args.name, args.private)
    sizes, name = document["files"], printable(document["name"])
    for file, size in sizes.items():
        print(f"{printable(file)}: {format_size(size)}")
    total = f"{len(sizes)} files, {format_size(sum(sizes.values()))}"
    if document["commit"]:
        print(f"Uploaded {total}: {name}@{document['commit']}")
    else:
        print(f"Would upload {total} to {name}; log in first: hf auth login, or set HF_TOKEN")
    return document
