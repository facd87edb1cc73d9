"""Comparison of runs: accuracy against cost, confusion matrices, agreement."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from cnn_cifar10.evaluation import HEADLINE
from cnn_cifar10.reporting.predictions import Predictions, read_predictions
from cnn_cifar10.reporting.results import FULL_EPOCHS, summary_columns
from cnn_cifar10.reporting.tables import escape_markdown, format_table, split_and_metric
from cnn_cifar10.reporting.templates import write_filled
from cnn_cifar10.utils import InputError

_TEMPLATE = Path(__file__).with_name("comparison.md")
_FIGURES = ("accuracy.png", "pareto.png", "confusions.png", "agreement.png")
_PARTS = {
    True: f"## Full trainings\n\nOf {FULL_EPOCHS} epochs or more.",
    False: (
        f"## Short trainings\n\nOf fewer than {FULL_EPOCHS} epochs. They say what their time "
        "buys, and not what these networks reach in full."
    ),
}


def write_comparison(
    output_dir: str | Path, summaries: list[dict], reports_dir: str | Path, metric: str = HEADLINE
) -> None:
    """Write a comparison of runs on one data set as a page with its figures.

    Full trainings come first, and short ones are apart. The files are `comparison.md`,
    `accuracy.png`, `pareto.png` (where operations are known) and, of the runs whose reports hold
    predictions of the same images, `confusions.png` and `agreement.png`. To choose by validation
    accuracy, these are images of the validation split. Figures of an earlier comparison are
    deleted.

    Args:
        output_dir: Folder to write to; created where missing.
        summaries: What `summarize_results` returns, of one data set.
        reports_dir: Folder of the reports of the runs.
        metric: What was summarized.

    Raises:
        InputError: If there are no runs, or they are of several data sets.
    """
    from cnn_cifar10 import plotting

    datasets = sorted({row["dataset"] for row in summaries})
    if len(datasets) != 1:
        raise InputError(f"a comparison is of runs on one data set, received {datasets or 'none'}")
    split, _ = split_and_metric(metric)
    title = datasets[0] if split == "test" else f"{datasets[0]}, {split} split"
    named = name_runs(summaries)
    figures = {"accuracy.png": plotting.plot_comparison(named, title)}
    if any(row["mflops"] for row in summaries):
        title += ": accuracy against cost"
        figures["pareto.png"] = plotting.plot_pareto(named, title)
    predictions = comparable_predictions(named, reports_dir, split)
    agreement = compare_predictions(predictions) if len(predictions) > 1 else None
    if agreement:
        figures["confusions.png"] = plotting.plot_confusion_matrices(
            {name: each.confusion_matrix for name, each in predictions.items()},
            next(iter(predictions.values())).class_names,
        )
        figures["agreement.png"] = plotting.plot_agreement(
            agreement["matrix"], list(predictions), "share of images classified the same"
        )
    output_dir = Path(output_dir)
    for name in set(_FIGURES) - set(figures):
        (output_dir / name).unlink(missing_ok=True)
    write_filled(
        output_dir / "comparison.md",
        _TEMPLATE,
        figures,
        dataset=escape_markdown(datasets[0]),
        metric=metric.replace("_", " ").capitalize(),
        tables=format_summaries(summaries, metric),
        models=len(predictions),
        split=split,
        agreement=agreement,
    )


def format_summaries(summaries: list[dict], metric: str = HEADLINE) -> str:
    """Format summaries as Markdown: a table of full trainings, and one of short trainings.

    Args:
        summaries: What `summarize_results` returns.
        metric: What was summarized.

    Returns:
        The tables under their headings; where there are full or short ones alone, a table
        without a heading. Notes have a column where there are any.
    """
    columns = summary_columns(metric)
    if not any(row["note"] for row in summaries):
        del columns["note"]
    kinds = {full: [row for row in summaries if row["full"] == full] for full in _PARTS}
    if not all(kinds.values()):
        return format_table(summaries, columns)
    return "\n\n".join(
        f"{_PARTS[full]}\n\n{format_table(rows, columns)}" for full, rows in kinds.items()
    )


def name_runs(summaries: list[dict]) -> list[dict]:
    """Return summaries whose runs have short names, for figures.

    A name begins with that of its network, `resnet20` for `cifar10-resnet20`. If that makes two
    names the same, all stay as they are.

    Args:
        summaries: What `summarize_results` returns.
    """
    named = [
        {**row, "run": re.sub(rf"(^|/)[^/]*?-(?={re.escape(row['model'])}\b)", r"\1", row["run"])}
        for row in summaries
    ]
    count, before = (len({row["run"] for row in rows}) for rows in (named, summaries))
    return named if count == before else summaries


def comparable_predictions(
    summaries: list[dict], reports_dir: str | Path, split: str = "test", limit: int = 8
) -> dict[str, Predictions]:
    """Return the predictions of runs that were measured on the same images of the same data.

    Args:
        summaries: What `summarize_results` returns.
        reports_dir: Folder of the reports of the runs.
        split: Split of the predictions, `"test"` or `"validation"`; a report keeps
            those of one split.
        limit: Number of runs at most; the first ones are taken.

    Returns:
        Dict of names of runs to the `Predictions` of the first seed that has any.
    """
    found: dict[str, Predictions] = {}
    data = None
    for row in summaries:
        if row["run"] in found or len(found) == limit or data not in (None, row["fingerprint"]):
            continue
        files = (Path(reports_dir) / name / "predictions.npz" for name in row["runs"])
        kept = (read_predictions(file) for file in files if file.exists())
        predictions = next((each for each in kept if each.split == split), None)
        if predictions is None:
            continue
        first = next(iter(found.values()), predictions)
        if np.array_equal(first.labels, predictions.labels):
            found[row["run"]], data = predictions, row["fingerprint"]
    return found


def compare_predictions(predictions: dict[str, Predictions]) -> dict[str, Any]:
    """Count the images on which models agree.

    Args:
        predictions: Dict of names to `Predictions` of the same images.

    Returns:
        `matrix` (share of images that two models classify the same, `(models, models)`),
        and the numbers of `images` and of those that all models classify correctly
        (`all_right`), that none does (`all_wrong`), and that some do (`disputed`).
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
