"""Errors, files, checksums, locks, signals, environment: what every room uses."""

from cnn_cifar10.utils import references
from cnn_cifar10.utils.bounded import (
    JSON_BYTES,
    MODEL_BYTES,
    check_file_size,
    parse_object,
    read_bounded,
)
from cnn_cifar10.utils.checksums import (
    CHECKSUMS,
    digest,
    read_checked,
    read_checksums,
    remove_listed,
    write_checksums,
)
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
from cnn_cifar10.utils.errors import (
    InputError,
    describe_os_error,
    first_line,
    format_size,
    require,
    warn_once,
)
from cnn_cifar10.utils.files import (
    cache_folder,
    check_space,
    check_writable,
    clear_parts,
    format_csv,
    format_json,
    read_csv,
    read_object,
    read_sealed,
    replacing,
    write_csv,
    write_figure,
    write_json,
    write_page,
    write_sealed,
)
from cnn_cifar10.utils.hub import HUB, fetch_from_hub, is_pinned, split_hub_name
from cnn_cifar10.utils.locks import running_search, running_study, working_in
from cnn_cifar10.utils.overlays import overlay
from cnn_cifar10.utils.printing import printable, printable_document
from cnn_cifar10.utils.quiet import is_no_retracing, quiet_tensorflow
from cnn_cifar10.utils.signals import Postponed, Terminated, postpone_in_imports, sigterm_raises
from cnn_cifar10.utils.values import read_assignment, read_list, read_value

__all__ = [
    "CHECKSUMS", "HUB", "JSON_BYTES", "MODEL_BYTES", "InputError", "Postponed", "Terminated",
    "cache_folder", "check_file_size", "check_space", "check_writable", "clear_parts", "cpu_flags",
    "describe_hardware", "describe_os_error", "digest", "fetch_from_hub", "first_line",
    "format_csv", "format_hardware", "format_json", "format_size", "git_commit", "gpu_names",
    "is_no_retracing", "is_pinned", "overlay", "package_versions", "parse_object",
    "postpone_in_imports", "printable", "printable_document", "quiet_tensorflow", "read_assignment",
    "read_bounded", "read_checked", "read_checksums", "read_csv", "read_list", "read_object",
    "read_sealed", "read_value", "references", "remove_listed", "replacing", "require",
    "require_package", "running_search", "running_study", "sigterm_raises", "split_hub_name",
    "usable_cores", "warn_once", "working_in", "write_checksums", "write_csv", "write_figure",
    "write_json", "write_page", "write_sealed",
]  # fmt: skip
