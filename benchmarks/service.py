"""Measure the service under load, on two cores that it shares with the load.

    python benchmarks/service.py

Starts `cnn-cifar10 serve` and lets wrk (`apt-get install wrk`) upload pictures to
it, on this machine alone. The table goes to reports/service.md and .csv.
"""

import argparse
import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from run import row, write_table
from sklearn.datasets import load_sample_images

SCRIPT = Path(__file__).with_suffix(".lua")
SMALL = Path(__file__).parents[1] / "models" / "custom_cnn"

row = functools.partial(row, kind="measured")


def main():
    """Run the benchmark and write its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder to write to")
    parser.add_argument("--seconds", type=int, default=60, help="of each measurement")
    parser.add_argument(
        "--requests", type=int, default=100_000, help="over which memory is watched"
    )
    args = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("wrk is not installed: apt-get install wrk")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, serving() as (process, address):
        tiny, photo = write_pictures(Path(folder))
        for connections in (256, 16):  # what memory is taken once is taken now
            load(address, photo, connections, 5)
        before = resident_megabytes(process)
        rows = [
            *measure_speed(address, tiny, "32x32 PNG", args.seconds),
            *measure_speed(address, photo, "640x427 JPEG", args.seconds),
            measure_memory(process, before, address, photo, args.requests),
            *measure_overload(address, photo, args.seconds),
        ]
        with serving("--model", SMALL) as (_, address):
            rows += measure_speed(address, photo, f"{SMALL.name}: 640x427 JPEG", args.seconds)
    conditions = (
        "Of the model that comes with the package unless said, by `python benchmarks/service.py`: "
        "one picture a request, sent by wrk on the same two cores; load average of the machine "
        f"before: {busy:.1f}"
    )
    write_table(rows, conditions, args.output, "service")


@contextlib.contextmanager
def serving(*options):
    """Run `cnn-cifar10 serve`; give the process and its address."""
    command = [sys.executable, "-m", "cnn_cifar10", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, re.match(r"http://\S+", process.stdout.readline()).group()
        finally:
            process.terminate()


def write_pictures(folder):
    """Write a picture of CIFAR-10's size and a photo; return their paths."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype="uint8")
    Image.fromarray(pixels).save(folder / "tiny.png")
    Image.fromarray(load_sample_images().images[0]).save(folder / "photo.jpg")
    return folder / "tiny.png", folder / "photo.jpg"


def load(address, picture, connections, seconds):
    """Upload a picture over so many connections at once; return what wrk measured."""
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{seconds}s", "--timeout", "10s", "--script", str(SCRIPT), address]
    done = subprocess.run(
        command,
        env={**os.environ, "PICTURE": str(picture)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure_speed(address, picture, kind, seconds):
    """Return the speed, latencies and errors at 16 connections."""
    measured = load(address, picture, 16, seconds)
    what = f"{kind}, 16 connections, {seconds} s"
    return [
        row(what, measured["requests"] / measured["seconds"], "requests/s (bar: 300 or more)"),
        row(f"{what}, median", measured["median_ms"], "ms"),
        row(f"{what}, 99th percentile", measured["p99_ms"], "ms (bar: under 150)"),
        row(f"{what}, errors", measured["broken"] + measured["refused"], "(bar: 0)"),
    ]


def measure_memory(process, before, address, picture, requests):
    """Return how much the server's memory has grown once it has had so many requests."""
    while (sent := sum(answered(address).values())) < requests:
        print(f"memory: {sent:,.0f} of {requests:,} requests", flush=True)
        load(address, picture, 16, 10)
    after = resident_megabytes(process)
    growth = f"{after / before - 1:+.1%} over {sent:,.0f} requests"
    return row("resident memory", after, f"MB ({growth}; bar: under +5%)")


def measure_overload(address, picture, seconds):
    """Return what is answered at 256 connections, and how soon `/health` is meanwhile."""
    delays, over = [], threading.Event()

    def ask_for_health():
        while not over.wait(0.1):
            began = time.perf_counter()
            with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
                answer.read()
            delays.append(1000 * (time.perf_counter() - began))

    before, thread = answered(address), threading.Thread(target=ask_for_health)
    thread.start()
    measured = load(address, picture, 256, seconds)
    over.set()
    thread.join()
    counts = {status: count - before.get(status, 0) for status, count in answered(address).items()}
    served, refused = counts.pop("200"), counts.pop("503", 0)
    what = f"640x427 JPEG, 256 connections, {seconds} s"
    return [
        row(f"{what}, answered", served / measured["seconds"], "requests/s"),
        row(f"{what}, refused with 503", refused / measured["seconds"], "requests/s"),
        row(f"{what}, other errors", measured["broken"] + sum(counts.values()), "(bar: 0)"),
        row(f"{what}, slowest of {len(delays)} GET /health", max(delays), "ms (bar: under 500)"),
    ]


def resident_megabytes(process):
    """Return the memory that a process holds."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1000


def answered(address):
    """Return how many predictions the service counts, by status."""
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        text = answer.read().decode()
    counted = re.findall(
        r'^http_requests_total\{path="/predict",status="(\d+)"\} (\S+)', text, re.M
    )
    return {status: float(count) for status, count in counted}


if __name__ == "__main__":
    main()
