"""Report of a run: metrics, confusion matrix, mistakes, training curves, settings."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10 import utils
from cnn_cifar10.datasets import Dataset
from cnn_cifar10.evaluation import (
    HEADLINE,
    METRICS,
    Evaluation,
    compared_metrics,
    confident_mistakes,
    confusion_matrix,
    evaluate_split,
    most_confused,
    profile_model,
    with_test_time_augmentation,
)
from cnn_cifar10.reporting.diagnostics import (
    describe_examples,
    diagnose,
    draw_examples,
    format_diagnostics,
)
from cnn_cifar10.reporting.results import add_result, result_columns
from cnn_cifar10.reporting.tables import fill_template, format_cell, format_table, split_and_metric
from cnn_cifar10.utils import InputError, format_hardware

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cnn_cifar10.training import Run

_SPLITS = ("train", "validation", "test")
_TOP_CONFUSIONS, _TOP_MISTAKES = 10, 12
_TRAIN_SAMPLE = 5_000
_PHOTOGRAPHS = ("mistakes.png", "gradcam.png", "labels.png")


def report_run(
    run: "Run",
    dataset: Dataset,
    output_dir: str | Path,
    results_csv: str | Path,
    splits: tuple[str, ...] = _SPLITS,
    *,
    tta: bool = False,
    diagnostics: bool = False,
) -> dict[str, Any]:
    """Evaluate the model of a finished run, write its report and its row in the results.

    The row is not written if these are not the data that the run was trained with. A random
    sample of 5,000 images stands for the training split.

    Args:
        run: `Run`.
        dataset: `Dataset` to evaluate on.
        output_dir: Folder of the report.
        results_csv: Path of the table of results.
        splits: Some of `"train"`, `"validation"` and `"test"`. A run that was trained
            on the validation split is not evaluated on it.
        tta: Whether to measure metrics with test-time augmentation too.
        diagnostics: Whether to examine the last of the splits with `diagnose`.

    Returns:
        What `write_report` returns.

    Raises:
        InputError: If the data set has other classes than the model, or the
            table is malformed.
    """
    facts, model = run.facts(), run.load_model()
    if facts["class_names"] != list(dataset.class_names):
        raise InputError(f"{run.path}: its model has other classes than {dataset.title}")
    skipped = {"validation"} if run.config().use_validation else set()
    images = {name: dataset.split(name) for name in _SPLITS if name in {*splits} - skipped}
    if len(images.get("train", ())) > _TRAIN_SAMPLE:
        count = len(images["train"])
        chosen = np.random.default_rng(0).choice(count, _TRAIN_SAMPLE, replace=False)
        images["train"] = images["train"][chosen]

    def evaluate(model, names):
        return {name: evaluate_split(model, images[name], dataset.class_names) for name in names}

    evaluations, augmented, found = evaluate(model, images), {}, None
    if tta:
        judged = [name for name in images if name != "train"]
        augmented = evaluate(with_test_time_augmentation(model), judged)
    if diagnostics and evaluations:
        name = list(evaluations)[-1]
        # A temperature is not judged by the images that it was fitted to.
        validation = evaluations.get("validation") if name == "test" else None
        title = f"{dataset.title} {name} split"
        found = diagnose(model, images[name], evaluations[name], validation, title)
    report = write_report(
        output_dir,
        facts=facts,
        dataset=dataset,
        evaluations=evaluations,
        history=run.history(),
        augmented=augmented,
        diagnostics=found,
    )
    if facts["fingerprint"] == dataset.fingerprint:
        costs = profile_model(model, run.model_path)
        add_result(results_csv, result_row(facts, report["metrics"], costs))
    return report


def write_report(
    output_dir: str | Path,
    *,
    facts: dict[str, Any],
    dataset: Dataset,
    evaluations: dict[str, Evaluation],
    history: dict[str, list[float]],
    augmented: dict[str, Evaluation] | None = None,
    diagnostics: "tuple[dict, dict[str, Figure]] | None" = None,
) -> dict[str, Any]:
    """Write the evaluation of a run as a page, as tables and as one document.

    The files are `report.md`, `report.json`, `predictions.npz`, `per_class.csv`,
    `confusion_matrix.csv`, `confusion_matrix.png`, `per_class.png`, and, where
    there is something to show, `training_curves.png` and `mistakes.png`. They
    depend on the arguments alone.

    Args:
        output_dir: Folder to write to; created where missing.
        facts: What `run.json` of a run holds.
        dataset: `Dataset` that was evaluated.
        evaluations: Dict of `"train"`, `"validation"` and `"test"`, at least one
            of them, to `Evaluation`. The last in this order is reported in
            detail. All but `"train"`, which may be a sample, cover their split.
        history: Dict of lists, one value an epoch, as for `plot_history`.
        augmented: Dict of splits to `Evaluation` with test-time augmentation.
        diagnostics: What `diagnose` returns for the split in detail; its figures
            become files too.

    Returns:
        The document in `report.json`: `headline` (a sentence or two), `facts`,
        `data`, `split` (the one in detail), `metrics` (by split), `per_class`,
        `confusion_matrix`, `most_confused`, `mistakes` (where the split was
        evaluated as a whole), `history`, and, where asked for, `diagnostics`.

    Raises:
        InputError: If evaluations are missing or do not belong to the data set.
    """
    evaluations = _check_evaluations(dataset, evaluations)
    report = _describe(facts, dataset, evaluations, history, augmented or {})
    output_dir, figures = Path(output_dir), _figures(report, dataset)
    if diagnostics:
        report["diagnostics"], further = diagnostics
        figures |= further
    output_dir.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        # Photographs do not compress the way enlarged pixels do.
        large = name in _PHOTOGRAPHS and dataset.image_shape[0] > 64
        utils.write_figure(output_dir / name, figure, dpi=72 if large else 110)
    rows = report["per_class"]
    cells = [[format_cell(*cell) for cell in row.items()] for row in rows]
    utils.write_csv(output_dir / "per_class.csv", rows[0], cells)
    names, matrix = dataset.class_names, report["confusion_matrix"]
    cells = [[name, *row] for name, row in zip(names, matrix, strict=True)]
    utils.write_csv(output_dir / "confusion_matrix.csv", ["true class", *names], cells)
    split = report["split"]
    _write_predictions(output_dir / "predictions.npz", split, evaluations[split])
    utils.write_page(output_dir / "report.md", [_page(report, figures)])
    utils.write_json(output_dir / "report.json", report)
    return report


def _describe(facts, dataset, evaluations, history, augmented):
    """Return the document in `report.json`, without diagnostics."""
    split, evaluation = list(evaluations.items())[-1]
    metrics = {name: each.summary() for name, each in evaluations.items()}
    for name, each in augmented.items():
        metrics[name] |= each.summary(augmented=True)
    # The folder of the data on one machine means nothing to a reader on another.
    config = {key: value for key, value in facts["config"].items() if key != "data_dir"}
    mistakes = []
    if _covers(evaluation, dataset, split):
        worst = confident_mistakes(evaluation, _TOP_MISTAKES)
        keys = ("index", "true_class", "predicted_class", "confidence")
        mistakes = describe_examples(evaluation, worst, keys)
    return {
        "headline": _headline(facts, dataset, split, metrics[split]),
        "facts": {**facts, "config": config},
        "data": {"title": dataset.title, "fingerprint": dataset.fingerprint},
        "split": split,
        "metrics": metrics,
        "per_class": evaluation.per_class(),
        "confusion_matrix": evaluation.confusion_matrix.tolist(),
        "most_confused": most_confused(evaluation, _TOP_CONFUSIONS),
        "mistakes": mistakes,
        "history": {key: [float(value) for value in values] for key, values in history.items()},
    }


def read_report(folder: str | Path) -> dict[str, Any]:
    """Return the document in the `report.json` of a report.

    Raises:
        InputError: If the folder holds no report.
    """
    path = Path(folder) / "report.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: no report ({error}); run `cnn-cifar10 evaluate`, or name it with --report"
        ) from error


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a report keeps of its split: integer arrays `(n,)`, and confidences in [0, 1]."""

    split: str
    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray
    class_names: tuple[str, ...]

    @property
    def confusion_matrix(self) -> np.ndarray:
        """As for `Evaluation`."""
        return confusion_matrix(self.labels, self.predictions, len(self.class_names))


def read_predictions(path: str | Path) -> Predictions:
    """Return the `Predictions` in the `predictions.npz` of a report.

    Raises:
        InputError: If the file cannot be read, or holds no predictions.
    """
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            arrays = {key: file[key] for key in ("labels", "predictions", "confidences")}
            names = tuple(file["class_names"].tolist())
            return Predictions(file["split"].item(), **arrays, class_names=names)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: holds no predictions ({error}); evaluate again") from error


def _write_predictions(path, split, evaluation):
    with utils.replacing(path) as part:
        np.savez_compressed(
            part,
            split=split,
            labels=evaluation.labels.astype("uint16"),
            predictions=evaluation.predictions.astype("uint16"),
            confidences=evaluation.confidences.astype("float16"),
            class_names=np.array(evaluation.class_names),
        )


def _check_evaluations(dataset, evaluations):
    """Return the evaluations in the order of the splits."""
    if not evaluations or not set(evaluations) <= set(_SPLITS):
        raise InputError(
            f"evaluations must be of some of {', '.join(_SPLITS)}, received {list(evaluations)}"
        )
    for split, evaluation in evaluations.items():
        if evaluation.class_names != tuple(dataset.class_names):
            raise InputError(f"evaluations[{split!r}] has other class names than {dataset.title}")
        if split != "train" and not _covers(evaluation, dataset, split):
            raise InputError(
                f"evaluations[{split!r}] must hold the {len(dataset.split(split))} labels of "
                f"{dataset.title}'s {split} split in order; it has {len(evaluation.labels)}, or "
                "others"
            )
    return {split: evaluations[split] for split in _SPLITS if split in evaluations}


def _covers(evaluation, dataset, split):
    return np.array_equal(evaluation.labels, dataset.split(split).labels)


def _headline(facts, dataset, split, metrics):
    others = [
        f"{metric.heading} {format(metrics[name], metric.format)}"
        for name, metric in compared_metrics().items()
        if name != HEADLINE and not metric.augmented and name in metrics
    ]
    text = (
        f"{facts['model']} classifies {metrics[HEADLINE]:.2%} of the {metrics['examples']:,} "
        f"images of the {dataset.title} {split} split correctly ({', '.join(others)}); trained "
        f"with seed {facts['seed']} for {facts['epochs']} epochs in {facts['seconds']:,.0f} "
        f"seconds on {format_hardware(facts['hardware'])}."
    )
    if facts["fingerprint"] != dataset.fingerprint:
        text += (
            " The model was trained with other splits than these (their fingerprints differ), so "
            "that its training images may be among them."
        )
    return text if split == "test" else f"{text} The test split was not used."


def _figures(report, dataset):
    """Return `{file name: figure}`."""
    from cnn_cifar10 import plotting

    facts, title = report["facts"], f"{dataset.title} {report['split']} split"
    matrix = report["confusion_matrix"]
    figures = {
        "confusion_matrix.png": plotting.plot_confusion_matrix(matrix, dataset.class_names, title),
        "per_class.png": plotting.plot_per_class(report["per_class"], title),
    }
    if report["history"]:
        figures["training_curves.png"] = plotting.plot_history(
            report["history"], f"{facts['model']} on {facts['dataset']}, seed {facts['seed']}"
        )
    if mistakes := report["mistakes"]:
        title = f"{title}: the most confident mistakes"
        figures["mistakes.png"] = draw_examples(dataset.split(report["split"]), mistakes, title)
    return figures


def _page(report, figures):
    """Return the text of `report.md`."""
    found = report.get("diagnostics")
    return fill_template(
        "report.md",
        figures,
        report=report,
        metrics=format_metrics(report),
        confusions=_format_confusions(report["most_confused"]),
        per_class=format_per_class(report),
        diagnostics=f"{format_diagnostics(found)}\n\n" if found else "",
        settings=_format_settings(report["facts"]),
    )


def _format_confusions(confused):
    if not confused:
        return "No image is classified wrongly."
    columns = {"true_class": "true class", "predicted_class": "predicted class"}
    return format_table(confused, {**columns, "images": "images", "share": "of the true class"})


def _format_settings(facts):
    settings = {
        "data": facts["dataset"],
        "split fingerprint": facts["fingerprint"],
        "epoch kept": facts.get("best_epoch"),
        "parameters": f"{facts['parameters']:,}",
        "images per second": f"{facts['images_per_second']:,.0f}",
        "precision": facts["precision"],
        "backend": facts["backend"],
        "hardware": format_hardware(facts["hardware"]),
        "commit": facts["commit"],
        "versions": ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        **{f"`{key}`": value for key, value in facts["config"].items()},
    }
    return format_table([{"setting": key, "value": value} for key, value in settings.items()])


def format_metrics(report: dict[str, Any]) -> str:
    """Return the metrics of every split as a Markdown table, with a sentence on overfitting.

    Args:
        report: What `write_report` returns.
    """
    metrics = report["metrics"]
    measured = dict.fromkeys(name for figures in metrics.values() for name in figures)
    shown = [name for name in measured if name in METRICS and METRICS[name].recorded]
    headings = {name: METRICS[name].heading for name in shown}
    rows = [{"split": split, **figures} for split, figures in metrics.items()]
    table = format_table(rows, {"split": "split", "examples": "images", **headings})
    if not {"train", "validation"} <= set(metrics):
        return table
    train, validation = (metrics[split][HEADLINE] for split in ("train", "validation"))
    gap = 100 * (train - validation)
    words = "clear" if gap >= 5 else "some" if gap >= 1 else "no sign of"
    return (
        f"{table}\n\nTraining accuracy is {abs(gap):.1f} points "
        f"{'above' if gap >= 0 else 'below'} validation accuracy ({train:.2%} and "
        f"{validation:.2%}): {words} overfitting."
    )


def format_per_class(report: dict[str, Any]) -> str:
    """Return the scores of every class, on the split in detail, as a Markdown table."""
    rows = report["per_class"]
    return format_table(rows, {key: key for key in rows[0]} | {"f1": "F1", "support": "images"})


def result_row(
    facts: dict[str, Any], metrics: dict[str, dict], costs: dict[str, float]
) -> dict[str, Any]:
    """Return the row of a run for `add_result`; what was not measured is `None`.

    Args:
        facts: As for `write_report`.
        metrics: Dict of splits to metrics, as in `report.json`.
        costs: What `profile_model` returns.
    """
    row = {}
    for column in result_columns():
        split, name = split_and_metric(column)
        row[column] = metrics.get(split, {}).get(name) if name in METRICS else facts.get(column)
    return row | costs | {"hardware": format_hardware(facts["hardware"])}
