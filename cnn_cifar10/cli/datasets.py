"""List the data sets."""


def add_arguments(parser):
    pass


def run(args):
    from cnn_cifar10.datasets import DATASETS

    for name, description in DATASETS.items():
        print(f"{name:10} {description}")
    return [{"name": name, "description": text} for name, text in DATASETS.items()]
