"""Measure what becomes of folders of one's own images.

    python benchmarks/own_pictures.py prepare FOLDERS      # takes 640 MB of Debian packages
    python benchmarks/own_pictures.py train FOLDERS --before CHECKOUT
    python benchmarks/own_pictures.py fits FOLDERS
    python benchmarks/own_pictures.py feed FOLDERS
    python benchmarks/own_pictures.py scale
    python benchmarks/own_pictures.py duplicates FOLDERS

`prepare` makes three folders of classes: clip art by subject (openclipart-png, public domain),
glyphs by script (rendered from fonts-noto-core, SIL Open Font License), and photographs by
what they show (tuxpaint-stamps-default and ufoai-textures, GPL and Creative Commons). The
others write reports/own_pictures/. CHECKOUT holds commit 1cd306a. Rows are added as they are
measured, so that a measurement that was stopped goes on where it was.
"""

import argparse
import hashlib
import itertools
import json
import os
import pty
import random
import re
import select
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from scipy import stats

from cnn_cifar10.datasets import DataOptions, load_dataset, read_image, survey_folder
from cnn_cifar10.reporting import format_table
from cnn_cifar10.utils import describe_hardware, format_hardware, package_versions, write_page

ROOT = Path(__file__).resolve().parents[1]
CLIP_ART = {  # folders of openclipart-png
    "animals", "buildings", "education", "electronics", "food", "geography", "office", "people",
    "plants", "recreation", "tools", "transportation",
}  # fmt: skip
STAMPS = {  # folders of tuxpaint-stamps-default
    "animals", "clothes", "food", "hobbies", "household", "plants", "space", "vehicles",
}  # fmt: skip
DRAWN = {"cartoon", "toys", "plastic"}  # folders of stamps that are no photographs
SURFACES = (  # words in names of ufoai-textures; the first that is found is the class
    "door", "window", "brick", "carpet", "concrete", "floor", "wood", "metal", "roof", "grass",
    "rock", "wall",
)  # fmt: skip
SCRIPTS = {  # folder: what its fonts are called, its letters, how many images
    "Arabic": (r"(Naskh|Kufi|Sans)Arabic", 0x620, 0x6D3, 130),
    "Armenian": ("(Sans|Serif)Armenian", 0x531, 0x587, 50),
    "Cherokee": ("SansCherokee", 0x13A0, 0x13F4, 30),
    "Cyrillic": ("(Sans|Serif)(Display)?", 0x410, 0x44F, 150),
    "Devanagari": ("(Sans|Serif)Devanagari", 0x904, 0x939, 110),
    "Ethiopic": ("(Sans|Serif)Ethiopic", 0x1200, 0x1357, 70),
    "Georgian": ("(Sans|Serif)Georgian", 0x10D0, 0x10F0, 50),
    "Greek": ("(Sans|Serif)(Display)?", 0x391, 0x3C9, 90),
    "Hebrew": ("(Sans|Serif|Rashi)Hebrew", 0x5D0, 0x5EA, 60),
    "Khmer": ("(Sans|Serif)Khmer", 0x1780, 0x17A2, 40),
    "Latin": ("(Sans|Serif)(Display)?", 0x41, 0x17F, 220),
    "Runic": ("SansRunic", 0x16A0, 0x16EA, 20),
    "Tamil": ("(Sans|Serif)Tamil", 0xB85, 0xBB9, 40),
    "Thai": ("(Sans|Serif|Looped)Thai", 0xE01, 0xE2E, 80),
}


def main():
    """Run the command that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("folders", type=Path, nargs="?", help="where `prepare` puts its folders")
    parser.add_argument("--only", nargs="+", help="names of the folders to measure")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--before", type=Path, help="checkout of the commit to compare with")
    parser.add_argument("--weigh", default="crop", help="the fit that class weights are tried with")
    parser.add_argument("--files", type=int, default=200_000, help="for scale")
    parser.add_argument("--image-size", type=int, help="for read")
    parser.add_argument("--epochs", type=int, default=1, help="for read")
    parser.add_argument("--started", type=float, default=time.time(), help="for read")
    parser.add_argument("--options", default="", help="further options of the trainings, quoted")
    parser.add_argument("--output", type=Path, default=ROOT / "reports/own_pictures")
    args = parser.parse_args()
    if args.folders is None and args.command != "scale":
        parser.error(f"{args.command} needs a folder")
    if args.command == "read":
        return read(args)
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="own_pictures-") as work:
        os.environ["XDG_CACHE_HOME"] = work  # nothing is known from before
        COMMANDS[args.command](args, Path(work))


# Folders


def prepare(args, work):
    """Make the three folders; which files they hold depends on the packages alone."""
    if any((args.folders / name).exists() for name in ("clipart", "glyphs", "photographs")):
        raise SystemExit(f"{args.folders}: holds folders already")
    drawings = unpack("openclipart-png", work) / "usr/share/openclipart/png"
    for path in sorted(drawings.rglob("*.png"))[::3]:
        name = path.relative_to(drawings)
        if name.parts[0] in CLIP_ART and megapixels(path) < 50:  # four of 168, refused as unsafe
            copy(path, args.folders / "clipart" / name)
    stamps = unpack("tuxpaint-stamps-default", work) / "usr/share/tuxpaint/stamps"
    for path in sorted(stamps.rglob("*.png")):
        name = path.relative_to(stamps)
        if name.parts[0] in STAMPS and not DRAWN & set(name.parts):
            copy(path, args.folders / "photographs" / name)
    textures = unpack("ufoai-textures", work) / "usr/share/games/ufoai/base/0textures.pk3"
    with zipfile.ZipFile(textures) as archive:
        archive.extractall(work / "ufo")
    for path in sorted((work / "ufo/textures").rglob("*.*")):
        words = re.split("[^a-z]+", path.stem)
        shown = [name for name in SURFACES if any(word.startswith(name) for word in words)]
        if shown and not {"nm", "gm", "sm", "rm"} & set(words):  # of which these are no images
            copy(path, args.folders / "photographs" / shown[0] / path.parent.name / path.name)
    fonts = unpack("fonts-noto-core", work) / "usr/share/fonts/truetype/noto"
    for script, options in SCRIPTS.items():
        write_glyphs(args.folders / "glyphs" / script, fonts, *options)
    for name in ("clipart", "glyphs", "photographs"):
        print(describe(args.folders / name))


def unpack(package, work):
    """Return the folder that a Debian package is unpacked in."""
    subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True)
    (archive,) = work.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, work / package], check=True)
    print(archive.name, flush=True)
    return work / package


def copy(path, target):
    """Copy a file, of a link what it leads to."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def megapixels(path):
    """Return how many million pixels an image has."""
    with Image.open(path) as image:
        return image.width * image.height / 1e6


def write_glyphs(folder, fonts, called, first, last, count):
    """Write images of one to five letters of a script, each as large as its ink and a margin."""
    folder.mkdir(parents=True)
    rng = random.Random(folder.name)
    files = [p for p in sorted(fonts.iterdir()) if re.fullmatch(f"Noto{called}-.*", p.stem)]
    letters = [c for c in map(chr, range(first, last + 1)) if unicodedata.category(c)[0] == "L"]
    for number in range(count):
        text = "".join(rng.choices(letters, k=rng.randint(1, 5)))
        font = ImageFont.truetype(str(rng.choice(files)), rng.randint(30, 140))
        drawn = Image.new("L", (1600, 600))
        ImageDraw.Draw(drawn).text((200, 150), text, 255, font)
        drawn = drawn.crop(drawn.getbbox())
        margin, paper, ink = rng.randint(2, 20), rng.randint(200, 255), rng.randint(0, 90)
        image = ImageOps.expand(Image.new("L", drawn.size, paper), margin, paper)
        image.paste(ink, (margin, margin), drawn)
        image.save(folder / f"{text}-{number}.png")


def describe(folder):
    """Return a line on the images of a folder."""
    counts, sizes = {}, []
    for path in (p for p in sorted(folder.rglob("*")) if p.is_file()):
        counts[name] = counts.get(name := path.relative_to(folder).parts[0], 0) + 1
        with Image.open(path) as image:
            sizes.append(image.size)
    longer = np.divide(np.max(sizes, axis=1), np.min(sizes, axis=1))
    return (
        f"{folder.name}: {len(sizes):,} images, the longer side {np.min(np.max(sizes, axis=1))} to "
        f"{np.max(sizes):,} pixels; {np.mean(longer > 1.5):.0%} are longer than 3:2, the longest "
        f"{longer.max():.0f}:1; "
        + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    )


def chosen(args):
    """Return the folders to measure."""
    found = sorted(path for path in args.folders.iterdir() if path.is_dir())
    return [path for path in found if args.only is None or path.name in args.only]


def export_split(folder, work, seed):
    """Copy a folder's images into train/, val/ and test/ as this library splits them.

    Transparent ones are laid over white as this library does: Keras drops transparency.
    """
    target = work / f"split{seed}" / folder.name
    if target.exists():
        return target
    dataset = load_dataset("folder", folder, split_seed=seed)
    names = {"train": dataset.train, "val": dataset.validation, "test": dataset.test}
    for name, split in names.items():
        for number, (path, label) in enumerate(zip(split.ids, split.labels, strict=True)):
            file = target / name / dataset.class_names[label] / f"{number}{Path(path).suffix}"
            copy(folder / path, file)
            with Image.open(file) as image:
                transparent = image.has_transparency_data
            if transparent:
                Image.fromarray(read_image(file)).save(file)
    return target


# Trainings


def train(args, work):
    """Train by default, as before, and as Keras's guide does: on the same images, in turn."""
    rows = Rows(args.output / "train.csv", ("folder", "contender", "seed"))
    command = f"cnn-cifar10 train {args.options}".strip()
    for seed, folder in itertools.product(args.seeds, chosen(args)):
        split, key = export_split(folder, work, seed), (folder.name,)
        if (ours := rows.find(*key, command, seed)) is None:
            ours = run_training(split, work, seed, args.options)
            rows.add(*key, command, seed, **ours)
        for size in dict.fromkeys((224, ours["image_size"])):
            if rows.find(*key, f"plain Keras, {size} pixels", seed) is None:
                row = run_plain(split, work, seed, size)
                rows.add(*key, f"plain Keras, {size} pixels", seed, **row)
        if args.before and rows.find(*key, "commit 1cd306a", seed) is None:
            row = run_training(split, work, seed, checkout=args.before)
            rows.add(*key, "commit 1cd306a", seed, **row)
    table = rows.table
    keys = ["folder", "contender"]
    ours = table[table.contender == command].set_index(["folder", "seed"]).seconds
    table["share"] = table.join(ours.rename("ours"), ["folder", "seed"]).eval("ours / seconds")
    lines = [
        {
            "folder": folder,
            "contender": contender,
            "pixels": int(group.image_size.median()),
            "macro F1": spread(group.macro_f1),
            "accuracy": spread(group.accuracy),
            "minutes": f"{group.seconds.mean() / 60:.1f}",
            "our time / its": f"{group.share.mean():.2f}",
        }
        for (folder, contender), group in table.groupby(keys)
    ]
    write(
        args, "train", "One command, beside the same before and beside plain Keras", lines,
        f"`{command} --dataset folder --data-dir FOLDER`, all else by default, from a cold cache; "
        "minutes are of the whole process, its report included. Plain Keras is "
        "`benchmarks/plain_finetuning.py`: the same backbone and weights. All have the same images "
        "for training, validation and test, and run one after the other in turn. A seed decides "
        "this split, order and augmentation.", table,
    )  # fmt: skip


def fits(args, work):
    """Train with each fit, and with weighed classes; a seed decides the split too."""
    keys = ("options", "folder", "variant", "seed")
    rows = Rows(args.output / "fits.csv", keys)
    variants = {fit: ["--fit", fit, "--class-weight", "none"] for fit in ("crop", "pad", "stretch")}
    weighed = f"{args.weigh}, balanced"
    variants[weighed] = ["--fit", args.weigh, "--class-weight", "balanced"]
    for seed, folder in itertools.product(args.seeds, chosen(args)):
        split = export_split(folder, work, seed)
        for variant, options in variants.items():
            if rows.find(args.options, folder.name, variant, seed) is None:
                row = run_training(split, work, seed, args.options, options)
                rows.add(args.options, folder.name, variant, seed, **row)
    lines = []
    for options, table in rows.table.groupby("options"):
        for score in ("macro_f1", "accuracy"):
            scores = table.pivot_table(score, ["folder", "seed"], "variant")
            for variant in scores:
                other = variant.partition(",")[0] if "," in variant else "crop"
                gain, interval = (scores[variant] - scores[other]).dropna(), ""
                if len(gain) > 1 and gain.std() > 0:
                    spreads = len(gain) - 1, gain.mean(), stats.sem(gain)
                    interval = "{:+.3f} to {:+.3f}".format(*stats.t.interval(0.95, *spreads))
                by_folder = scores[variant].groupby("folder")
                lines.append(
                    {"score": score, "variant": variant}
                    | {folder: spread(values) for folder, values in by_folder}
                    | {"beside": other, "difference": f"{gain.mean():+.3f}"}
                    | {"95% interval": interval, "options": options or "none"}
                )
    write(
        args, "fits", "How an image becomes a square, and the weight of classes", lines,
        "Mean ± standard deviation over seeds, on test. A seed decides the split of the folder, "
        "order and augmentation. Differences are paired by folder and seed; their interval, by "
        "Student's t, is over all folders and seeds together.", rows.table,
    )  # fmt: skip


def run_training(data, work, seed, options="", more=(), checkout=ROOT):
    """Run `cnn-cifar10 train` of a checkout on a folder; return its row."""
    here = Path(tempfile.mkdtemp(dir=work))
    command = ["-m", "cnn_cifar10", "train", "--dataset", "folder", "--data-dir", data.resolve()]
    seconds = run([*command, "--seed", str(seed), *shlex.split(options), *more], here, checkout)
    (report,), (run_facts,) = here.glob("reports/*/report.json"), here.glob("models/*/run.json")
    figures, facts = json.loads(report.read_text()), json.loads(run_facts.read_text())
    size = facts["config"]["model_options"].get("image_size", facts["input_shape"][0])
    if facts["model"] == "transfer" and "image_size" not in facts["config"]["model_options"]:
        size = 128  # where the network itself resizes
    test = figures["metrics"]["test"]
    shutil.rmtree(here)
    return {
        "image_size": size,
        "test_images": facts["examples"]["test"],
        "macro_f1": test["macro_f1"],
        "accuracy": test["accuracy"],
        "seconds": seconds,
    }


def run_plain(split, work, seed, size):
    """Run the plain Keras script on a split folder; return its row."""
    here = Path(tempfile.mkdtemp(dir=work))
    script = Path(__file__).resolve().with_name("plain_finetuning.py")
    seconds = run([script, split, "--image-size", str(size), "--seed", str(seed)], here)
    figures = json.loads((here / "log").read_text().splitlines()[-1])
    shutil.rmtree(here)
    return {"image_size": size, **figures, "seconds": seconds}


def run(command, here, checkout=ROOT, **environment):
    """Run Python in an empty folder with an empty cache; return the seconds of the process."""
    known = {"XDG_CACHE_HOME": str(here / "cache"), "PYTHONPATH": str(Path(checkout).resolve())}
    with open(here / "log", "w") as log:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *map(os.fspath, command)],
            cwd=here, env=os.environ | known | environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{(here / 'log').read_text()[-3000:]}")
    return round(seconds, 1)


class Rows:
    """Rows of a CSV file, each found by its keys and written as soon as it is measured."""

    def __init__(self, path, keys):
        self.path, self.keys = path, list(keys)
        self.table = pd.read_csv(path, keep_default_na=False) if path.exists() else pd.DataFrame()

    def find(self, *values):
        """Return the row of these keys, or `None`."""
        for row in self.table.to_dict("records"):
            if [row[key] for key in self.keys] == list(values):
                return row
        return None

    def add(self, *values, **figures):
        """Add a row and write the file."""
        hardware = format_hardware(describe_hardware())
        row = dict(zip(self.keys, values, strict=True)) | figures | {"hardware": hardware}
        print(row, flush=True)
        self.table = pd.concat([self.table, pd.DataFrame([row])], ignore_index=True)
        self.table.to_csv(self.path, index=False)


def spread(values):
    """Return mean ± standard deviation as text."""
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")


def write(args, name, title, lines, conditions, table=None):
    """Write a page, and its table as CSV where there is none of its rows yet."""
    hardware = format_hardware(describe_hardware())
    if table is not None:
        hardware = "; ".join(sorted(table.hardware.unique()))
        seconds = f"; {len(table)} processes, {table.seconds.sum() / 60:.0f} minutes in all"
    else:
        pd.DataFrame(lines).to_csv(args.output / f"{name}.csv", index=False)
        seconds = ""
    versions = ", ".join(f"{key} {value}" for key, value in package_versions().items())
    command = f"Written by `python benchmarks/own_pictures.py {name}`, on {hardware}{seconds}"
    text = [f"# {title}", f"{conditions}", format_table(lines), f"{command}; {versions}."]
    write_page(args.output / f"{name}.md", "\n\n".join(text))
    print("\n\n".join(text))


# Feeding


def feed(args, work):
    """Read 12-megapixel photographs at 224 pixels with the cache and without it."""
    count = 60
    write_photographs(args.folders / "photographs", work / "photos", count)
    lines, weights = [], []
    for what, limit in (("decoded each time", {"CNN_CIFAR10_CACHE_GB": "0"}), ("cached", {})):
        here = Path(tempfile.mkdtemp(dir=work))
        command = [__file__, "read", work / "photos", "--image-size", "224", "--epochs", "9"]
        command += ["--started", str(time.time())]
        run(command, here, **limit)
        epochs = [json.loads(line) for line in (here / "log").read_text().splitlines()]
        speeds = [epoch["images_per_second"] for epoch in epochs[2:]]
        lines.append({
            "images": what,
            "seconds to the first batch": epochs[0]["seconds"],
            "first epoch, images/s": round(epochs[1]["images_per_second"]),
            "later epochs, images/s": round(statistics.harmonic_mean(speeds)),
        })  # fmt: skip
        command = ["-m", "cnn_cifar10", "train", "--dataset", "folder", "--data-dir"]
        command += [work / "photos", "--image-size", "224", "--model", "custom_cnn", "--epochs"]
        command += ["2", "--deterministic", "--model-options", "width=8", "--batch-size", "16"]
        run(command, here, **limit)
        (model,) = here.glob("models/*/model.keras")
        with zipfile.ZipFile(model) as archive:
            weights.append(hashlib.sha256(archive.read("model.weights.h5")).hexdigest()[:16])
    speeds = [line["later epochs, images/s"] for line in lines]
    same = "the same" if len(set(weights)) == 1 else "OTHER"
    write(
        args, "feed", "Feeding 12-megapixel photographs", lines,
        f"{count} JPEGs of 4000x3000 pixels, made of the photographs, {megabytes(work)} MB each, "
        f"read at 224 pixels, cut and mirrored. Cached epochs are {speeds[1] / speeds[0]:.1f} "
        f"times as fast. A training on them ends with {same} weights ({' and '.join(weights)}).",
    )  # fmt: skip


def megabytes(work):
    """Return the mean size of the photographs."""
    return f"{np.mean([p.stat().st_size for p in work.glob('photos/*/*')]) / 1e6:.1f}"


def write_photographs(source, target, count):
    """Write JPEGs such as a phone makes: 12 megapixels, some noise in each."""
    rng = np.random.default_rng(0)
    files = [p for p in sorted(source.rglob("*.*")) if min(Image.open(p).size) >= 256]
    for number in range(count):
        tiles = Image.new("RGB", (4000, 3000))
        for x, y in itertools.product(range(0, 4000, 1000), range(0, 3000, 1000)):
            tiles.paste(Image.fromarray(read_image(rng.choice(files), (1000, 1000))), (x, y))
        pixels = tiles + rng.normal(0, 4, (3000, 4000, 1))
        place = target / "ab"[number % 2] / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype("uint8")).save(place, quality=90)


def read(args):
    """Read epochs of a folder, as a training does; print a line of JSON for each."""
    from cnn_cifar10.pipelines import steps_per_epoch, training_batches

    split = load_dataset("folder", args.folders, image_size=args.image_size).train
    size = min(128, len(split) // 4)
    batches = iter(training_batches(split, 2**10, batch_size=size, augment="crop+flip"))
    next(batches)
    print(json.dumps({"seconds": round(time.time() - args.started, 1)}), flush=True)
    for _ in range(args.epochs):
        began, steps = time.perf_counter(), steps_per_epoch(split, size)
        for _ in range(steps):
            next(batches)
        speed = steps * size / (time.perf_counter() - began)
        print(json.dumps({"images_per_second": speed}), flush=True)


# Many files


def scale(args, work):
    """Read a folder of very many files, and inspect it, from a cold start."""
    write_many(work / "many", args.files)
    script = Path(__file__).resolve()
    lines, samples = [], []
    commands = {
        "read": [script, "read", work / "many", "--image-size", "64", "--epochs", "2"],
        "inspect": ["-m", "cnn_cifar10", "inspect", work / "many"],
    }
    commands["read"] += ["--started", str(time.time())]
    for what, command in commands.items():
        here = Path(tempfile.mkdtemp(dir=work))
        text, seconds, memory = watch(command, here)
        (args.output / f"scale_{what}.log").write_text(text, "utf-8")
        samples += [{"command": what, **each} for each in memory]
        lines.append({
            "command": what,
            "files": args.files,
            "seconds": round(seconds, 1),
            "first batch after, s": (re.findall(r'"seconds": ([0-9.]+)', text) or [""])[0],
            "peak MB of its own": round(max(each["own_mb"] for each in memory)),
            "at the end": round(memory[-1]["own_mb"]),
            "peak MB with mapped files": round(max(each["all_mb"] for each in memory)),
            "says the time left": "yes" if re.search(r"<\d+:\d\d", text) else "no",
        })  # fmt: skip
    pd.DataFrame(samples).to_csv(args.output / "scale_memory.csv", index=False)
    write(
        args, "scale", "A folder of very many files", lines,
        f"{args.files:,} generated JPEGs in 100 classes. `read` loads the folder and reads two "
        "epochs of batches of 128 at 64 pixels. Both from a cold cache; seconds count from the "
        "start of the process. Memory second by second: `scale_memory.csv`.",
    )  # fmt: skip


def write_many(target, count, classes=100):
    """Write small JPEGs, all different."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        (target / f"class{label:03d}").mkdir(parents=True)
        coarse = rng.integers(0, 256, (count // classes, 6, 8, 3), dtype="uint8")
        for number, pixels in enumerate(coarse):
            image = Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC)
            image.save(target / f"class{label:03d}" / f"{number}.jpg")


def watch(command, here):
    """Run Python at a terminal; return what it says, its seconds and its memory over time."""
    environment = os.environ | {"XDG_CACHE_HOME": str(here / "cache")}
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))  # a bar needs a width
    began, said, memory = time.perf_counter(), b"", []
    process = subprocess.Popen(
        [sys.executable, *map(os.fspath, command)],
        cwd=here, env=environment, stdout=end, stderr=end,
    )  # fmt: skip
    os.close(end)
    while True:
        seconds = round(time.perf_counter() - began, 1)
        if not memory or seconds >= memory[-1]["seconds"] + 1:
            status = Path(f"/proc/{process.pid}/status").read_text()
            kilobytes = dict(re.findall(r"(RssAnon|VmRSS):\s+(\d+)", status))
            if kilobytes:  # of a process that has not ended
                own, mapped = int(kilobytes["RssAnon"]) / 1000, int(kilobytes["VmRSS"]) / 1000
                memory.append({"seconds": seconds, "own_mb": own, "all_mb": mapped})
        if select.select([terminal], [], [], 1)[0]:
            try:
                said += os.read(terminal, 2**16)
            except OSError:  # the other end is closed
                break
    if process.wait():
        raise SystemExit(said.decode(errors="replace")[-3000:])
    return said.decode(errors="replace"), time.perf_counter() - began, memory


# Duplicates


def duplicates(args, work):
    """Plant near duplicates in folders, and count those found and those that are none."""
    write_cifar10(work / "folders/cifar10", 5_000)
    for folder in chosen(args):
        shutil.copytree(folder, work / "folders" / folder.name)
    lines = [plant_and_find(folder) for folder in sorted((work / "folders").iterdir())]
    write(
        args, "duplicates", "Planted near duplicates", lines,
        f"40 images of each folder, saved again in another class: {', '.join(CHANGES)}. CIFAR-10: "
        "5,000 images of its test split. Others taken for near duplicates are false alarms "
        "there; in the other folders some are copies that came with them.",
    )  # fmt: skip


CHANGES = {
    "as a JPEG of quality 40": lambda image: image,
    "three quarters the size": lambda image: ImageOps.scale(image, 0.75),
    "a tenth brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "a tenth less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.9),
    "without 2% at each side": lambda image: ImageOps.crop(image, min(image.size) // 50),
}  # fmt: skip


def write_cifar10(target, count):
    """Write images of CIFAR-10, three times their size, in folders of their classes."""
    dataset = load_dataset("cifar10")
    for number in range(count):
        place = target / dataset.class_names[dataset.test.labels[number]] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.test.images[number]).resize((96, 96)).save(place)


def plant_and_find(folder, count=40):
    """Return a row: how many planted copies are found, and stay in one split."""
    rng, planted = random.Random(0), {}
    files = [path for path in sorted(folder.rglob("*.*")) if min(Image.open(path).size) >= 48]
    for number, path in enumerate(rng.sample(files, count)):
        others = [each for each in sorted(folder.iterdir()) if each not in path.parents]
        copy = rng.choice(others) / f"planted{number}{'.jpg' if number % 5 == 0 else '.png'}"
        change = list(CHANGES.values())[number % 5]
        change(Image.fromarray(read_image(path))).save(copy, quality=40)
        planted[str(copy)] = str(path)
    began = time.perf_counter()
    survey = survey_folder(DataOptions(folder))
    seconds = time.perf_counter() - began
    paths, found = survey.scan.paths, survey.duplicates
    group = dict(zip(paths, found.groups, strict=True))
    flagged = {paths[each] for members in found.near for each in members}
    dataset = load_dataset("folder", folder)
    split = {
        str(folder / path): name
        for name in ("train", "validation", "test")
        for path in dataset.split(name).ids
    }
    return {
        "folder": folder.name,
        "images": len(paths),
        "planted": count,
        "found": int(sum(group[copy] == group[path] for copy, path in planted.items())),
        "across splits": sum(split.get(c) != split.get(path) for c, path in planted.items()),
        "others flagged": len(flagged - planted.keys() - set(planted.values())),
        "share": f"{len(flagged - planted.keys() - set(planted.values())) / len(paths):.2%}",
        "seconds": round(seconds, 1),
    }


COMMANDS = {each.__name__: each for each in (prepare, train, fits, feed, scale, duplicates, read)}

if __name__ == "__main__":
    main()
