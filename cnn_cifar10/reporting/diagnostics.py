"""Diagnostics of a model: calibration, robustness, Grad-CAM, likely label errors."""

import importlib.util
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10.datasets import Split
from cnn_cifar10.evaluation import (
    Evaluation,
    evaluate_corruptions,
    expected_calibration_error,
    fit_temperature,
    grad_cam,
    likely_label_errors,
    reliability,
    with_temperature,
)
from cnn_cifar10.reporting.predictions import describe_images
from cnn_cifar10.reporting.tables import format_table
from cnn_cifar10.reporting.templates import fill_template
from cnn_cifar10.utils import InputError

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)
_TEMPLATE = Path(__file__).with_name("diagnostics.md")
_CORRUPTED, _SHOWN = 1_000, 12


def diagnose(
    model: "keras.Model",
    split: Split,
    evaluation: Evaluation,
    validation: Evaluation | None = None,
    title: str = "",
) -> "tuple[dict[str, Any], dict[str, Figure], list[dict]]":
    """Measure calibration, robustness and likely label errors; draw them and Grad-CAM.

    Args:
        model: `keras.Model` from raw pixels to probabilities.
        split: `Split` of n images that the model was not trained on. A random 1,000 of them
            are corrupted; Grad-CAM is shown for 12 of these.
        evaluation: `Evaluation` of the split.
        validation: `Evaluation` of the validation split, to fit a temperature to; `None`
            fits none.
        title: Name of the split in captions.

    Returns:
        Three things: a dict of `calibration_error`, `corrupted_images`, `corruptions` (the rows
        of `evaluate_corruptions`), with `validation` `temperature` and `calibrated_error`,
        and with cleanlab the first 12 `label_errors` (dicts of an image's `index`, its `file`,
        its `label`, the `predicted` class and its `confidence`); a dict of file names to
        figures; and rows of `describe_images` for all labels that are likely wrong.
    """
    from cnn_cifar10 import plotting

    found, diagrams = _calibration(evaluation, validation)
    count = min(len(split), _CORRUPTED)
    chosen = np.random.default_rng(0).choice(len(split), count, replace=False)
    found["corrupted_images"] = count
    found["corruptions"] = evaluate_corruptions(model, split[chosen], evaluation.class_names)
    shown = chosen[:_SHOWN]
    images, rows = split.images[shown], describe_images(split, evaluation, shown)
    figures = {
        "calibration.png": plotting.plot_reliability(diagrams, title),
        "robustness.png": plotting.plot_robustness(found["corruptions"], title),
    }
    try:
        maps = list(grad_cam(model, images, evaluation.predictions[shown]))
    except InputError as error:
        logger.warning("the report is without Grad-CAM: %s", error)
    else:
        heading = f"{title}: Grad-CAM of the predicted class"
        drawn = plotting.plot_grad_cam(list(images), maps, _captions(rows), heading)
        figures["gradcam.png"] = drawn
    issues: list[dict] = []
    if importlib.util.find_spec("cleanlab"):
        issues = describe_images(split, evaluation, likely_label_errors(evaluation))
        kept = ("index", "file", "true_class", "predicted_class", "confidence")
        names = {"true_class": "label", "predicted_class": "predicted"}
        found["label_errors"] = [
            {names.get(key, key): row[key] for key in kept if key in row} for row in issues[:_SHOWN]
        ]
        if issues:
            heading = f"{title}: labels to check"
            figures["labels.png"] = draw_examples(split, issues[:_SHOWN], heading)
    return found, figures, issues


def _captions(rows):
    lines = [[row["file"]] if "file" in row else [] for row in rows]
    for each, row in zip(lines, rows, strict=True):
        each.append(f"{row['confidence']:.0%} {row['predicted_class']}")
    return ["\n".join(each) for each in lines]


def draw_examples(split: Split, rows: list[dict], title: str) -> "Figure":
    """Draw the images of rows that `describe_images` returned."""
    from cnn_cifar10 import plotting

    images = list(split.images[np.array([row["index"] for row in rows])])
    true, predicted, confidences = (
        [row[key] for row in rows] for key in ("true_class", "predicted_class", "confidence")
    )
    files = [row["file"] for row in rows] if "file" in rows[0] else None
    return plotting.plot_mistakes(images, true, predicted, confidences, title, files)


def _calibration(evaluation, validation):
    """Return the calibration errors, and reliability diagrams by their captions."""
    error = expected_calibration_error(evaluation)
    found = {"calibration_error": error}
    diagrams = {f"as trained: error {error:.1%}": reliability(evaluation)}
    if validation is not None:
        temperature = fit_temperature(validation)
        scaled = with_temperature(evaluation, temperature)
        error = expected_calibration_error(scaled)
        found |= {"temperature": temperature, "calibrated_error": error}
        diagrams[f"temperature {temperature:.2f}: error {error:.1%}"] = reliability(scaled)
    return found, diagrams


def format_diagnostics(found: dict[str, Any], figures: Iterable[str] | None = None) -> str:
    """Return what `diagnose` found as sections of Markdown, of those figures that exist."""
    calibration = f"{100 * found['calibration_error']:.1f} percentage points"
    if "temperature" in found:
        calibration += (
            f". With the temperature {found['temperature']:.2f}, fitted to the validation split, "
            f"it is {100 * found['calibrated_error']:.1f}"
        )
    rows: dict[str, dict] = {}
    for row in found["corruptions"]:
        name = row["corruption"].replace("_", " ")
        rows.setdefault(name, {"corruption": name})[str(row["severity"])] = f"{row['accuracy']:.1%}"
    if "label_errors" not in found:
        labels = "To find them, install cleanlab: `pip install 'cnn-cifar10[label-errors]'`."
    else:
        labels = _LABEL_ERRORS if found["label_errors"] else "No label is likely to be wrong."
    corruptions = format_table(list(rows.values()))
    values = {"calibration": calibration, "corruptions": corruptions, "labels": labels}
    return fill_template(_TEMPLATE, figures, images=found["corrupted_images"], **values)


_LABEL_ERRORS = """\
The labels that are most likely wrong, by confident learning. Some are wrong labels, and some are \
mistakes of the model. All are in [label_issues.csv](label_issues.csv).

![The labels that are most likely wrong](labels.png)"""
