"""Runs side by side: accuracy against cost, confusions, and where they disagree."""

from pathlib import Path

import numpy as np

from cnn_cifar10 import plotting
from cnn_cifar10.reporting.results import summary_columns
from cnn_cifar10.reporting.run_report import read_predictions
from cnn_cifar10.reporting.tables import format_table
from cnn_cifar10.utils import InputError, write_figure, write_page

_FIGURES = ("accuracy.png", "pareto.png", "confusions.png", "agreement.png")


def write_comparison(output_dir, summaries, reports_dir, metric="accuracy"):
    """Write a comparison of runs on one data set as a page with its figures.

    The files are `comparison.md`, `accuracy.png`, where operations are known
    `pareto.png` and, of the runs whose reports hold predictions of the same
    images, `confusions.png` and `agreement.png`. To choose by validation accuracy,
    these are images of the validation split. Figures of an earlier comparison
    are deleted.

    Args:
        output_dir: Folder to write to; created where missing.
        summaries: What `summarize_results` returns, of one data set.
        reports_dir: Folder of the runs' reports.
        metric: What was summarized.

    Raises:
        InputError: If there are no runs, or they are of several data sets.
    """
    datasets = sorted({row["dataset"] for row in summaries})
    if len(datasets) != 1:
        raise InputError(f"a comparison is of runs on one data set, received {datasets or 'none'}")
    figures = {"accuracy.png": plotting.plot_comparison(summaries, datasets[0])}
    parts = [
        f"# Comparison on {datasets[0]}",
        f"{metric.replace('_', ' ').capitalize()}: mean over seeds, the standard deviation beside "
        "it where there are several. Seconds and images/s are of training, where it ran (of "
        "features where those were computed once); ms/image is of a prediction.",
        format_table(summaries, summary_columns(metric)),
        "![Accuracy of each run](accuracy.png)",
    ]
    if any(row["mflops"] for row in summaries):
        title = f"{datasets[0]}: accuracy against cost"
        figures["pareto.png"] = plotting.plot_pareto(summaries, title)
        parts += [
            "Further up is more accurate, further left cheaper; nothing is both more accurate and "
            "cheaper than the runs on the line.",
            "![Accuracy against operations for one picture](pareto.png)",
        ]
    split = "test" if metric == "accuracy" else "validation"
    predictions = comparable_predictions(summaries, reports_dir, split)
    if len(predictions) > 1:
        agreement = compare_predictions(predictions)
        figures["confusions.png"] = plotting.plot_confusion_matrices(
            {name: each.confusion_matrix for name, each in predictions.items()},
            next(iter(predictions.values())).class_names,
        )
        figures["agreement.png"] = plotting.plot_agreement(
            agreement["matrix"], list(predictions), "share of pictures named the same"
        )
        parts += [
            "## Confusions",
            "![Confusion matrices side by side](confusions.png)",
            "## Agreement",
            f"Of the {agreement['images']:,} pictures of the {split} split, "
            f"{agreement['all_right']:,} are named rightly by each of these {len(predictions)} "
            f"models, and {agreement['all_wrong']:,} by none; on {agreement['disputed']:,} some "
            "are right and some are wrong.",
            "![Share of pictures on which two models agree](agreement.png)",
        ]
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in set(_FIGURES) - set(figures):
        (output_dir / name).unlink(missing_ok=True)
    for name, figure in figures.items():
        write_figure(output_dir / name, figure)
    write_page(output_dir / "comparison.md", parts)


def comparable_predictions(summaries, reports_dir, split="test", limit=8):
    """Return the predictions of runs that were measured on the same images.

    Args:
        summaries: What `summarize_results` returns, the most accurate first.
        reports_dir: Folder of the runs' reports.
        split: Which split's predictions, `"test"` or `"validation"`; a report
            keeps those of one.
        limit: How many at most.

    Returns:
        Dict of the names of runs to `Predictions`, of the first seed that has any.
    """
    found = {}
    for row in summaries:
        if row["run"] in found or len(found) == limit:
            continue
        files = (Path(reports_dir) / name / "predictions.npz" for name in row["runs"])
        kept = (read_predictions(file) for file in files if file.exists())
        predictions = next((each for each in kept if each.split == split), None)
        first = next(iter(found.values()), predictions)
        if predictions and np.array_equal(first.labels, predictions.labels):
            found[row["run"]] = predictions
    return found


def compare_predictions(predictions):
    """Count where models agree.

    Args:
        predictions: Dict of names to `Predictions` of the same images.

    Returns:
        `matrix` (share of images that two models name the same, `(models,
        models)`), and the numbers of `images`, `all_right`, `all_wrong` and
        `disputed` ones.
    """
    named = np.stack([each.predictions for each in predictions.values()])
    labels = next(iter(predictions.values())).labels
    right = (named == labels).sum(axis=0)
    return {
        "matrix": (named[:, None] == named[None]).mean(axis=2),
        "images": len(labels),
        "all_right": int((right == len(named)).sum()),
        "all_wrong": int((right == 0).sum()),
        "disputed": int(((right > 0) & (right < len(named))).sum()),
    }
