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
from cnn_cifar10.utils.quiet import is_no_retracing, quiet_tensorflow
from cnn_cifar10.utils.values import printable, read_assignment, read_list, read_value

__all__ = [
    "CHECKSUMS", "InputError", "cache_folder", "cpu_flags", "describe_hardware", "format_hardware",
    "git_commit", "gpu_names", "is_no_retracing", "overlay", "package_versions", "printable",
    "quiet_tensorflow", "read_assignment", "read_checked", "read_list", "read_object", "read_value",
    "references", "remove_listed", "replacing", "require", "require_package", "usable_cores",
    "write_checksums", "write_csv", "write_figure", "write_json", "write_page",
]  # fmt: skip
