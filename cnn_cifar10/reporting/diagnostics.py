"""A closer look at a model: how sure it is, where it looks, what it withstands, what it doubts."""

import importlib.util

import numpy as np

from cnn_cifar10.evaluation import (
    evaluate_corruptions,
    expected_calibration_error,
    fit_temperature,
    grad_cam,
    likely_label_errors,
    reliability,
    with_temperature,
)
from cnn_cifar10.reporting.tables import format_table

_CORRUPTED, _EXPLAINED = 1_000, 12


def diagnose(model, split, evaluation, validation=None, title=""):
    """Measure calibration and robustness, and draw them and what the model looks at.

    Args:
        model: `keras.Model` from raw pixels to probabilities.
        split: `Split` of n images that the model was not trained on. A random 1,000 of
            them are corrupted, 12 of those explained.
        evaluation: `Evaluation` of the split.
        validation: `Evaluation` of the validation split, which a temperature is fitted
            to; `None` fits none.
        title: What captions call the split.

    Returns:
        A pair: a dict of `calibration_error`, `corrupted_images`, `corruptions` (the rows
        of `evaluate_corruptions`), with `validation` `temperature` and `calibrated_error`,
        and with cleanlab `label_errors` (up to 12 rows of an image's `index`, `label`,
        `predicted` class and its `confidence`); and a dict of file names to figures.
    """
    from cnn_cifar10 import plotting

    error = expected_calibration_error(evaluation)
    found = {"calibration_error": error}
    diagrams = {f"as trained: error {error:.1%}": reliability(evaluation)}
    if validation is not None:
        temperature = fit_temperature(validation)
        scaled = with_temperature(evaluation, temperature)
        error = expected_calibration_error(scaled)
        found |= {"temperature": temperature, "calibrated_error": error}
        diagrams[f"temperature {temperature:.2f}: error {error:.1%}"] = reliability(scaled)

    names, count = evaluation.class_names, min(len(split), _CORRUPTED)
    chosen = np.random.default_rng(0).choice(len(split), count, replace=False)
    found["corrupted_images"] = count
    found["corruptions"] = evaluate_corruptions(model, split[chosen], names)

    explained = chosen[:_EXPLAINED]
    pictures, classes = split.images[explained], evaluation.predictions[explained]
    captions = [
        f"{names[predicted]}, {confidence:.0%}"
        for predicted, confidence in zip(classes, evaluation.confidences[explained], strict=True)
    ]
    figures = {
        "calibration.png": plotting.plot_reliability(diagrams, title),
        "robustness.png": plotting.plot_robustness(found["corruptions"], title),
        "gradcam.png": plotting.plot_grad_cam(
            pictures,
            grad_cam(model, pictures, classes),
            captions,
            f"{title}: what spoke for the predicted class",
        ),
    }
    if importlib.util.find_spec("cleanlab"):
        suspects = likely_label_errors(evaluation, _EXPLAINED)
        found["label_errors"] = [
            {
                "index": int(index),
                "label": names[evaluation.labels[index]],
                "predicted": names[evaluation.predictions[index]],
                "confidence": float(evaluation.confidences[index]),
            }
            for index in suspects
        ]
    if rows := found.get("label_errors"):
        columns = ([row[key] for row in rows] for key in ("label", "predicted", "confidence"))
        caption = f"{title}: labels to check"
        figures["labels.png"] = plotting.plot_mistakes(split.images[suspects], *columns, caption)
    return found, figures


def format_diagnostics(found):
    """Return paragraphs of Markdown that say what `diagnose` found, with its figures."""
    calibration = f"Confidence and accuracy are {100 * found['calibration_error']:.1f} points apart"
    if "temperature" in found:
        calibration += (
            f"; {100 * found['calibrated_error']:.1f} where logits are divided by the temperature "
            f"{found['temperature']:.2f}, which was fitted to the validation split"
        )
    rows = {}
    for row in found["corruptions"]:
        name = row["corruption"].replace("_", " ")
        rows.setdefault(name, {"corruption": name})[str(row["severity"])] = f"{row['accuracy']:.1%}"
    return [
        "## Calibration",
        "![Accuracy by confidence](calibration.png)",
        f"{calibration} (expected calibration error, 15 bins).",
        "## Robustness",
        "![Accuracy by severity of each corruption](robustness.png)",
        f"Accuracy on {found['corrupted_images']:,} images, corrupted at severities 0 to 5:",
        format_table(list(rows.values())),
        "## Where the model looks",
        "![Pictures, and what spoke for the predicted class](gradcam.png)",
        "## Labels to check",
        *_format_label_errors(found),
    ]


def _format_label_errors(found):
    if "label_errors" not in found:
        return ["They need cleanlab: `pip install 'cnn-cifar10[label-errors]'`."]
    if not found["label_errors"]:
        return ["No image's label is doubtful."]
    return [
        "The images whose label the model doubts most, by confident learning; some are its own "
        "mistakes, and some are wrong labels.",
        "![The most doubtful labels](labels.png)",
    ]
