"""List the networks and their options."""


def add_arguments(parser):
    pass


def run(args):
    from cnn_cifar10.architectures import NETWORKS, list_models

    rows = []
    for name in list_models():
        network = NETWORKS[name]
        known = network.parameters is not None
        count = f"{network.parameters:,} parameters" if known else ""
        print(f"{name:16} {count:>23}  {network.description}")
        if network.options:
            print(f"{'':16} " + ", ".join(f"{k}={v!r}" for k, v in network.options.items()))
        rows.append(
            {
                "name": name,
                "parameters": network.parameters,
                "description": network.description,
                "options": network.options,
            }
        )
    return rows
