"""Evaluations and the facts of a run to files: a report to read, a table of record."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_cifar10.evaluation import (
    confident_mistakes,
    confusion_matrix,
    evaluate_split,
    most_confused,
    profile_model,
    with_test_time_augmentation,
)
from cnn_cifar10.reporting.diagnostics import diagnose, format_diagnostics
from cnn_cifar10.reporting.results import RESULT_COLUMNS, add_result
from cnn_cifar10.reporting.tables import escape_cell, format_cell, format_table
from cnn_cifar10.utils import (
    InputError,
    format_hardware,
    replacing,
    write_csv,
    write_figure,
    write_json,
)

_SPLITS = ("train", "validation", "test")
_TOP_CONFUSIONS, _TOP_MISTAKES = 10, 12
_TRAIN_SAMPLE = 5_000


def report_run(
    run, dataset, output_dir, results_csv, splits=_SPLITS, *, tta=False, diagnostics=False
):
    """Evaluate a finished run's model, write its report and add its row to the results.

    The row is left as it is where the data are not those the run was trained with.

    Of the training split, a random sample of 5,000 images is evaluated.

    Args:
        run: `Run`.
        dataset: `Dataset` to evaluate on.
        output_dir: Folder of the report.
        results_csv: Path of the table of record.
        splits: Some of `"train"`, `"validation"` and `"test"`; a run that was trained
            on the validation split is not evaluated on it.
        tta: Whether to measure the accuracy with test-time augmentation too.
        diagnostics: Whether to look diagnostics at the split in detail, as `diagnose` does.

    Returns:
        What `write_report` returns.

    Raises:
        InputError: If the data set has other classes than the model, or the
            table is malformed.
    """
    facts, model = run.facts(), run.load_model()
    if facts["class_names"] != list(dataset.class_names):
        raise InputError(f"{run.path}: its model knows other classes than {dataset.title}")
    evaluations, further = {}, {}
    views = with_test_time_augmentation(model) if tta else None
    skipped = {"validation"} if run.config().use_validation else set()
    for name in (name for name in _SPLITS if name in {*splits} - skipped):
        split = getattr(dataset, name)
        if name == "train" and len(split) > _TRAIN_SAMPLE:
            chosen = np.random.default_rng(0).choice(len(split), _TRAIN_SAMPLE, replace=False)
            split = split[chosen]
        evaluations[name] = evaluate_split(model, split, dataset.class_names)
        if tta and name != "train":
            further[name] = evaluate_split(views, split, dataset.class_names).accuracy
    found = None
    if diagnostics and evaluations:  # at the last split, which is reported in detail
        title = f"{dataset.title} {name} split"
        # A temperature fitted to the images that it is judged on would flatter itself.
        validation = evaluations.get("validation") if name == "test" else None
        found = diagnose(model, split, evaluations[name], validation, title)
    report = write_report(
        output_dir,
        facts=facts,
        dataset=dataset,
        evaluations=evaluations,
        history=run.history(),
        tta_accuracies=further,
        diagnostics=found,
    )
    if facts["fingerprint"] == dataset.fingerprint:
        costs = profile_model(model, run.model_path)
        add_result(results_csv, result_row(facts, report["metrics"], costs))
    return report


def write_report(
    output_dir, *, facts, dataset, evaluations, history, tta_accuracies=None, diagnostics=None
):
    """Write a run's evaluation as a report to read, as tables and as one document.

    The files are `report.md`, `report.json`, `predictions.npz`, `per_class.csv`,
    `confusion_matrix.csv`, `confusion_matrix.png`, `per_class.png`, and, where
    there is something to show, `training_curves.png` and `mistakes.png`. They
    depend on the arguments alone.

    Args:
        output_dir: Folder to write to; created where missing.
        facts: What a run's `run.json` holds.
        dataset: `Dataset` that was evaluated.
        evaluations: Dict of `"train"`, `"validation"` and `"test"`, at least one
            of them, to `Evaluation`. The last in this order is reported in
            detail. All but `"train"`, which may be a sample, cover their split.
        history: Dict of lists, one value an epoch, as for `plot_history`.
        tta_accuracies: Dict of splits to their accuracy with test-time augmentation.
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
    split, evaluation = list(evaluations.items())[-1]
    metrics = {name: each.summary() for name, each in evaluations.items()}
    for name, accuracy in (tta_accuracies or {}).items():
        metrics[name]["tta_accuracy"] = accuracy
    # Where the data lay on one machine means nothing to a reader on another.
    config = {key: value for key, value in facts["config"].items() if key != "data_dir"}
    report = {
        "headline": _headline(facts, dataset, split, evaluation),
        "facts": {**facts, "config": config},
        "data": {"title": dataset.title, "fingerprint": dataset.fingerprint},
        "split": split,
        "metrics": metrics,
        "per_class": evaluation.per_class(),
        "confusion_matrix": evaluation.confusion_matrix.tolist(),
        "most_confused": most_confused(evaluation, _TOP_CONFUSIONS),
        "mistakes": _mistakes(evaluation) if _covers(evaluation, dataset, split) else [],
        "history": {key: [float(value) for value in values] for key, values in history.items()},
    }
    output_dir = Path(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    figures = _figures(report, dataset)
    if diagnostics:
        report["diagnostics"], further = diagnostics
        figures |= further
    for name, figure in figures.items():
        # Photographs do not compress the way enlarged pixels do.
        photographs = name in ("mistakes.png", "gradcam.png", "labels.png")
        large = photographs and dataset.image_shape[0] > 64
        write_figure(output_dir / name, figure, dpi=72 if large else 110)
    write_csv(
        output_dir / "per_class.csv",
        report["per_class"][0],
        [[format_cell(*cell) for cell in row.items()] for row in report["per_class"]],
    )
    names = evaluation.class_names
    write_csv(
        output_dir / "confusion_matrix.csv",
        ["true class", *names],
        [[name, *row] for name, row in zip(names, report["confusion_matrix"], strict=True)],
    )
    _write_predictions(output_dir / "predictions.npz", split, evaluation)
    with replacing(output_dir / "report.md") as path:
        path.write_text(_markdown(report, figures), encoding="utf-8")
    write_json(output_dir / "report.json", report)
    return report


def read_report(folder):
    """Return the document in a report's `report.json`.

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
    """What a report keeps of its split: integer arrays `(n,)`, and the confidence in [0, 1]."""

    split: str
    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray
    class_names: tuple[str, ...]

    @property
    def confusion_matrix(self):
        """As for `Evaluation`."""
        return confusion_matrix(self.labels, self.predictions, len(self.class_names))


def read_predictions(path):
    """Return the `Predictions` in a report's `predictions.npz`."""
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            arrays = {key: file[key] for key in ("labels", "predictions", "confidences")}
            names = tuple(file["class_names"].tolist())
            return Predictions(file["split"].item(), **arrays, class_names=names)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: holds no predictions ({error}); evaluate again") from error


def _write_predictions(path, split, evaluation):
    with replacing(path) as part:
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
                f"evaluations[{split!r}] must hold the {len(getattr(dataset, split))} labels of "
                f"{dataset.title}'s {split} split in order; it has {len(evaluation.labels)}, or "
                "others"
            )
    return {split: evaluations[split] for split in _SPLITS if split in evaluations}


def _covers(evaluation, dataset, split):
    return np.array_equal(evaluation.labels, getattr(dataset, split).labels)


def _headline(facts, dataset, split, evaluation):
    metrics = evaluation.summary()
    text = (
        f"{facts['model']} classifies {metrics['accuracy']:.2%} of the {metrics['examples']:,} "
        f"images of the {dataset.title} {split} split correctly (macro F1 "
        f"{metrics['macro_f1']:.4f}); trained with seed {facts['seed']} for {facts['epochs']} "
        f"epochs in {facts['seconds']:,.0f} seconds on {format_hardware(facts['hardware'])}."
    )
    if facts["fingerprint"] != dataset.fingerprint:
        text += (
            " These are not the splits it was trained with (their fingerprints differ): images "
            "it was trained on may be among them."
        )
    return text if split == "test" else f"{text} The test split was not used."


def _mistakes(evaluation):
    return [
        {
            "index": int(index),
            "true_class": evaluation.class_names[evaluation.labels[index]],
            "predicted_class": evaluation.class_names[evaluation.predictions[index]],
            "confidence": float(evaluation.confidences[index]),
        }
        for index in confident_mistakes(evaluation, _TOP_MISTAKES)
    ]


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
        indices, *columns = zip(*(row.values() for row in mistakes), strict=True)
        images = getattr(dataset, report["split"]).images[np.array(indices)]
        title = f"{title}: the most confident mistakes"
        figures["mistakes.png"] = plotting.plot_mistakes(images, *columns, title)
    return figures


def _markdown(report, figures):
    facts = report["facts"]
    parts = [f"# {facts['run']}", report["headline"], "## Results", format_metrics(report)]
    if "training_curves.png" in figures:
        parts += [
            "## Training",
            "![Loss and accuracy over epochs](training_curves.png)",
            "The training curves are means over an epoch, of images as augmentation left them and "
            "weights that still changed, and the loss is the one trained on; the table above is of "
            "unchanged images, the weights kept and plain cross-entropy.",
        ]

    parts += ["## Confusions", "![Confusion matrix](confusion_matrix.png)"]
    if confused := report["most_confused"]:
        true, predicted = (
            escape_cell(confused[0][f"{which}_class"]) for which in ("true", "predicted")
        )
        columns = {"true_class": "true class", "predicted_class": "predicted class"}
        parts += [
            f"Confused most: {confused[0]['images']} images of {true} "
            f"({confused[0]['share']:.1%} of them) are taken for {predicted}.",
            format_table(confused, {**columns, "images": "images", "share": "of the true class"}),
        ]
    else:
        parts.append("No image is classified wrongly.")

    parts += [
        "## Classes",
        "![F1, precision and recall of every class](per_class.png)",
        format_per_class(report),
    ]
    if "mistakes.png" in figures:
        parts += ["## Most confident mistakes", "![Wrongly classified images](mistakes.png)"]
    if "diagnostics" in report:
        parts += format_diagnostics(report["diagnostics"])

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
    rows = [{"setting": setting, "value": value} for setting, value in settings.items()]
    parts += ["## How it was trained", format_table(rows)]
    return "\n\n".join(parts) + "\n"


def format_metrics(report):
    """Return the metrics of every split as a Markdown table, and what they say of overfitting.

    Args:
        report: What `write_report` returns.
    """
    metrics = report["metrics"]
    columns = {"split": "split", "examples": "images", "loss": "loss", "accuracy": "accuracy"}
    if "top5_accuracy" in metrics[report["split"]]:
        columns["top5_accuracy"] = "top-5 accuracy"
    columns["macro_f1"] = "macro F1"
    if any("tta_accuracy" in values for values in metrics.values()):
        columns["tta_accuracy"] = "accuracy over six views"
    table = format_table([{"split": split, **values} for split, values in metrics.items()], columns)
    if not {"train", "validation"} <= set(metrics):
        return table
    return f"{table}\n\n{_gap(metrics['train']['accuracy'], metrics['validation']['accuracy'])}"


def format_per_class(report):
    """Return the scores of every class, on the split in detail, as a Markdown table."""
    columns = {"class": "class", "precision": "precision", "recall": "recall", "f1": "F1"}
    return format_table(report["per_class"], {**columns, "support": "images"})


def _gap(train, validation):
    gap = 100 * (train - validation)
    words = "clear" if gap >= 5 else "some" if gap >= 1 else "no sign of"
    return (
        f"Training accuracy is {abs(gap):.1f} points {'above' if gap >= 0 else 'below'} "
        f"validation accuracy ({train:.2%} and {validation:.2%}): {words} overfitting."
    )


def result_row(facts, metrics, costs):
    """Return a run's row for `add_result`; figures of splits not evaluated are left empty.

    Args:
        facts: As for `write_report`.
        metrics: Dict of splits to metrics, as in `report.json`.
        costs: What `profile_model` returns.
    """
    known = {column: facts[column] for column in RESULT_COLUMNS if column in facts}
    test = metrics.get("test", {})
    keys = ("accuracy", "tta_accuracy", "macro_f1", "loss", "top5_accuracy")
    return {
        **known,
        **costs,
        **{key: test.get(key) for key in keys},
        "validation_accuracy": metrics.get("validation", {}).get("accuracy"),
        "train_accuracy": metrics.get("train", {}).get("accuracy"),
        "hardware": format_hardware(facts["hardware"]),
    }
