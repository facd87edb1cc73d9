"""TensorBoard logs of a report: its figures as images, the config as hyperparameters, metrics."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_cifar10.training import Run


def log_report(run: "Run", report: dict[str, Any], folder: Path) -> None:
    """Add a report to the TensorBoard logs that a run has, if it has some and TensorBoard is there.

    Its figures, the confusion matrix among them, are images at the run's last epoch. The fields
    of the config are hyperparameters, by which runs in one folder can be sorted, with the
    metrics of each split.

    Args:
        run: A finished run.
        report: What `report_run` returned for it.
        folder: Folder of the report.
    """
    place = run.path / "tensorboard"
    if not place.is_dir() or not all(map(importlib.util.find_spec, ("tensorflow", "tensorboard"))):
        return
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    facts = report["facts"]
    fields = {
        name: value if isinstance(value, (bool, int, float, str)) else str(value)
        for name, value in facts["config"].items()
        if value not in (None, {})
    }
    with tf.summary.create_file_writer(str(place / "report")).as_default(step=facts["epochs"]):
        api.hparams(fields, trial_id=facts.get("id"))
        for split, metrics in report["metrics"].items():
            for name, value in metrics.items():
                tf.summary.scalar(f"{split}/{name}", value)
        for path in sorted(folder.glob("*.png")):
            image = tf.io.decode_png(path.read_bytes(), channels=3)
            tf.summary.image(path.stem, image[None])
