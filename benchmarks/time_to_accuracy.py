"""Accuracy against seconds of training: our recipes, and airbench94's in PyTorch.

    python benchmarks/time_to_accuracy.py --seeds 0 1 2

Recipes are trained on the validation images too, as airbench94 is, and the test split
is read once for each seed. Runs and their reports land in models/, and their rows and
the comparison in reports/speed/; a GPU's belong into other folders. What its table
holds is passed over, so `--seeds` without a number only writes the page; PyTorch's
runs are made where it is installed. Seconds are without those of JAX's compilation,
which stand beside them.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from cnn_cifar10.configs import make_config
from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.plotting import plot_time_to_accuracy
from cnn_cifar10.reporting import format_table, report_run, summarize_times
from cnn_cifar10.training import load_data, train
from cnn_cifar10.utils import (
    describe_hardware,
    format_hardware,
    read_csv,
    write_csv,
    write_figure,
    write_page,
)

RECIPES = {
    "fastest": ("faster", {"epochs": 2, "small_epochs": 1, "train_images": 20_000}),
    "faster": ("faster", {}),
    "fast": ("fast", {}),
    "accurate": ("accurate", {}),
}
AIRBENCH94 = {
    "model_options": {"filters": [64, 64, 256, 256, 256, 256], "activation": "gelu"},
    "batch_size": 2000,
    "learning_rate": 0.24,
    "small_epochs": 0,
}
# airbench94's network, batches, rate and images in Keras; only where they are asked for.
IN_KERAS = {
    "airbench94_keras": ("fast", {**AIRBENCH94, "epochs": 8}),
    "airbench94_keras_12": ("fast", {**AIRBENCH94, "epochs": 12}),
}
COLUMNS = (
    "recipe", "seed", "images", "epochs", "seconds", "compile_seconds", "accuracy", "tta_accuracy",
    "hardware",
)  # fmt: skip


def main():
    """Train what is missing, then write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=(*RECIPES, *IN_KERAS, "airbench94"))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the runs")
    parser.add_argument("--output", type=Path, default=Path("reports/speed"))
    args = parser.parse_args()
    table = args.output / "time_to_accuracy.csv"
    # Seed by seed, each contender in turn: whatever the machine does hits them alike.
    for seed in args.seeds:
        for name in args.only or (*RECIPES, "airbench94"):
            if (name, str(seed)) in {(row["recipe"], row["seed"]) for row in read_csv(table)}:
                continue
            if name == "airbench94":
                result = run_airbench(seed)
            else:
                result = run_recipe(name, seed, args.models, args.output)
            if result is None:
                continue
            rows = [*read_csv(table), {key: str(result[key]) for key in COLUMNS}]
            rows.sort(key=lambda row: (row["recipe"], row["seed"]))
            args.output.mkdir(parents=True, exist_ok=True)
            write_csv(table, COLUMNS, [row.values() for row in rows])
    write_report(read_csv(table), args.output, load_dataset("cifar10").title)


def run_recipe(name, seed, models, output):
    """Train a recipe, report on it and return its row."""
    recipe, changes = {**RECIPES, **IN_KERAS}[name]
    config = make_config(recipe, seed=seed, use_validation=True, **changes)
    dataset = load_data(config)
    run = train(config, models / f"cifar10-fastnet-{name}-seed{seed}", dataset=dataset, verbose=2)
    report = report_run(run, dataset, run.path / "report", output / "results.csv", tta=True)
    print(report["headline"], flush=True)
    facts = run.facts()
    return {
        "recipe": name,
        "seed": seed,
        "images": facts["examples"]["train"],
        "epochs": facts["epochs"],
        "seconds": round(facts["seconds"] - facts["compile_seconds"], 1),
        "compile_seconds": facts["compile_seconds"],
        **report["metrics"]["test"],
        "hardware": format_hardware(facts["hardware"]),
    }


def run_airbench(seed):
    """Run PyTorch's loop in a process of its own; return its row, or None without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        print("airbench94 is left out: pip install torch")
        return None
    script = Path(__file__).with_name("torch_airbench.py")
    lines = []
    with subprocess.Popen(
        [sys.executable, script, "--seed", str(seed)], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            print("airbench94", line, end="", flush=True)
            lines.append(json.loads(line))
    if process.returncode:
        raise SystemExit(f"{script.name} failed")
    return {
        "recipe": "airbench94",
        "seed": seed,
        "epochs": len(lines),
        "compile_seconds": 0.0,
        "hardware": format_hardware(describe_hardware()),
        **lines[-1],
    }


def write_report(rows, output, title):
    """Write means over seeds as Markdown, and the figure."""
    seconds_of = "the tracing of the graph included"
    if any(float(row["compile_seconds"]) for row in rows):
        seconds_of = "without compilation where its longest time stands beside them"
    write_figure(output / "time_to_accuracy.png", plot_time_to_accuracy(rows, title))
    text = (
        f"# Time to accuracy\n\n{title}, trained on the validation images too, on "
        f"{'; '.join(sorted({row['hardware'] for row in rows}))}; mean ± standard deviation over "
        f"seeds. Seconds are of training, {seconds_of}.\n\n"
        f"{format_table(summarize_times(rows))}\n\n"
        "![Accuracy against seconds](time_to_accuracy.png)\n\n"
        "How others' rows came about, what their seconds are of, and what else was tried: "
        "[benchmarks/NOTES.md](../../benchmarks/NOTES.md)."
    )
    write_page(output / "time_to_accuracy.md", text)
    print(text)


if __name__ == "__main__":
    main()
