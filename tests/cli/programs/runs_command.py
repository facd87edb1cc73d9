"""Runs a command and prints its exit code and which heavy packages it has loaded.

Errors are printed to standard output too. Packages that are named before `--` are taken for
not installed.
"""

import contextlib
import sys

from cnn_cifar10.cli import main

HEAVY = {"keras", "tensorflow", "jax", "numpy", "PIL", "onnxruntime", "matplotlib"}

place = sys.argv.index("--")
absent, arguments = sys.argv[1:place], sys.argv[place + 1 :]
sys.modules |= dict.fromkeys(absent)
with contextlib.redirect_stderr(sys.stdout):
    try:
        code = main(arguments)
    except SystemExit as done:
        code = done.code
print(code, *sorted(HEAVY & {name for name, module in sys.modules.items() if module}))
