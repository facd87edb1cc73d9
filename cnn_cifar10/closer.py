"""A closer look at a model: how sure it is, where it looks and what it withstands."""

import numpy as np

from cnn_cifar10.calibration import (
    expected_calibration_error,
    fit_temperature,
    reliability,
    with_temperature,
)
from cnn_cifar10.evaluation import evaluate_corruptions
from cnn_cifar10.gradcam import grad_cam
from cnn_cifar10.results import format_table

_CORRUPTED, _EXPLAINED = 1_000, 12


def look_closer(model, split, evaluation, validation=None, title=""):
    """Measure calibration and robustness, and draw them and what the model looks at.

    Args:
        model: `keras.Model` from raw pixels to probabilities.
        split: `Split` of n images. A random 1,000 of them are corrupted, the first 12
            explained.
        evaluation: `Evaluation` of the split.
        validation: `Evaluation` of the validation split, which a temperature is fitted
            to; `None` fits none.
        title: What captions call the split.

    Returns:
        A pair: a dict of `calibration_error`, `corrupted_images`, `corruptions` (the rows
        of `evaluate_corruptions`) and, with `validation`, `temperature` and
        `calibrated_error`; and a dict of file names to figures.
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

    pictures, classes = split.images[:_EXPLAINED], evaluation.predictions[:_EXPLAINED]
    captions = [
        f"{names[predicted]}, {confidence:.0%}"
        for predicted, confidence in zip(classes, evaluation.confidences, strict=False)
    ]
    return found, {
        "calibration.png": plotting.plot_reliability(diagrams, title),
        "robustness.png": plotting.plot_robustness(found["corruptions"], title),
        "gradcam.png": plotting.plot_grad_cam(
            pictures,
            grad_cam(model, pictures, classes),
            captions,
            f"{title}: what spoke for the predicted class",
        ),
    }


def format_closer(found):
    """Return paragraphs of Markdown that say what `look_closer` found, with its figures."""
    calibration = f"Confidence and accuracy are {100 * found['calibration_error']:.1f} points apart"
    if "temperature" in found:
        calibration += (
            f"; {100 * found['calibrated_error']:.1f} where logits are divided by the temperature "
            f"{found['temperature']:.2f}, which was fitted to the validation split"
        )
    rows = {}
    for row in found["corruptions"]:
        name = row["corruption"].replace("_", " ")
        rows.setdefault(name, {"corruption": name})[str(row["strength"])] = f"{row['accuracy']:.1%}"
    return [
        "## Calibration",
        "![Accuracy by confidence](calibration.png)",
        f"{calibration} (expected calibration error, 15 bins).",
        "## Robustness",
        "![Accuracy by strength of each corruption](robustness.png)",
        f"Accuracy on {found['corrupted_images']:,} images, corrupted at strengths 0 to 5:",
        format_table(list(rows.values())),
        "## Where the model looks",
        "![Pictures, and what spoke for the predicted class](gradcam.png)",
    ]
