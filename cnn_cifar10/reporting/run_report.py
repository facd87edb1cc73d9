"""Report of a run: metrics, confusion matrix, mistakes, training curves, settings."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10 import utils
from cnn_cifar10.datasets import Dataset, ImageFiles
from cnn_cifar10.evaluation import (
    HEADLINE,
    METRICS,
    Evaluation,
    compared_metrics,
    confident_mistakes,
    evaluate_split,
    most_confused,
    profile_model,
    wilson_interval,
    with_test_time_augmentation,
)
from cnn_cifar10.reporting.diagnostics import diagnose, draw_examples, format_diagnostics
from cnn_cifar10.reporting.predictions import (
    describe_images,
    image_key,
    save_predictions,
    write_images,
    write_predictions,
)
from cnn_cifar10.reporting.results import (
    add_result,
    digest_config,
    read_results,
    refuse_other_run,
    result_columns,
)
from cnn_cifar10.reporting.tables import (
    Markdown,
    escape_markdown,
    fill_template,
    format_cell,
    format_table,
    split_and_metric,
)
from cnn_cifar10.utils import InputError, format_hardware, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cnn_cifar10.training import Run

_SPLITS = ("train", "validation", "test")
_TOP_CONFUSIONS, _TOP_MISTAKES = 10, 12
_TRAIN_SAMPLE = 5_000
_PHOTOGRAPHS = ("mistakes.png", "gradcam.png", "labels.png")
_SOMETIMES = (
    *("training_curves.png", "mistakes.png", "mistakes.csv", "predictions.csv"),
    *("calibration.png", "robustness.png", "gradcam.png", "labels.png", "label_issues.csv"),
)
_MATRIX_CLASSES = 100  # of which report.json holds the confusion matrix
_SHOWN_CLASSES = 50  # in the table of a page
_UNEQUAL = 1.5  # times as many images as the smallest class has
_FEW, _WIDE = 10, 0.4  # images of a class, and interval of its recall, that judge nothing
_ISSUES = {"true_class": "label", "predicted_class": "suggested", "true_probability": "score"}


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
    sample of 5,000 images stands for the training split. Empty splits are left out.

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
        InputError: If the data set has other classes than the model, the table is malformed,
            or the report or the row is another run's.
    """
    facts = run.facts()
    if facts["class_names"] != list(dataset.class_names):
        raise InputError(f"{run.path}: its model has other classes than {dataset.title}")
    own_data = facts["fingerprint"] == dataset.fingerprint
    check_report_place(facts, output_dir, results_csv if own_data else None)
    model = run.load_model()
    skipped = {"validation"} if run.config().use_validation else set()
    images = {name: dataset.split(name) for name in _SPLITS if name in {*splits} - skipped}
    images = {name: split for name, split in images.items() if len(split)}
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
    if own_data:
        costs = profile_model(model, run.model_path)
        add_result(results_csv, result_row(facts, report["metrics"], costs))
    return report


def check_report_place(
    run: Mapping[str, Any], report_dir: str | Path, results_csv: str | Path | None = None
) -> None:
    """Raise if a run's report and row cannot be written, or would replace another run's.

    Args:
        run: What `run.json` holds; before a training, what is known: `run` (its name), `id`,
            `model`, `dataset` (its title) and `seed`.
        report_dir: Folder of the report.
        results_csv: Path of the table of results; `None` checks none.

    Raises:
        InputError: If there is another run's report or row, or the places cannot be written.
    """
    report_dir, folders = Path(report_dir), [Path(report_dir)]
    if (report_dir / "report.json").exists():
        refuse_other_run(f"{report_dir}: the report", read_report(report_dir)["facts"], run)
    if results_csv is not None:
        folders.append(Path(results_csv).parent)
        if Path(results_csv).exists():
            for row in read_results(results_csv):
                if row["run"] == printable(run["run"]):
                    refuse_other_run(f"{results_csv}: the row", row, run)
    for folder in folders:
        place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not (place.is_dir() and os.access(place, os.W_OK)):
            raise InputError(f"{folder}: cannot be written; name another with --report, --results")


def write_report(
    output_dir: str | Path,
    *,
    facts: dict[str, Any],
    dataset: Dataset,
    evaluations: dict[str, Evaluation],
    history: dict[str, list[float]],
    augmented: dict[str, Evaluation] | None = None,
    diagnostics: "tuple[dict, dict[str, Figure], list[dict]] | None" = None,
) -> dict[str, Any]:
    """Write the evaluation of a run as a page, as tables and as one document.

    The files are `report.md`, `report.json`, `predictions.npz`, `per_class.csv`,
    `confusion_matrix.csv`, `confusion_matrix.png`, `per_class.png`, and, where
    there is something to show, `training_curves.png`, `mistakes.png`, `mistakes.csv`,
    `predictions.csv` and `label_issues.csv`. They depend on the arguments alone. Such files
    of a report before are deleted.

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
        `data`, `split` (the one in detail), `metrics` (by split), `majority` (the largest class
        of the training split, and the accuracy of always answering it), `unequal` (whether the
        largest class of the split has 1.5 times the images of the smallest), `per_class`,
        `confusion_matrix` (of up to 100 classes), `most_confused`, `mistakes` (where the split
        was evaluated as a whole), `history`, and, where asked for, `diagnostics`.

    Raises:
        InputError: If evaluations are missing or do not belong to the data set.
    """
    evaluations = _check_evaluations(dataset, evaluations)
    split, evaluation = list(evaluations.items())[-1]
    report = _describe(facts, dataset, evaluations, history, augmented or {})
    output_dir, figures = Path(output_dir), _figures(report, dataset, evaluation.confusion_matrix)
    issues = None
    if diagnostics:
        report["diagnostics"], further, issues = diagnostics
        figures |= further
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in {*_SOMETIMES} - {*figures}:
        (output_dir / name).unlink(missing_ok=True)
    for name, figure in figures.items():
        # Photographs do not compress the way enlarged pixels do.
        large = name in _PHOTOGRAPHS and dataset.image_shape[0] > 64
        utils.write_figure(output_dir / name, figure, dpi=72 if large else 110)
    rows = report["per_class"]
    cells: Iterable = ([format_cell(*cell) for cell in row.items()] for row in rows)
    utils.write_csv(output_dir / "per_class.csv", rows[0], cells)
    names = dataset.class_names
    counted = zip(names, evaluation.confusion_matrix, strict=True)
    cells = ([name, *row.tolist()] for name, row in counted)
    utils.write_csv(output_dir / "confusion_matrix.csv", ["true class", *names], cells)
    save_predictions(output_dir / "predictions.npz", split, evaluation)
    if _covers(evaluation, dataset, split):
        write_predictions(output_dir, dataset.split(split), evaluation)
    if issues is not None:
        image = image_key(dataset.split(split))
        write_images(output_dir / "label_issues.csv", issues, {image: image, **_ISSUES})
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
        mistakes = describe_images(dataset.split(split), evaluation, worst)
    majority = int(np.bincount(dataset.train.labels).argmax())
    few = dataset.num_classes <= _MATRIX_CLASSES
    matrix = {"confusion_matrix": evaluation.confusion_matrix.tolist()} if few else {}
    held = np.bincount(evaluation.labels, minlength=dataset.num_classes)
    report = {
        "facts": {**facts, "config": config},
        "data": _describe_data(dataset),
        "split": split,
        "metrics": metrics,
        "majority": {
            "class": dataset.class_names[majority],
            "accuracy": float((evaluation.labels == majority).mean()),
        },
        "unequal": bool(held.max() >= _UNEQUAL * held.min()),
        "per_class": evaluation.per_class(),
        **matrix,
        "most_confused": most_confused(evaluation, _TOP_CONFUSIONS),
        "mistakes": mistakes,
        "history": {key: [float(value) for value in values] for key, values in history.items()},
    }
    return {"headline": _headline(report), **report}


def _describe_data(dataset):
    counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
    images = dataset.train.images
    return {
        "title": dataset.title,
        "fingerprint": dataset.fingerprint,
        "images": {name: len(dataset.split(name)) for name in _SPLITS},
        "classes": dataset.num_classes,
        "smallest": int(counts.min()),
        "largest": int(counts.max()),
        "size": list(dataset.image_shape[:2]),
        "fit": images.fit if isinstance(images, ImageFiles) else None,
        "notes": list(dataset.notes),
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


def _headline(report):
    facts, data, split = (report[key] for key in ("facts", "data", "split"))
    metrics, majority = report["metrics"][split], report["majority"]
    others = [
        f"{metric.heading} {format(metrics[name], metric.format)}"
        for name, metric in compared_metrics().items()
        if name != HEADLINE and not metric.augmented and name in metrics
    ]
    images = f"the {metrics['examples']:,} images of the {data['title']} {split} split"
    correct, more = f"{metrics[HEADLINE]:.2%}", f"({', '.join(others)})"
    text = f"{facts['model']} classifies {correct} of {images} correctly {more}"
    if report["unequal"]:
        text = (
            f"{facts['model']} reaches a balanced accuracy of {metrics['balanced_accuracy']:.2%} "
            f"{more} on {images}, whose classes are unequal: it classifies {correct} correctly, "
            f"where always answering {majority['class']}, the largest class, would classify "
            f"{majority['accuracy']:.2%}"
        )
    text += (
        f"; trained with seed {facts['seed']} for {facts['epochs']} epochs in "
        f"{facts['seconds']:,.0f} seconds on {format_hardware(facts['hardware'])}."
    )
    if facts["fingerprint"] != data["fingerprint"]:
        text += (
            " The model was trained with other splits than these (their fingerprints differ), so "
            "that its training images may be among them."
        )
    if split == "test":
        return text
    return f"{text} {_no_test(data) or 'The test split was not used.'}"


def _no_test(data):
    """Return what is said where there is no test split; older reports do not tell."""
    if data.get("images", {"test": 1})["test"]:
        return ""
    return (
        "The data have no test split: figures are of the validation split, which chose the epoch "
        "that was kept, and on new images they may be lower."
    )


def _figures(report, dataset, matrix):
    """Return `{file name: figure}`."""
    from cnn_cifar10 import plotting

    facts, title = report["facts"], f"{dataset.title} {report['split']} split"
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
        run=escape_markdown(report["facts"]["run"]),
        headline=escape_markdown(report["headline"]),
        data=_format_data(report["data"]),
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
        **{Markdown(f"`{key}`"): value for key, value in facts["config"].items()},
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
    parts = [format_table(rows, {"split": "split", "examples": "images", **headings})]
    parts += filter(None, (_format_doubt(report), _no_test(report["data"])))
    if {"train", "validation"} <= set(metrics):
        train, validation = (metrics[split][HEADLINE] for split in ("train", "validation"))
        gap = 100 * (train - validation)
        words = "clear" if gap >= 5 else "some" if gap >= 1 else "no sign of"
        parts.append(
            f"Training accuracy is {abs(gap):.1f} points {'above' if gap >= 0 else 'below'} "
            f"validation accuracy ({train:.2%} and {validation:.2%}): {words} overfitting."
        )
    return "\n\n".join(parts)


def _format_doubt(report):
    """Return the interval of the accuracy, and the accuracy of always answering one class."""
    split = report["split"]
    metrics = report["metrics"][split]
    low, high = wilson_interval(metrics[HEADLINE], metrics["examples"])
    text = f"The 95% interval of the accuracy on the {split} split is {low:.2%} to {high:.2%}."
    if majority := report.get("majority"):
        text += (
            f" Always answering {escape_markdown(majority['class'])}, the largest class of the "
            f"training split, would be right for {majority['accuracy']:.2%}."
        )
    return text


def _format_data(data):
    """Return what the data are, and what was found in them."""
    counts = ", ".join(f"{count:,} {name}" for name, count in data["images"].items())
    text = (
        f"{data['classes']:,} classes of {data['smallest']:,} to {data['largest']:,} training "
        f"images; in all {counts} images."
    )
    if data["fit"]:
        height, width = data["size"]
        text += f" Files are read at {height} x {width} pixels (`fit`: {data['fit']})."
    return "\n".join([text, *(f"\n- {escape_markdown(note)}" for note in data["notes"])])


def format_per_class(report: dict[str, Any]) -> str:
    """Return the scores of the classes, on the split in detail, as a Markdown table.

    Of more than 50 classes, it has those of the lowest F1. A line names classes that have too
    few images to be judged.

    Args:
        report: What `write_report` returns.
    """
    rows, text = report["per_class"], ""
    columns = {key: key for key in rows[0]} | {"f1": "F1", "support": "images"}
    if "recall_low" in rows[0]:
        text = _format_small(rows)
        columns |= {"recall_low": "from", "recall_high": "to (95%)"}
    if len(rows) > _SHOWN_CLASSES:
        text += (
            f"The {_SHOWN_CLASSES} of {len(rows):,} classes with the lowest F1; all are in "
            "per_class.csv.\n\n"
        )
        rows = sorted(rows, key=lambda row: row["f1"])[:_SHOWN_CLASSES]
    return text + format_table(rows, columns)


def _format_small(rows):
    small = [
        f"{escape_markdown(row['class'])} ({row['support']})"
        for row in rows
        if row["support"] < _FEW or row["recall_high"] - row["recall_low"] > _WIDE
    ]
    if not small:
        return ""
    more = f" and {len(small) - _FEW:,} more" if len(small) > _FEW else ""
    return (
        f"Too few images to judge: {', '.join(small[:_FEW])}{more}. They have fewer than {_FEW} "
        f"images, or an interval of recall wider than {100 * _WIDE:.0f} points.\n\n"
    )


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
    row |= {"run": printable(facts["run"]), "hardware": format_hardware(facts["hardware"])}
    # Older runs have neither an id nor a digest.
    return row | costs | {"config": digest_config(facts) if facts.get("id") else None}
