"""List the networks and their options, or explain one.

"trained with" is what `train` takes for a network where nothing else is said, if it differs from
the standard recipe. A learning rate there is for batches of 128.
"""

from cnn_cifar10.cli import options
from cnn_cifar10.utils import InputError, printable, references


def add_arguments(parser):
    parser.add_argument(
        "name", nargs="?", help="network, or path/to/file.py:function (default: all networks)"
    )
    trust = "let the models of this network run its file, which you have read, when they are opened"
    options.add(parser, "--trust", False, trust)


def run(args):
    from cnn_cifar10.architectures import NETWORKS, find_network, list_models

    if args.trust:
        _trust(args.name or "")
    if args.name:
        network = find_network(args.name)
        document = "\n".join(map(printable, network.document.splitlines()))
        print(f"{args.name}  {_count(network)}\n\n{document}\n")
        print("options:" if network.options else "It has no options.")
        for option, default in network.options.items():
            print(f"  {option}={default!r}")
        for option, value in network.fixed:
            print(f"  {option}={value!r}, which this name fixes")
        if network.training:
            print(f"trained with {_pairs(network.training)}")
        return {**_row(args.name, network), "document": network.document}
    for name in list_models():
        network = NETWORKS[name]
        print(f"{name:16} {_count(network):>23}  {network.description}")
        if network.options:
            print(f"{'':16} {_pairs(network.options)}")
        if network.training:
            print(f"{'':16} trained with {_pairs(network.training)}")
    return [_row(name, NETWORKS[name]) for name in list_models()]


def _trust(name):
    from cnn_cifar10.architectures import check_options

    if ":" in name:
        check_options(name, ())  # which says if there is no such file, or no such function in it
    digest = references.digest_of(name) if ":" in name else None
    if digest is None:
        raise InputError(
            f"--trust needs a file of your own, path/to/file.py:function, not {name!r}"
        )
    references.trust(digest)
    print(f"{name} may run when its models are opened, until it changes")


def _pairs(options):
    return ", ".join(f"{name}={value!r}" for name, value in options.items())


def _count(network):
    return "" if network.parameters is None else f"{network.parameters:,} parameters"


def _row(name, network):
    facts = ("parameters", "description", "options", "training")
    return {"name": name} | {fact: getattr(network, fact) for fact in facts}
