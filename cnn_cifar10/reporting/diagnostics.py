"""Diagnostics of a model: calibration, robustness, Grad-CAM, likely label errors."""

import importlib.util
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
from cnn_cifar10.reporting.tables import fill_template, format_table

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

_CORRUPTED, _SHOWN = 1_000, 12
_KEYS = ("index", "label", "predicted", "confidence")


def diagnose(
    model: "keras.Model",
    split: Split,
    evaluation: Evaluation,
    validation: Evaluation | None = None,
    title: str = "",
) -> "tuple[dict[str, Any], dict[str, Figure]]":
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
        A pair: a dict of `calibration_error`, `corrupted_images`, `corruptions` (the rows
        of `evaluate_corruptions`), with `validation` `temperature` and `calibrated_error`,
        and with cleanlab `label_errors` (up to 12 rows of an image's `index`, `label`,
        `predicted` class and its `confidence`); and a dict of file names to figures.
    """
    from cnn_cifar10 import plotting

    found, diagrams = _calibration(evaluation, validation)
    count = min(len(split), _CORRUPTED)
    chosen = np.random.default_rng(0).choice(len(split), count, replace=False)
    found["corrupted_images"] = count
    found["corruptions"] = evaluate_corruptions(model, split[chosen], evaluation.class_names)
    shown = chosen[:_SHOWN]
    images, rows = split.images[shown], describe_examples(evaluation, shown, _KEYS)
    captions = [f"{row['predicted']}, {row['confidence']:.0%}" for row in rows]
    maps = grad_cam(model, images, evaluation.predictions[shown])
    heading = f"{title}: Grad-CAM of the predicted class"
    figures = {
        "calibration.png": plotting.plot_reliability(diagrams, title),
        "robustness.png": plotting.plot_robustness(found["corruptions"], title),
        "gradcam.png": plotting.plot_grad_cam(list(images), list(maps), captions, heading),
    }
    if importlib.util.find_spec("cleanlab"):
        suspects = likely_label_errors(evaluation, _SHOWN)
        found["label_errors"] = describe_examples(evaluation, suspects, _KEYS)
        if found["label_errors"]:
            heading = f"{title}: labels to check"
            figures["labels.png"] = draw_examples(split, found["label_errors"], heading)
    return found, figures


def describe_examples(
    evaluation: Evaluation, indices: np.ndarray, keys: tuple[str, str, str, str]
) -> list[dict]:
    """Return a row per example: its index, the names of its label and of the predicted class,
    and the confidence, under four keys."""
    names = np.array(evaluation.class_names)
    classes = (names[each[indices]] for each in (evaluation.labels, evaluation.predictions))
    columns = (indices, *classes, evaluation.confidences[indices])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [dict(zip(keys, row, strict=True)) for row in rows]


def draw_examples(split: Split, rows: list[dict], title: str) -> "Figure":
    """Draw the images of rows that `describe_examples` returned."""
    from cnn_cifar10 import plotting

    indices, labels, predicted, confidences = zip(*(row.values() for row in rows), strict=True)
    images = list(split.images[np.array(indices)])
    return plotting.plot_mistakes(images, labels, predicted, confidences, title)


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


def format_diagnostics(found: dict[str, Any]) -> str:
    """Return what `diagnose` found as sections of Markdown, with its figures."""
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
    return fill_template("diagnostics.md", images=found["corrupted_images"], **values)


_LABEL_ERRORS = """\
The labels that are most likely wrong, by confident learning. Some are wrong labels, and some are \
mistakes of the model.

![The labels that are most likely wrong](labels.png)"""
