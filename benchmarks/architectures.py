"""Train the table of architectures on CIFAR-10, one run after the other.

    python benchmarks/architectures.py cpu
    KERAS_BACKEND=jax python benchmarks/architectures.py gpu --models models/gpu \\
        --reports reports/gpu

Each run lands in models/, its report in reports/ and its row in reports/results.csv,
as with `cnn-cifar10 train`. Finished runs are passed over and an interrupted one
continues, so the same command goes on where it stopped.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.reporting import report_run
from cnn_cifar10.training import train

# Learning rates, and whether gradients are cut, are each network's own: `cnn-cifar10 models`.
# On two cores the large networks take twenty to forty minutes each, resnet50 longer.
CPU = {
    "custom_cnn": {"epochs": 20},
    "resnet20": {"epochs": 40},
    "vgg16": {"epochs": 6},
    "resnet18": {"epochs": 3},
    "resnet50": {"epochs": 3},
    "googlenet": {"epochs": 3, "model_options": {"auxiliary_heads": True}},
    "wide_resnet16_4": {"epochs": 5},
}
GPU = {
    name: {"epochs": 30, "batch_size": 512, "augment": "crop+flip+cutout"}
    for name in (
        "custom_cnn",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
        "vgg16",
        "vgg19",
        "resnet18",
        "resnet50",
        "resnet101",
        "googlenet",
        "wide_resnet16_4",
        "wide_resnet28_10",
        "efficientnet_b0",
    )
}


def main():
    """Train and report on every network of a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=("cpu", "gpu"))
    parser.add_argument("--only", nargs="+", help="some of the networks")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the runs")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    args = parser.parse_args()
    table = {"cpu": CPU, "gpu": GPU}[args.table]
    dataset = load_dataset("cifar10")
    for seed in args.seeds:
        for name in args.only or table:
            config = make_config(model=name, seed=seed, **table[name])
            began = time.perf_counter()
            run = train(config, args.models / config.name, dataset=dataset, verbose=2)
            report = report_run(
                run, dataset, args.reports / config.name, args.reports / "results.csv"
            )
            seconds = time.perf_counter() - began
            print(f"{report['headline']} {seconds:.0f} s in all.", flush=True)


if __name__ == "__main__":
    main()
