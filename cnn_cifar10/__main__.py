"""`python -m cnn_cifar10`, the same as the `cnn-cifar10` command."""

from cnn_cifar10.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
