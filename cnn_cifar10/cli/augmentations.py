"""List the augmentations that a policy is made of."""

import inspect


def add_arguments(parser):
    pass


def run(args):
    from cnn_cifar10.pipelines import AUGMENTATIONS

    rows = [
        {
            "name": name,
            "description": inspect.getdoc(each).partition("\n")[0],
            "settings": str(each),
        }
        for name, each in AUGMENTATIONS.items()
    ]
    for row in rows:
        print(f"{row['name']:16} {row['description']}  {row['settings']}")
    return rows
