"""Write the cost table of docs/scale.md: trainings on 1 to 256 GPUs, by the model of `plan`.

    python benchmarks/scale.py

Nothing is measured here. Images/s of a GPU are those of reports/gpu/results.csv, cores those
of reports/reading.csv. The table goes to reports/scale.md and .csv. On the page it is followed
by what the model says of epochs on one GPU that were measured.
"""

import argparse
import itertools
import json
import os
import statistics
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from cnn_cifar10.configs import make_config
from cnn_cifar10.reporting import format_table
from cnn_cifar10.training import Speed, estimate_cost, estimate_memory
from cnn_cifar10.utils import read_csv, write_csv, write_page

DEVICES = (1, 8, 64, 256)
VALIDATION = {"CIFAR-10": 5_000, "CIFAR-10 at 224": 5_000, "ImageNet": 50_000}
PRICE = 3.0  # of a GPU for an hour
SHARE = 0.1  # of the batch that was measured: the least for which the model holds
TRANSFER = {
    "model": "transfer",
    "model_options": {"image_size": 224, "trainable_layers": -1},
    "optimizer": "adamw",
}
CASES = (
    # Row of reports/gpu, data, images, classes, pixels, epochs, batch measured, whether it grows
    ("cifar10-resnet18-h100-seed0", "CIFAR-10", 45_000, 10, 32, 30, 512, False),
    ("cifar10-wide_resnet28_10-h100-seed0", "CIFAR-10", 45_000, 10, 32, 30, 512, False),
    ("cifar10-transfer-finetuned-h100-seed0", "CIFAR-10 at 224", 45_000, 10, 224, 8, 256, False),
    ("cifar10-transfer-finetuned-h100-seed0", "ImageNet", 1_281_167, 1000, 224, 90, 256, True),
)


def main():
    """Compute all rows, then write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    args = parser.parse_args()
    measured = {row["run"]: row for row in read_csv(args.reports / "gpu" / "results.csv")}
    reading = {row["pixels"]: row for row in read_csv(args.reports / "reading.csv")[::-1]}
    rows = []
    for run, data, images, classes, size, epochs, batch, grows in CASES:
        known = measured[run]
        fields = TRANSFER if known["model"] == "transfer" else {"model": known["model"]}
        config = make_config(**fields, precision="mixed_bfloat16", batch_size=8)
        speed = speed_of(known, size)
        for devices in DEVICES:
            whole = batch * devices if grows else batch
            memory = estimate_memory(config, size, classes, whole // devices)
            cost = estimate_cost(
                speed,
                images=images,
                validation=VALIDATION[data],
                batch_size=whole,
                parameters=memory["gradients"] // 4,
                devices=devices,
                core_seconds=2 / float(reading[str(size)]["images/s, 2 cores"]),
            )
            seconds = epochs * cost.epoch
            rows.append(
                {
                    **{"data": data, "network": known["model"]},
                    **{"GPU": known["hardware"].split(",")[0], "devices": devices, "batch": whole},
                    "holds": "yes" if whole / devices >= SHARE * batch else "no",
                    "images/s": round(cost.rate),
                    "ms sent a step": round(1000 * cost.sending, 2),
                    "GB a device": f"{sum(memory.values()) / 1e9:.1f}",
                    "cores": round(cost.cores),
                    "epochs": epochs,
                    "seconds": round(seconds),
                    "price": f"{PRICE * devices * seconds / 3600:.2f}",
                }
            )
    write_csv(args.reports / "scale.csv", rows[0], [row.values() for row in rows])
    text = (
        "# What trainings take on several GPUs\n\n"
        "By the cost model of `cnn-cifar10 plan`, by `python benchmarks/scale.py`. Images/s "
        "of one GPU were measured ([reports/gpu](gpu/results.csv)), several GPUs were not. Seconds "
        "are of training and validation, without compilation. Sending is at 50 GB/s, the price "
        f"{PRICE:g} for an hour of a GPU. `cores` read and decode JPEG "
        "files ([reading](reading.md)); images in memory, such as CIFAR-10's, need none. Where "
        "`holds` is no, a device's share of the batch is less than a tenth of what was measured, "
        "and it would be slower.\n\n"
        f"{format_table(rows)}\n\n"
        "## One GPU: the model and what was measured\n\n"
        "Median seconds of the epochs after the first, of CIFAR-10 (JPEG copy), with validation, "
        "beside the model's. The first epoch has compilation too. The model does not know what "
        "starting each validation takes, nor writing states; short epochs take longer by that.\n\n"
        f"{format_table(compare(args.reports / 'gpu', measured.values()))}"
    )
    write_page(args.reports / "scale.md", text)
    print(text)


def speed_of(known, size):
    """Return the speed of a row of reports/gpu. Predicting takes a quarter, as `plan` has it."""
    train = 1 / float(known["images_per_second"])
    return Speed(size, train, train / 4)


def compare(folder, known):
    """Return a row for each training whose epochs were kept."""
    rows = []
    for row in known:
        report = folder / row["run"] / "report.json"
        if not report.exists():
            continue
        seconds = json.loads(report.read_text("utf-8"))["history"]["seconds"]
        if len(seconds) < 2:
            continue
        found = statistics.median(after - before for before, after in itertools.pairwise(seconds))
        cost = estimate_cost(
            speed_of(row, 0),
            images=45_000,
            validation=VALIDATION["CIFAR-10"],
            batch_size=1,
            parameters=int(row["parameters"]),
            devices=1,
        )
        rows.append(
            {
                **{"network": row["model"], "GPU": row["hardware"].split(",")[0]},
                **{"model, s": f"{cost.epoch:.2f}", "measured, s": f"{found:.2f}"},
                "model / measured": f"{cost.epoch / found:.2f}",
                "first epoch, s": f"{seconds[0]:.1f}",
                "note": row["note"],
            }
        )
    return sorted(rows, key=lambda row: row["model / measured"], reverse=True)


if __name__ == "__main__":
    main()
