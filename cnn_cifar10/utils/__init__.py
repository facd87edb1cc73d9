"""Errors, files, checksums, environment and overlays: what every room uses."""

from cnn_cifar10.utils import references
from cnn_cifar10.utils.checksums import CHECKSUMS, read_checked, remove_listed, write_checksums
from cnn_cifar10.utils.environment import (
    cpu_flags,
    describe_hardware,
    format_hardware,
    git_commit,
    gpu_names,
    package_versions,
    require_package,
    usable_cores,
)
from cnn_cifar10.utils.errors import InputError, require
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
    "references",
    "remove_listed",
    "require",
    "replacing",
    "require_package",
    "usable_cores",
    "write_checksums",
    "write_csv",
    "write_figure",
    "write_json",
    "write_page",
]
