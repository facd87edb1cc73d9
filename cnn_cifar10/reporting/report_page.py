"""Page of a report: headline, tables and sections."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cnn_cifar10.evaluation import HEADLINE, METRICS, compared_metrics, wilson_interval
from cnn_cifar10.reporting.diagnostics import format_diagnostics
from cnn_cifar10.reporting.tables import Markdown, escape_markdown, format_table
from cnn_cifar10.reporting.templates import fill_template
from cnn_cifar10.utils import format_hardware

_TEMPLATE = Path(__file__).with_name("report.md")
_SHOWN_CLASSES = 50  # in a table
_FEW, _WIDE = 10, 0.4  # images of a class, and interval of its recall, that judge nothing


def format_headline(report: dict[str, Any]) -> str:
    """Return a sentence or two on what a report, without its headline, says."""
    facts, data, split = (report[key] for key in ("facts", "data", "split"))
    metrics, majority = report["metrics"][split], report["majority_baseline"]
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
        f"{facts['seconds']:,.0f} seconds{_format_compiling(facts)} on "
        f"{format_hardware(facts['hardware'])}."
    )
    if fall := facts.get("fall"):
        text += f" It went on at half the learning rate after this: {fall['reason']}."
    if facts["fingerprint"] != data["fingerprint"]:
        text += (
            " The model was trained with other splits than these (their fingerprints differ), so "
            "that its training images may be among them."
        )
    if split == "test":
        return text
    return f"{text} {_no_test(report) or 'The test split was not used.'}"


def _format_compiling(facts):
    """Return which of the seconds compiling took; older runs do not tell, or tell zero."""
    seconds = facts.get("compile_seconds")
    return f", {seconds:,.1f} of them compiling," if seconds else ""


def _no_test(report):
    """Return what is said where there is no test split; older reports do not tell."""
    if report["data"].get("images", {"test": 1})["test"]:
        return ""
    if report["split"] == "train":
        return "The data have no test split: these are images of the training."
    return (
        "The data have no test split: figures are of the validation split, which chose the epoch "
        "that was kept, and on new images they may be lower."
    )


def format_report(report: dict[str, Any], figures: Iterable[str]) -> str:
    """Return the text of `report.md`.

    Args:
        report: The document in `report.json`.
        figures: Names of the figures that stand beside it.
    """
    found = report.get("diagnostics")
    return fill_template(
        _TEMPLATE,
        figures,
        run=escape_markdown(report["facts"]["run"]),
        headline=escape_markdown(report["headline"]),
        data=_format_data(report["data"]),
        metrics=format_metrics(report),
        confusions=_format_confusions(report["most_confused"]),
        per_class=format_per_class(report),
        diagnostics=format_diagnostics(found, figures) if found else "",
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
        "epoch kept": {0: "0, the classifier alone"}.get(kept := facts.get("best_epoch"), kept),
        "parameters": f"{facts['parameters']:,}",
        "seconds of training": f"{facts['seconds']:,.1f}",
        "seconds of compiling, among them": facts.get("compile_seconds"),
        "images per second": f"{facts['images_per_second']:,.0f}",
        "precision": facts["precision"],
        "backend": facts["backend"],
        "hardware": format_hardware(facts["hardware"]),
        "commit": facts["commit"],
        "versions": ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        **({"batch size, halved": facts["batch_size"]} if "batch_size" in facts else {}),
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
    parts += filter(None, (_format_doubt(report), _no_test(report)))
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
    if majority := report.get("majority_baseline"):
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
