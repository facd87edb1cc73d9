"""What can be asked for, as data."""

from cnn_cifar10.configs.recipes import RECIPES, make_config
from cnn_cifar10.configs.searches import (
    ALGORITHMS,
    RATE_FACTOR,
    SHORT_TRIAL,
    SPACE,
    Search,
    changed_space,
    parse_values,
    read_space,
)
from cnn_cifar10.configs.studies import CLAIMS, STUDIES, Study, find_study
from cnn_cifar10.configs.training import (
    PRECISIONS,
    ConfigError,
    TrainingConfig,
    read_config,
    type_name,
)

__all__ = [
    "ALGORITHMS",
    "CLAIMS",
    "PRECISIONS",
    "RATE_FACTOR",
    "RECIPES",
    "SHORT_TRIAL",
    "SPACE",
    "STUDIES",
    "ConfigError",
    "Search",
    "Study",
    "TrainingConfig",
    "changed_space",
    "find_study",
    "make_config",
    "parse_values",
    "read_config",
    "read_space",
    "type_name",
]
