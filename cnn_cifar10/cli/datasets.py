"""List the data sets."""


def run(args):
    from cnn_cifar10.datasets import DATASETS

    width = max(map(len, DATASETS))
    for name, source in DATASETS.items():
        print(f"{name:{width}}  {source.description}")
    return [{"name": name, "description": each.description} for name, each in DATASETS.items()]
