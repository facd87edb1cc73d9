"""List the augmentations that a policy is made of."""

import inspect


def run(args):
    from cnn_cifar10.pipelines import AUGMENTATIONS

    rows = []
    for name, each in AUGMENTATIONS.items():
        description = inspect.getdoc(each).partition("\n")[0]
        print(f"{name:16} {description}  {each}")
        rows.append({"name": name, "description": description, "settings": str(each)})
    return rows
