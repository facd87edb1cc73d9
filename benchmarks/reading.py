"""Measure how fast images are read on one core and on two: files, records, TFRecords, cache.

    python benchmarks/reading.py

JPEG files of 32 pixels, and of 500 x 375 read at 224, are generated. Each way reads them in
batches as training does, in turns, in processes that may run on one core or on two. TFRecords
are parsed, decoded and resized by tf.data. The table goes to reports/reading.md and .csv.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image
from run import write_table

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import DataOptions, ImageFiles, list_files, load_dataset, write_records
from cnn_cifar10.training import measure_reading

BATCH = 128
SIZES = {32: ((32, 32), 2560, 10_240), 224: ((375, 500), 256, 384)}  # of files, how many, read
CORES = (1, 2)
LEAST = 4096  # places in a data set, so that it is a large one; files are named several times
WANTED = 10_000  # images a second, for a fast GPU


def main():
    """Make files, read them in turns, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder to write to")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    rows = []
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        on = {n: ProcessPoolExecutor(1, spawn, limit_cores, (n,)) for n in CORES}
        for size, (shape, count, reads) in SIZES.items():
            ways = make_ways(Path(folder) / str(size), size, shape, count)
            rates = measure(ways, on, reads, args.turns)
            config = make_config(dataset="folder", data_dir=f"{folder}/{size}/files", fit="crop")
            planned = WANTED * measure_reading(config, size)
            rows += [row(size, what, rates[what], planned) for what in ways]
        for each in on.values():
            each.shutdown()
    conditions = (
        "Images that are read in a second on one core and on two, in random order, in batches of "
        f"{BATCH}, two at a time, from the memory of the system; medians of {args.turns} turns of "
        "each, by `python benchmarks/reading.py`. Images of 32 pixels are JPEG files of 1 kB, "
        "those that are read at 224 of 500 x 375 pixels and 89 kB. Pillow decodes files and "
        "records. TFRecords are read in the order in which they were written, and decoded by "
        "tf.data: to the same pixels at 32, to others at 224. Cores are counted from two, "
        "`plan` is what `cnn-cifar10 plan` measures for files"
    )
    write_table(rows, conditions, args.output, "reading")


def measure(ways, on, reads, turns):
    """Return images a second of each way, on each number of cores."""
    rates = {what: {n: [] for n in on} for what in ways}
    for turn, (what, way), (n, process) in itertools.product(
        range(turns + 1), ways.items(), on.items()
    ):
        rate = process.submit(read_images, way, reads if turn else BATCH).result()
        if turn:  # the first starts what is needed
            rates[what][n].append(rate)
            print(turn, what, f"{n} cores", round(rate), flush=True)
    return {what: {n: statistics.median(each[n]) for n in on} for what, each in rates.items()}


def row(size, what, rates, planned):
    last = max(CORES)
    return {
        **{"pixels": size, "from": what},
        **{f"images/s, {n} core{'s' * (n > 1)}": round(rates[n]) for n in CORES},
        f"cores for {WANTED:,}/s": f"{last * WANTED / rates[last]:.1f}",
        "plan": f"{planned:.1f}" if what == "files" else "",
    }


def limit_cores(count):
    """Let this process, and those that it starts, run on so many cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def make_ways(folder, size, shape, count):
    """Write images, and return what reads them."""
    make_files(folder / "files", shape, count)
    _, files = list_files(DataOptions(folder / "files"))
    write_records(files, folder / "records", progress=False)
    _, records = list_files(DataOptions(folder / "records"))
    cached = load_dataset("folder", folder / "files", image_size=size).train.images
    times = math.ceil(LEAST / count)
    ways = {"files": files.places(), "records": records.places()}
    return {
        **{name: ImageFiles(places * times, (size, size)) for name, places in ways.items()},
        "cache of pixels": cached,
        "TFRecords": TFRecords(files.places(), folder / "images.tfrecord", size),
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


class TFRecords:
    """Image files in one TFRecord file, read by tf.data."""

    def __init__(self, paths, path, size):
        import tensorflow as tf

        self.path, self.size = str(path), size
        with tf.io.TFRecordWriter(self.path) as writer:
            for each in paths:
                image = tf.train.BytesList(value=[Path(each).read_bytes()])
                features = tf.train.Features(feature={"image": tf.train.Feature(bytes_list=image)})
                writer.write(tf.train.Example(features=features).SerializeToString())

    def batches(self):
        """Return batches without end."""
        import tensorflow as tf

        dataset = tf.data.TFRecordDataset(self.path).repeat()
        dataset = dataset.map(self._decode, num_parallel_calls=len(os.sched_getaffinity(0)))
        options = tf.data.Options()
        options.deterministic = True
        return dataset.batch(BATCH, drop_remainder=True).prefetch(2).with_options(options)

    def _decode(self, record):
        """Decode as Pillow does, and resize with its filter; rounding differs."""
        import tensorflow as tf

        kind = tf.io.FixedLenFeature((), tf.string)
        data = tf.io.parse_single_example(record, {"image": kind})["image"]
        image = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
        side = tf.reduce_min(tf.shape(image)[:2])
        image = tf.image.resize_with_crop_or_pad(image, side, side)
        if side == self.size:
            return tf.ensure_shape(image, (self.size, self.size, 3))
        image = tf.image.resize(image, (self.size, self.size), "bicubic", antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def read_images(way, count):
    """Read so many images, and return how many there were in a second."""
    if isinstance(way, TFRecords):
        batches = iter(way.batches())
        next(batches)
        began = time.perf_counter()
        for _ in range(count // BATCH):
            next(batches).numpy()
    else:
        rng = np.random.default_rng(time.time_ns())
        order = np.concatenate([rng.permutation(len(way)) for _ in range(-(-count // len(way)))])
        began = time.perf_counter()
        with ThreadPoolExecutor(2) as threads:
            for _ in threads.map(lambda i: way[order[i : i + BATCH]], range(0, count, BATCH)):
                pass
    return count // BATCH * BATCH / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
