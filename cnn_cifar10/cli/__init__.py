"""The command line: one file a command.

A command's docstring is its help, `add_arguments`, if it has options, adds them, and
`run` does it and returns a document for `--json`. Each imports what it needs when it runs,
so that `--help` answers at once. Where `CONTINUES` is set, the same command goes on after
an interruption.
"""

from cnn_cifar10.cli.main import main

__all__ = ["main"]
