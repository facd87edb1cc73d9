"""Features of a frozen backbone, computed once and kept on disk."""

import dataclasses
import hashlib
import json
import logging
import time
import zipfile

import keras
import numpy as np

from cnn_cifar10.architectures import fold_normalization
from cnn_cifar10.datasets import Dataset, ImageFiles, Split
from cnn_cifar10.pipelines import evaluation_batch_size, evaluation_batches
from cnn_cifar10.utils import cache_folder, replacing

logger = logging.getLogger(__name__)

_BOUND = 4 * 10**9  # bytes of all features that are kept; the oldest are removed first


def frozen_features(
    model: keras.Model, dataset: Dataset, verbose: int = 1, batch_size: int = 100
) -> tuple[Dataset, float]:
    """Return the training and validation splits as features, so that a head trains in seconds.

    They are kept under `~/.cache/cnn-cifar10/features` (or `XDG_CACHE_HOME`) for
    the next call with the same network, weights, precision and images. All together take
    4 GB at most.

    Args:
        model: `keras.Model` with a layer `features`, such as `build_transfer` returns.
        dataset: `Dataset` of images.
        verbose: As for `keras.Model.predict`; 1 shows progress.
        batch_size: Images at once, at most; so are 100, since the network may enlarge them.

    Returns:
        A pair: a `Dataset` whose images are float32 arrays `(n, channels)`, and
        the seconds that it took to compute them, now or then. Its test split is
        empty.
    """
    network = model.get_layer("features")
    path = cache_folder() / "features" / f"{_key(network, dataset)}.npz"
    arrays = _read(path)
    if arrays is None:
        size = feature_batch_size(batch_size, dataset.image_shape)
        arrays = _compute(network, dataset, verbose, size)
        _write(path, arrays)
    features = dataclasses.replace(
        dataset,
        train=dataclasses.replace(dataset.train, images=arrays["train"]),
        validation=dataclasses.replace(dataset.validation, images=arrays["validation"]),
        test=Split(arrays["train"][:0], dataset.train.labels[:0]),
    )
    return features, float(arrays["seconds"])


def feature_batch_size(batch_size: int, image_shape: tuple[int, ...]) -> int:
    """Return how many images a frozen network sees at once, where batches have `batch_size`."""
    return min(batch_size, 100, evaluation_batch_size(image_shape))


def _compute(network, dataset, verbose, batch_size):
    began, arrays, network = time.perf_counter(), {}, fold_normalization(network)
    for name in ("train", "validation"):
        split = dataset.split(name)
        if not len(split):
            arrays[name] = np.empty((0, *network.output_shape[1:]), "float32")
            continue
        if verbose:
            print(f"features of {len(split):,} {name} images, kept for the next run:")
        batches = evaluation_batches(split, dataset.num_classes, batch_size=batch_size)
        arrays[name] = np.asarray(network.predict(batches, verbose=verbose), "float32")
        arrays[name] = arrays[name][: len(split)]  # several devices fill up the last batch
    return {**arrays, "seconds": time.perf_counter() - began}


def _write(path, arrays):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            np.savez(part, **arrays)
        status = sorted((file.stat().st_mtime_ns, file) for file in path.parent.glob("*.npz"))
        taken = sum(file.stat().st_size for _, file in status)
        for _, file in status:
            if taken > _BOUND and file != path:
                taken -= file.stat().st_size
                file.unlink()
    except OSError as error:
        logger.warning("%s: features cannot be kept for the next run (%s)", path.parent, error)


def _read(path):
    try:
        with open(path, "rb") as opened, np.load(opened) as file:
            return {name: file[name] for name in ("train", "validation", "seconds")}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s cannot be used, so features are computed again (%s)", path, error)
        return None


def _key(network, dataset):
    digest = hashlib.sha256(json.dumps(list(_describe(network)), default=str).encode())
    for array in network.get_weights():
        digest.update(array.tobytes())
    for split in (dataset.train, dataset.validation):
        images = split.images
        if isinstance(images, ImageFiles):
            digest.update(repr(images.stamps()).encode())
        else:
            digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()[:32]


def _describe(network):
    """Yield what a network's operations do; their names count up with every network built."""
    for operation in network.operations:
        if isinstance(operation, keras.Model):
            yield from _describe(operation)
        else:
            config = operation.get_config()
            config.pop("name", None)
            yield type(operation).__name__, config
