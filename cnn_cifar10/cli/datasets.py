"""List the data sets."""


def run(args):
    from cnn_cifar10.datasets import DATASETS

    for name, source in DATASETS.items():
        print(f"{name:10} {source.description}")
    return [{"name": name, "description": each.description} for name, each in DATASETS.items()]
