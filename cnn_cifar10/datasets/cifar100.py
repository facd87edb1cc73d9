"""CIFAR-100, by its 100 classes or by the 20 kinds of them."""

from cnn_cifar10.datasets import cifar
from cnn_cifar10.datasets.dataset import Dataset
from cnn_cifar10.datasets.downloads import Download
from cnn_cifar10.datasets.source import DataOptions

_CLASSES = (
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle",
    "bottle", "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle",
    "caterpillar", "cattle", "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch",
    "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox",
    "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple tree", "motorcycle", "mountain", "mouse", "mushroom",
    "oak tree", "orange", "orchid", "otter", "palm tree", "pear", "pickup truck", "pine tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road",
    "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake",
    "spider", "squirrel", "streetcar", "sunflower", "sweet pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle",
    "wardrobe", "whale", "willow tree", "wolf", "woman", "worm",
)  # fmt: skip
_COARSE_CLASSES = (
    "aquatic mammals", "fish", "flowers", "food containers", "fruit and vegetables",
    "household electrical devices", "household furniture", "insects", "large carnivores",
    "large man-made outdoor things", "large natural outdoor scenes",
    "large omnivores and herbivores", "medium mammals", "non-insect invertebrates", "people",
    "reptiles", "small mammals", "trees", "vehicles 1", "vehicles 2",
)  # fmt: skip

FILES = cifar.Files(
    Download(
        "CIFAR-100",
        "cifar-100-python.tar.gz",
        "cifar-100-python-target_archive",
        169_001_437,
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        (
            "https://dataset.bj.bcebos.com/cifar/cifar-100-python.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        ),
    ),
    "cifar-100-python",
    {"train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    (50_000, 10_000),
    "CNN_CIFAR100_DATA",
)
"""The published files."""


def load(options: DataOptions) -> Dataset:
    """CIFAR-100: 60,000 colour images of 100 classes, 32x32; downloaded, or read from disk.

    Splits and mirror are as for `cifar10`. `data_dir` names the archive
    `cifar-100-python.tar.gz`, the folder `cifar-100-python` or the folder that holds one of
    them; without it, `CNN_CIFAR100_DATA` does, or the archive is downloaded.
    """
    return cifar.load_cifar("cifar100", FILES, _CLASSES, options, labels="fine_labels")


def load_coarse(options: DataOptions) -> Dataset:
    """CIFAR-100 by its 20 coarse classes, such as fish and flowers, of five classes each.

    The images and files are those of `cifar100`.
    """
    return cifar.load_cifar(
        "cifar100_coarse",
        FILES,
        _COARSE_CLASSES,
        options,
        labels="coarse_labels",
        kind=", coarse classes",
    )
