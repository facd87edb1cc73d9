"""The configs are imported where no file of data can be read."""

import sys


def refuse(event, arguments):
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc")):
        raise PermissionError(arguments[0])


import cnn_cifar10.utils  # noqa: E402  # which is not a config

sys.addaudithook(refuse)

import cnn_cifar10.configs  # noqa: E402

print(len(cnn_cifar10.configs.__all__))
