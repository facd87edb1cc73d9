"""Progress of a training in a log: one line an epoch."""

import keras


class EpochLines(keras.callbacks.Callback):
    """Print one line an epoch: loss, accuracies, learning rate, and seconds since the start.

    It comes after the `Recorder`, which adds the last two to the epoch's logs.

    Args:
        epochs: How many there are, those before this training too.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self._epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        shown = ("loss", "accuracy", "val_loss", "val_accuracy")
        parts = [f"{name} {logs[name]:.4f}" for name in shown if name in logs]
        parts += [
            f"learning rate now {logs['learning_rate']:.4g}",
            f"{logs['seconds']:.1f} s so far",
        ]
        print(f"epoch {epoch + 1}/{self._epochs}: {', '.join(parts)}", flush=True)
