"""Model card in Hugging Face's format: use, data, figures with their conditions, limits.

[The format](https://huggingface.co/docs/hub/model-cards) is Markdown with metadata. The text
is model_card.md beside this file, filled in from what the run and its report hold.
"""

import json
from pathlib import Path
from typing import Any

from cnn_cifar10.datasets import DATASETS
from cnn_cifar10.evaluation import compared_metrics
from cnn_cifar10.exporting.formats import FORMATS
from cnn_cifar10.reporting import format_metrics, format_per_class, format_table
from cnn_cifar10.utils import format_hardware

_TEMPLATE = Path(__file__).with_name("model_card.md")
_COLUMNS = {
    "format": "format",
    "bytes": "bytes",
    "largest_difference": "largest difference",
    "agreement": "same class",
    "accuracy": "accuracy",
    "milliseconds": "ms/image",
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
    formats = [row["format"] for row in description["comparison"]["formats"][1:]]
    height, width, _ = description["input"]["shape"][1:]
    config = {key: value for key, value in facts["config"].items() if value not in (None, {})}
    text = _TEMPLATE.read_text(encoding="utf-8").format(
        **_metadata(report, formats, license),
        facts=facts,
        report=report,
        names=", ".join(names),
        count=len(names),
        height=height,
        width=width,
        use="".join(FORMATS[name].use for name in formats),
        comparison=format_comparison(description),
        metrics=format_metrics(report),
        per_class=format_per_class(report),
        weakest=min(report["per_class"], key=lambda row: row["recall"]),
        limits="".join(f"- {limit}\n" for limit in _limits(report)),
        hardware=format_hardware(facts["hardware"]),
        commit=facts["commit"] or "unknown",
        config=format_table([{"setting": key, "value": str(config[key])} for key in config]),
    )
    return text.strip()


def _limits(report):
    """Yield the limits that not every model has."""
    for most in report["most_confused"][:1]:
        yield (
            f"Most confused classes: {most['share']:.1%} of the images of {most['true_class']} are "
            f"classified as {most['predicted_class']}."
        )
    if "copy" in (title := report["facts"]["dataset"]):
        yield (
            f"{title} does not have the pixels that were published. Do not compare its figures "
            "with those of the published pixels."
        )


def _metadata(report, formats, license):
    """Return what the card's YAML holds, as JSON: the part of YAML that needs no library."""
    facts, metrics = report["facts"], report["metrics"][report["split"]]
    dataset = facts["config"]["dataset"]
    hub = DATASETS[dataset].hub_id if dataset in DATASETS else None
    optional = {"license": license, "datasets": hub and [hub]}
    figures = [
        {"type": metric.hub_name or name, "name": metric.heading, "value": round(metrics[name], 4)}
        for name, metric in compared_metrics().items()
        if name in metrics and not metric.augmented
    ]
    tags = dict.fromkeys(FORMATS[name].tag for name in formats if FORMATS[name].tag)
    values = {
        "tags": ["image-classification", facts["model"], *tags],
        "types": [figure["type"] for figure in figures],
        "name": facts["run"],
        "dataset": {"type": hub or dataset, "name": facts["dataset"], "split": report["split"]},
        "figures": figures,
    }
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in optional.items() if value)
    return {"optional": "".join(lines), **{key: json.dumps(values[key]) for key in values}}
