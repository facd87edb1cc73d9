"""Errors, files, checksums, environment and overlays: what every room uses."""

from cnn_cifar10.utils import references
from cnn_cifar10.utils.bounded import (
    JSON_BYTES,
    MODEL_BYTES,
    check_size,
    parse_object,
    read_bounded,
)
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
from cnn_cifar10.utils.errors import InputError, first_line, require
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
from cnn_cifar10.utils.printing import printable, printable_document
from cnn_cifar10.utils.quiet import is_no_retracing, quiet_tensorflow
from cnn_cifar10.utils.values import read_assignment, read_list, read_value

__all__ = [
    "CHECKSUMS", "JSON_BYTES", "MODEL_BYTES", "InputError", "cache_folder", "check_size",
    "cpu_flags", "describe_hardware", "first_line", "format_hardware", "git_commit",
    "gpu_names", "is_no_retracing", "overlay", "package_versions", "parse_object", "printable",
    "printable_document", "quiet_tensorflow", "read_assignment", "read_bounded",
    "read_checked", "read_list", "read_object", "read_value", "references", "remove_listed",
    "replacing", "require", "require_package", "usable_cores", "write_checksums", "write_csv",
    "write_figure", "write_json", "write_page",
]  # fmt: skip
