"""Measure how fast images are read: from files, from records, and from the cache of pixels.

    python benchmarks/reading.py

Images of 32 pixels, and of 500 x 375 read at 224, are generated and read in random order,
in batches as training reads them, in turns. Processor time is measured, which is the same
beside other work. The table goes to reports/reading.md and .csv.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from run import write_table

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import DataOptions, ImageFiles, list_files, load_dataset, write_records
from cnn_cifar10.training import measure_reading

BATCH = 128
SIZES = {32: ((32, 32), 1920), 224: ((375, 500), 256)}  # of files, and how many
WANTED = 10_000  # images a second, for a fast GPU


def main():
    """Make files, read them in turns, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder to write to")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        for size, (shape, count) in SIZES.items():
            ways = make_ways(Path(folder) / str(size), size, shape, count)
            rates: dict[str, list[float]] = {what: [] for what in ways}
            for _ in range(args.turns):
                for what, images in ways.items():
                    rates[what].append(read_all(images))
                    print(size, what, round(rates[what][-1]), flush=True)
            config = make_config(dataset="folder", data_dir=f"{folder}/{size}/files")
            planned = {"files": f"{WANTED * measure_reading(config, size):.1f}"}
            rows += [row(size, what, statistics.median(rates[what]), planned) for what in ways]
    conditions = (
        "Images that one core reads in a second of its time, in random order, in batches of "
        f"{BATCH}, from the memory of the system; medians of {args.turns} turns of each, by "
        "`python benchmarks/reading.py`. Images of 32 pixels are JPEG files of 1 kB, those that "
        "are read at 224 of 500 x 375 pixels and 89 kB. `plan` is what `cnn-cifar10 plan` measures "
        "for files"
    )
    write_table(rows, conditions, args.output, "reading")


def row(size, what, rate, planned):
    return {
        **{"pixels": size, "from": what, "images a core-second": round(rate)},
        **{f"cores for {WANTED:,}/s": round(WANTED / rate, 1), "plan": planned.get(what, "")},
    }


def make_ways(folder, size, shape, count):
    """Write images, and return what reads them."""
    make_files(folder / "files", shape, count)
    _, files = list_files(DataOptions(folder / "files"))
    write_records(files, folder / "records", progress=False)
    _, records = list_files(DataOptions(folder / "records"))
    cached = load_dataset("folder", folder / "files", image_size=size).train.images
    ways = {"files": files.places(), "records": records.places()}
    return {
        **{name: ImageFiles(places, (size, size)) for name, places in ways.items()},
        "cache of pixels": cached,
    }


def make_files(folder, shape, count):
    """Write JPEG files of noise whose frequencies are those of photographs."""
    rng = np.random.default_rng(0)
    height, width = shape
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    waves = 1 / np.maximum(distance, 1 / max(shape)) ** 1.2
    for i in range(count):
        noise = np.fft.rfft2(rng.normal(size=(3, *shape)))
        image = np.fft.irfft2(noise * waves, s=shape)
        image = np.clip(128 + 50 * image / image.std(), 0, 255).astype("uint8")
        path = folder / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path, quality=90)


def read_all(images):
    """Read all images once, in another order each time; return images a second of the processor."""
    order = np.random.default_rng(time.time_ns()).permutation(len(images))
    began = time.process_time()
    for start in range(0, len(order), BATCH):
        images[order[start : start + BATCH]]
    return len(order) / (time.process_time() - began)


if __name__ == "__main__":
    main()
