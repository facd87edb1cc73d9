"""Input pipelines: images to augmented batches."""

from cnn_cifar10.pipelines.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    Crop,
    Cutout,
    Flip,
    MixUp,
    Policy,
    Rotation,
    get_policy,
    register,
)
from cnn_cifar10.pipelines.batches import (
    evaluation_batch_size,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from cnn_cifar10.pipelines.jax_epochs import CompiledEpochs, can_compile_epochs
from cnn_cifar10.pipelines.sharing import Sharing, find_sharing

__all__ = [
    "AUGMENTATIONS", "Augmentation", "CompiledEpochs", "Crop", "Cutout", "Flip", "MixUp", "Policy",
    "Rotation", "Sharing", "can_compile_epochs", "evaluation_batch_size", "evaluation_batches",
    "find_sharing", "get_policy", "register", "steps_per_epoch", "training_batches",
]  # fmt: skip
