"""Prints the digest of 25 augmented batches of digits."""

import hashlib

from keras import ops

from cnn_cifar10.datasets import load_dataset
from cnn_cifar10.pipelines import training_batches

digits = load_dataset("digits")
stream = iter(training_batches(digits.train, 10, batch_size=64, augment="crop+flip+cutout", seed=3))
digest = hashlib.sha256()
for _ in range(25):
    images, labels = next(stream)
    digest.update(ops.convert_to_numpy(images).tobytes() + ops.convert_to_numpy(labels).tobytes())
print(digest.hexdigest())
