"""The model card: what a model is, what it is for, its figures with their conditions, its limits.

In [Hugging Face's format](https://huggingface.co/docs/hub/model-cards), written
from what the run and its report hold.
"""

import json

from cnn_cifar10.exporting.formats import FORMATS
from cnn_cifar10.inference import MODEL_FILE
from cnn_cifar10.reporting import format_metrics, format_per_class, format_table
from cnn_cifar10.utils import format_hardware

_HUB_DATASETS = {"cifar10": "uoft-cs/cifar10"}
_COLUMNS = {
    "format": "format",
    "bytes": "bytes",
    "largest_difference": "largest difference",
    "agreement": "same class",
    "accuracy": "accuracy",
    "milliseconds": "ms/image",
}


_USE = (
    "    cnn-cifar10 predict --model FOLDER photo.jpg",
    "```python\nfrom cnn_cifar10.inference import Classifier\n\n"
    'Classifier.open("FOLDER").classify_files(["photo.jpg"])[0].top(5)\n```',
)


def format_comparison(description):
    """Return how the formats compare as a Markdown table with its conditions.

    Args:
        description: What an artifact's `artifact.json` holds.
    """
    comparison = description["comparison"]
    versions = ", ".join(f"{name} {number}" for name, number in comparison["versions"].items())
    return (
        f"{format_table(comparison['formats'], _COLUMNS)}\n\n"
        f"On {comparison['images']:,} images of the {comparison['split']} split. The difference is "
        "of a probability, and the class the most probable one, both against `model.keras`; times "
        f"are medians, of one picture at a time, on {comparison['hardware']}; {versions}."
    )


def model_card(description, report, license=None):
    """Return the text of a model card.

    Args:
        description: What the artifact's `artifact.json` holds.
        report: What `read_report` returns for the run.
        license: Identifier of the model's license, such as `"mit"`.
    """
    facts, names = report["facts"], description["class_names"]
    formats = [row["format"] for row in description["comparison"]["formats"][1:]]
    files = [FORMATS[name].file for name in formats]
    height, width, _ = description["input"]["shape"][1:]
    config = {key: value for key, value in facts["config"].items() if value not in (None, {})}
    weakest = min(report["per_class"], key=lambda row: row["recall"])
    limits = [
        f"It names one of its {len(names)} classes for every picture, also for one that shows none "
        "of them; `--threshold` makes it answer “unsure” below a probability.",
        f"It sees {width}x{height} pixels: larger pictures are scaled down and cropped to the "
        "centre, and what is small in them is lost.",
        f"Weakest class: {weakest['class']}, of whose pictures {weakest['recall']:.1%} are named "
        "rightly.",
        f"One training run, of seed {facts['seed']}: another seed gives other figures.",
    ]
    if report["most_confused"]:
        most = report["most_confused"][0]
        limits.append(
            f"Confused most: {most['share']:.1%} of {most['true_class']} are taken for "
            f"{most['predicted_class']}."
        )
    if "copy" in facts["dataset"]:
        limits.append(
            f"{facts['dataset']} does not have the pixels that were published; figures on those "
            "would differ, and are not to be compared with these."
        )
    parts = [
        _metadata(report, formats, license),
        f"# {facts['run']}",
        report["headline"],
        "## Use",
        *(_USE if MODEL_FILE in files else ()),
        f"Every format takes `pixels`, float32 of shape (n, {height}, {width}, 3): RGB from 0 to "
        "255, as they are, since all scaling is inside. It gives the probabilities of "
        f"{', '.join(names)}, in this order.",
        format_comparison(description),
        "`sha256sum --check SHA256SUMS` tells whether the files are those that were measured.",
        "## Intended use",
        f"To name which of these {len(names)} classes a picture shows; to learn from, and to "
        "measure others against. Nothing that touches a person's safety, rights or money should "
        "rest on its answers.",
        "## Data",
        f"{facts['dataset']}: {facts['examples']['train']:,} images to train on, "
        f"{facts['examples']['validation']:,} to choose the epoch by, "
        f"{facts['examples']['test']:,} to test; fingerprint of the splits "
        f"`{facts['fingerprint']}`.",
        "## Figures",
        format_metrics(report),
        f"Of the {report['split']} split, class by class:",
        format_per_class(report),
        "## Limits",
        "\n".join(f"- {limit}" for limit in limits),
        "## Training",
        f"{facts['parameters']:,} parameters, {facts['epochs']} epochs in {facts['seconds']:,.0f} "
        f"seconds on {format_hardware(facts['hardware'])}, in {facts['precision']}, at commit "
        f"{facts['commit'] or 'unknown'}.",
        format_table([{"setting": key, "value": str(value)} for key, value in config.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(report, formats, license):
    """Return the card's YAML; JSON is the part of YAML that needs no library to write."""
    facts, metrics = report["facts"], report["metrics"][report["split"]]
    dataset = facts["config"]["dataset"]
    hub = _HUB_DATASETS.get(dataset)
    exported = dict.fromkeys(tag for name in formats if (tag := FORMATS[name].tag))
    tags = ["image-classification", facts["model"], *exported]
    lines = [
        "---",
        *([f"license: {json.dumps(license)}"] if license else []),
        "library_name: keras",
        "pipeline_tag: image-classification",
        f"tags: {json.dumps(tags)}",
        *([f"datasets: {json.dumps([hub])}"] if hub else []),
        "metrics: [accuracy, f1]",
        "model-index:",
        f"- name: {json.dumps(facts['run'])}",
        "  results:",
        "  - task: {type: image-classification, name: Image Classification}",
        "    dataset:",
        f"      type: {json.dumps(hub or dataset)}",
        f"      name: {json.dumps(facts['dataset'])}",
        f"      split: {report['split']}",
        "    metrics:",
        f"    - {{type: accuracy, value: {metrics['accuracy']:.4f}}}",
        f"    - {{type: f1, name: macro F1, value: {metrics['macro_f1']:.4f}}}",
        "---",
    ]
    return "\n".join(lines)
