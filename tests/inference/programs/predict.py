"""Run `cnn-cifar10 predict IMAGE --json` where heavy libraries cannot be imported."""

import sys

HEAVY = ["keras", "tensorflow", "sklearn", "matplotlib", "scipy", "jax", "tqdm"]
sys.modules.update(dict.fromkeys(HEAVY))  # importing one raises

from cnn_cifar10.cli import main  # noqa: E402

sys.exit(main(["predict", sys.argv[1], "--json"]))
