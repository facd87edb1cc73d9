"""Errors, files, checksums, environment and overlays: what every room uses."""

from cnn_cifar10.utils.checksums import CHECKSUMS, read_checked, remove_listed, write_checksums
from cnn_cifar10.utils.environment import (
    cpu_flags,
    describe_hardware,
    format_hardware,
    git_commit,
    gpu_names,
    package_versions,
    usable_cores,
)
from cnn_cifar10.utils.errors import InputError
from cnn_cifar10.utils.files import (
    cache_folder,
    read_object,
    replacing,
    write_csv,
    write_figure,
    write_json,
    write_page,
)
from cnn_cifar10.utils.overlays import overlay

__all__ = [
    "CHECKSUMS",
    "InputError",
    "cache_folder",
    "cpu_flags",
    "describe_hardware",
    "format_hardware",
    "git_commit",
    "gpu_names",
    "overlay",
    "package_versions",
    "read_checked",
    "read_object",
    "remove_listed",
    "replacing",
    "usable_cores",
    "write_checksums",
    "write_csv",
    "write_figure",
    "write_json",
    "write_page",
]
