"""Model card in Hugging Face's format: use, data, figures with their conditions, limits.

[The format](https://huggingface.co/docs/hub/model-cards) is Markdown with metadata. The text
is model_card.md beside this file, filled in from what the run and its report hold.
"""

import json
from pathlib import Path
from typing import Any

from cnn_cifar10.architectures import KERASHUB, NETWORKS
from cnn_cifar10.datasets import DATASETS
from cnn_cifar10.evaluation import METRICS, compared_metrics
from cnn_cifar10.exporting.formats import FORMATS
from cnn_cifar10.inference import DESCRIPTION
from cnn_cifar10.reporting import (
    escape_markdown,
    fill_template,
    format_metrics,
    format_per_class,
    format_table,
)
from cnn_cifar10.utils import format_hardware, printable

_TEMPLATE = Path(__file__).with_name("model_card.md")
_COLUMNS = {
    "format": "format",
    "bytes": "bytes",
    "largest_difference": "largest difference",
    "agreement": "same class",
    "accuracy": "accuracy",
    "milliseconds": "ms/image",
}

_MOST_NAMES = 50  # of classes in a sentence
_FITS = {
    "crop": (
        "scaled to cover {0}x{1} pixels and cropped to the centre",
        "ImageOps.fit(image, ({0}, {1}))",
    ),
    "pad": (
        "scaled to fit into {0}x{1} pixels, with grey bars beside them",
        "ImageOps.pad(image, ({0}, {1}), color=(127, 127, 127))",
    ),
    "stretch": (
        "stretched to {0}x{1} pixels",
        "image.resize(({0}, {1}), Image.Resampling.BICUBIC)",
    ),
}


def format_comparison(description: dict[str, Any]) -> str:
    """Return how the formats compare as a Markdown table with its conditions.

    Args:
        description: What an artifact's `artifact.json` holds.
    """
    comparison = description["comparison"]
    versions = ", ".join(f"{name} {number}" for name, number in comparison["versions"].items())
    return (
        f"{format_table(comparison['formats'], _COLUMNS)}\n\n"
        f"On {comparison['images']:,} images of the {comparison['split']} split, compared with "
        "`model.keras`: the largest difference of a probability, and the share of images with the "
        "same most probable class. Times are medians for one image, on "
        f"{comparison['hardware']}; {versions}."
    )


def model_card(
    description: dict[str, Any], report: dict[str, Any], license: str | None = None
) -> str:
    """Return the text of a model card.

    Args:
        description: What the artifact's `artifact.json` holds.
        report: What `read_report` returns for the run.
        license: Identifier of the model's license, such as `"mit"`.
    """
    facts, names = report["facts"], description["class_names"]
    notes = [f"- {escape_markdown(note)}\n" for note in facts.get("notes", ())]
    formats = [row["format"] for row in description["comparison"]["formats"][1:]]
    height, width, _ = description["input"]["shape"][1:]
    fit, pillow = (text.format(width, height) for text in _FITS[description["input"]["fit"]])
    config = {key: value for key, value in facts["config"].items() if value not in (None, {})}
    return fill_template(
        _TEMPLATE,
        **_metadata(report, formats, license),
        facts=facts,
        report=report,
        run=escape_markdown(printable(facts["run"])),
        headline=escape_markdown(report["headline"]),
        title=escape_markdown(facts["dataset"]),
        names=_list(names),
        count=len(names),
        height=height,
        width=width,
        fit=fit,
        pillow=pillow,
        notes="".join(["\n", *notes] if notes else []),
        epoch=_epoch(facts),
        pretrained=_pretrained(facts),
        use="".join(FORMATS[name].use for name in formats),
        comparison=format_comparison(description),
        metrics=format_metrics(report),
        per_class=format_per_class(report),
        limits="".join(f"- {limit}\n" for limit in _limits(report)),
        hardware=format_hardware(facts["hardware"]),
        commit=facts["commit"] or "unknown",
        config=format_table(
            [{"setting": key, "value": printable(str(config[key]))} for key in config]
        ),
    )


def _list(names):
    if len(names) > _MOST_NAMES:
        return f"the {len(names):,} classes that `{DESCRIPTION}` lists"
    return ", ".join(map(escape_markdown, names))


def _epoch(facts):
    """Say how the epoch was chosen whose weights are kept."""
    if count := facts["examples"]["validation"]:
        return f"{count:,} to choose the epoch"
    return "those for validation among them, so that the last epoch is kept"


def _pretrained(facts):
    """Say what the weights come from that training began with, if they come from elsewhere."""
    config = facts["config"]
    if start := config.get("start"):
        return f" Training began with the weights of {escape_markdown(printable(start))}."
    network = NETWORKS.get(facts["model"])
    options = {**(network.options if network else {}), **config.get("model_options", {})}
    if options.get("weights") != "imagenet":
        return ""
    if "backbone" not in options:  # of a network of one's own
        return " Training began with weights of ImageNet."
    backbone = escape_markdown(printable(options["backbone"]))
    if str(options["backbone"]).startswith(KERASHUB):
        return f" Its backbone began with the weights of {backbone}."
    return f" Before that its backbone, {backbone}, was trained on ImageNet."


def _limits(report):
    """Yield the limits that the report shows."""
    judged = [row for row in report["per_class"] if row["support"]]
    weakest = min(judged, key=lambda row: row["recall"])
    yield (
        f"Weakest class: {escape_markdown(weakest['class'])}, with {weakest['recall']:.1%} of its "
        f"{weakest['support']:,} images classified correctly."
    )
    for most in report["most_confused"][:1]:
        true, predicted = (escape_markdown(most[f"{kind}_class"]) for kind in ("true", "predicted"))
        yield (
            f"Most confused classes: {most['share']:.1%} of the images of {true} are classified as "
            f"{predicted}."
        )
    facts = report["facts"]
    # The titles of CIFAR are the library's own, and not names of folders.
    if facts["config"]["dataset"].startswith("cifar") and "copy" in facts["dataset"]:
        yield (
            f"{escape_markdown(facts['dataset'])} does not have the pixels that were published. Do "
            "not compare its figures with those of the published pixels."
        )


def _metadata(report, formats, license):
    """Return what the card's YAML holds, as JSON: the part of YAML that needs no library."""
    facts, metrics = report["facts"], report["metrics"][report["split"]]
    dataset = facts["config"]["dataset"]
    hub = DATASETS[dataset].hub_id if dataset in DATASETS else None
    optional = {"license": license, "datasets": hub and [hub]}
    leading = ["balanced_accuracy"] if report.get("unequal") else []
    shown = {name: METRICS[name] for name in [*leading, *compared_metrics()]}
    figures = [
        {"type": metric.hub_name or name, "name": metric.heading, "value": round(metrics[name], 4)}
        for name, metric in shown.items()
        if name in metrics and not metric.augmented
    ]
    tags = dict.fromkeys(FORMATS[name].tag for name in formats if FORMATS[name].tag)
    values = {
        "tags": ["image-classification", facts["model"], *tags],
        "types": [figure["type"] for figure in figures],
        "name": printable(facts["run"]),
        "dataset": {"type": hub or dataset, "name": facts["dataset"], "split": report["split"]},
        "figures": figures,
    }
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in optional.items() if value)
    return {"optional": "".join(lines), **{key: json.dumps(values[key]) for key in values}}
