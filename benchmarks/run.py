"""Measure the speed of input pipelines and of training on this machine.

    make bench

Contenders run in turn, A B A B, so that whatever else the machine
does hits them alike; medians and ratios go to reports/benchmarks.md and .csv.
"""

import argparse
import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from cnn_cifar10.architectures.layers import FusedBatchNormalization
from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import Dataset, Split
from cnn_cifar10.evaluation import count_training_flops
from cnn_cifar10.pipelines import AUGMENTATIONS, training_batches
from cnn_cifar10.reporting import format_table
from cnn_cifar10.training import build_model, choose_precision, compile_model
from cnn_cifar10.utils import (
    describe_hardware,
    format_hardware,
    package_versions,
    write_csv,
    write_page,
)


def main():
    """Run all benchmarks and write their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder to write to")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    args = parser.parse_args()
    fastnet = make_config("fast", small_epochs=0)
    product = measure_matrix_product(args.rounds)
    limits = {each["what"].split(", ")[1]: each["median"] for each in product}
    rows = [
        *product,
        *measure_policies(args.rounds),
        *measure_training(make_config(model="custom_cnn"), limits, 3 * args.rounds),
        *measure_training(make_config(model="resnet20"), limits, args.rounds),
        *measure_training(make_config(model="vgg16"), limits, args.rounds, images=512),
        *measure_training(fastnet, limits, args.rounds, torch_contenders(), images=6_000),
    ]
    conditions = (
        f"Written by `make bench`. Medians of {args.rounds} turns each (custom_cnn: "
        f"{3 * args.rounds}), in turn, PyTorch's in processes of their own"
    )
    write_table(rows, conditions, args.output)


def measure_matrix_product(rounds, size=2048):
    """Return the machine's own limit: products of two matrices in the formats of trainings."""
    formats = dict.fromkeys(("float32", choose_precision().removeprefix("mixed_")))

    def contender(dtype):
        matrix = keras.ops.ones((size, size), dtype)

        def multiply(times=10):
            began = time.perf_counter()
            for _ in range(times):
                float(keras.ops.matmul(matrix, matrix)[0, 0])
            return 2e-9 * size**3 * times / (time.perf_counter() - began)

        return multiply

    speeds = alternate({t: contender(t) for t in formats}, rounds)
    return [
        row(f"matrix product {size}, {dtype}", statistics.median(values), "GFLOP/s")
        for dtype, values in speeds.items()
    ]


def measure_policies(rounds, batch_size=256, seconds=0.5):
    """Return the images per second of every augmentation policy, without training."""
    data = random_dataset()
    names = ["none", "crop+flip", *AUGMENTATIONS, "crop+flip+cutout", "crop+flip+mixup"]

    def contender(name):
        def read():
            # Anew each turn: nothing is read ahead while the others have theirs.
            batches = iter(training_batches(data.train, 10, batch_size=batch_size, augment=name))
            read_for(batches, seconds)
            return read_for(batches, seconds) * batch_size

        return read

    speeds = alternate({name: contender(name) for name in names}, rounds)
    return [
        row(f"pipeline, {name}", statistics.median(values), "images/s")
        for name, values in speeds.items()
    ]


def read_for(batches, seconds):
    """Return how many batches a second come out when they are read for so long."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        next(batches)
        count += 1
    return count / (time.perf_counter() - began)


def measure_training(config, limits, rounds, others=None, images=1920):
    """Return a network's training images per second: as Keras has it, then with ours added.

    Stock float32, then the fused batch normalization, then the number format that
    `choose_precision` picks, in both; then the others, functions that return images per
    second. The share of the matrix product's rate stands beside each of ours.
    """
    data = random_dataset()
    steps = max(1, images // config.batch_size)
    flops = count_training_flops(build_model(config, data, "float32"))

    def contender(precision, fused):
        model = build_model(config, data, precision)
        compile_model(model, config, data)
        batches = training_batches(
            data.train, 10, batch_size=config.batch_size, augment=config.augment
        )

        def train(steps=steps):
            began = time.perf_counter()
            model.fit(batches, steps_per_epoch=steps, verbose=0, shuffle=False)
            return steps * config.batch_size / (time.perf_counter() - began)

        stock = mock.patch.object(FusedBatchNormalization, "_can_fuse", return_value=False)
        with contextlib.nullcontext() if fused else stock:
            train(2)  # the graph is traced in the first call
        return train

    precisions = dict.fromkeys(("float32", choose_precision()))
    contenders, shares = {}, {}
    for precision in precisions:
        for fused in (False, True):
            kind = "fused" if fused else "stock"
            what = f"training {config.model}, {precision}, {kind} batch normalization"
            contenders[what] = contender(precision, fused)
            shares[what] = flops / 1e9 / limits[precision.removeprefix("mixed_")]
    turns = alternate({**contenders, **(others or {})}, rounds)
    speeds = {what: statistics.median(values) for what, values in turns.items()}
    first = next(iter(speeds.values()))
    rows = []
    for what, speed in speeds.items():
        unit = f"images/s ({speed / first:.2f} times the first"
        unit += f", {speed * shares[what]:.0%} of the product's rate)" if what in shares else ")"
        rows.append(row(what, speed, unit))
    return rows


def torch_contenders():
    """Return plain PyTorch's training of fastnet and of airbench94, where it is installed.

    Each turn is a process of its own, as a training is.
    """
    if importlib.util.find_spec("torch") is None:
        print("PyTorch's loop is left out: pip install torch")
        return {}

    def contender(*arguments):
        command = [sys.executable, Path(__file__).with_name("torch_airbench.py"), "--speed"]
        return lambda: float(subprocess.check_output([*command, *arguments], text=True))

    return {
        f"training {network} in PyTorch, bfloat16, batch {size}": contender(
            "--batch-size", size, *flags
        )
        for network, size, flags in (
            ("the same", "500", ["--fastnet"]),
            ("the same", "2000", ["--fastnet"]),
            ("airbench94", "2000", []),
        )
    }


def alternate(contenders, rounds):
    """Run the contenders in turn; return each one's results, without the first, which warms up."""
    results = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            result = run()
            if number:
                results[name].append(result)
        print(f"{next(iter(contenders))} ...: round {number} of {rounds}", flush=True)
    return results


def random_dataset(count=10_000):
    """Return random pixels in CIFAR-10's shape: speed does not depend on what they show."""
    rng = np.random.default_rng(0)
    split = Split(
        rng.integers(0, 256, (count, 32, 32, 3), dtype="uint8"), rng.integers(0, 10, count)
    )
    return Dataset("random", "random pixels", tuple("0123456789"), split, split, split)


def row(what, value, unit, kind="median"):
    """Return a row of the table; `kind` says what the value is."""
    return {"what": what, kind: round(value, 1) if value < 1000 else round(value), "unit": unit}


def write_table(rows, conditions, output, name="benchmarks"):
    """Write the table as Markdown, with its conditions, and as CSV."""
    versions = package_versions("onnxruntime", "ai-edge-litert")
    output.mkdir(parents=True, exist_ok=True)
    text = (
        f"# {name.capitalize()}\n\n{conditions}, on {format_hardware(describe_hardware())}; "
        f"{', '.join(f'{package} {version}' for package, version in versions.items())}.\n\n"
        f"{format_table(rows)}"
    )
    write_page(output / f"{name}.md", text)
    write_csv(output / f"{name}.csv", rows[0], [each.values() for each in rows])
    print(text)


if __name__ == "__main__":
    main()
