"""Measure inference of the exported models on one core, and a prediction from a cold start.

    python benchmarks/inference.py

Of `custom_cnn`, which stands in many formats, and of the model that comes with the package.
Runtimes take turns, A B A B, in one process on one core, and are measured in
processor time, which other work on the machine does not add to. The table goes
to reports/inference.md and .csv.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from run import alternate, row, write_table

from cnn_cifar10.exporting import FORMATS
from cnn_cifar10.inference import Classifier, shipped_artifact
from cnn_cifar10.reporting import Markdown
from cnn_cifar10.training import open_run

FOLDER = Path(__file__).parents[1] / "models" / "custom_cnn"


def main():
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder to write to")
    parser.add_argument("--rounds", type=int, default=11, help="turns of each contender")
    args = parser.parse_args()
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])  # before TensorFlow counts the cores
    shipped = shipped_artifact()
    runtimes = open_runtimes(FOLDER)
    runtimes[f"{shipped.name}, ONNX Runtime (ours)"] = Classifier.open(shipped).probabilities
    rows = [
        *measure_predictions(runtimes, 1, 20, args.rounds),
        *measure_predictions(runtimes, 256, 1, args.rounds),
        measure_cold_start(args.rounds, FOLDER),
        measure_cold_start(args.rounds, shipped),
    ]
    conditions = (
        f"Of {FOLDER.name} unless said, by `python benchmarks/inference.py`: medians of "
        f"{args.rounds} turns, on one core; all but the cold start is processor time"
    )
    write_table(rows, conditions, args.output, "inference")


def open_runtimes(folder):
    """Return functions from float32 pixels to probabilities, by the name of the runtime."""
    model = open_run(folder).load_model()
    graph = tf.function(lambda images: model(images, training=False))

    def litert(name):
        interpreter = Interpreter(str(folder / FORMATS[name].file), num_threads=1)
        run = interpreter.get_signature_runner("serving_default")
        return lambda images: run(pixels=images)

    return {
        "Keras predict": lambda images: model.predict(images, batch_size=256, verbose=0),
        "TensorFlow graph": lambda images: graph(tf.constant(images)).numpy(),
        "ONNX Runtime (ours)": Classifier.open(folder).probabilities,
        "LiteRT": litert("litert"),
        "LiteRT int8": litert("litert_int8"),
    }


def measure_predictions(runtimes, size, times, rounds):
    """Return each runtime's images per second in batches of a size."""
    images = np.random.default_rng(0).integers(0, 256, (size, 32, 32, 3)).astype("float32")

    def contender(predict):
        def measure():
            began = time.process_time()
            for _ in range(times):
                predict(images)
            return size * times / (time.process_time() - began)

        return measure

    turns = alternate({name: contender(predict) for name, predict in runtimes.items()}, rounds)
    speeds = {name: statistics.median(values) for name, values in turns.items()}
    slowest = speeds["Keras predict"]
    return [
        row(f"batch of {size}, {name}", speed, f"images/s ({speed / slowest:.2f} times predict)")
        for name, speed in speeds.items()
    ]


def measure_cold_start(rounds, folder):
    """Return the milliseconds that a model takes, by the command, for a photo of 12 megapixels."""
    with tempfile.TemporaryDirectory() as photos:
        photo = Path(photos) / "photo.jpg"
        pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype="uint8")
        Image.fromarray(pixels).resize((4000, 3000)).save(photo)
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            command = [sys.executable, "-m", "cnn_cifar10", "predict", "--model", folder, photo]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times.append(1000 * (time.perf_counter() - began))
    return row(
        Markdown(f"`predict --model {folder.name} photo.jpg`"),
        statistics.median(times),
        "ms, cold start",
    )


if __name__ == "__main__":
    main()
