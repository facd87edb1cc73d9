"""Configs of trainings, studies and searches, as data."""

from cnn_cifar10.configs.choices import (
    BANDWIDTH,
    FITS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    SELECTIONS,
    Loss,
    Optimizer,
    Schedule,
)
from cnn_cifar10.configs.recipes import FOLDER, RECIPES, make_config
from cnn_cifar10.configs.searches import (
    ALGORITHMS,
    RATE_FACTOR,
    SEARCH_ADDRESS,
    SHORT_TRIAL,
    SPACE,
    Search,
    changed_space,
    is_search_worker,
    parse_values,
    read_space,
)
from cnn_cifar10.configs.studies import Claim, Study, find_study, list_studies, read_claims
from cnn_cifar10.configs.training import (
    DATA_FIELDS,
    PRECISIONS,
    PROCESS_COUNTS,
    ConfigError,
    TrainingConfig,
    read_config,
    type_name,
)

__all__ = [
    "ALGORITHMS", "BANDWIDTH", "DATA_FIELDS", "FITS", "FOLDER", "LOSSES", "OPTIMIZERS",
    "PRECISIONS", "PROCESS_COUNTS", "RATE_FACTOR", "RECIPES", "SCHEDULES", "SEARCH_ADDRESS",
    "SELECTIONS", "SHORT_TRIAL", "SPACE", "Claim", "ConfigError", "Loss", "Optimizer",
    "Schedule", "Search", "Study", "TrainingConfig", "changed_space", "find_study",
    "is_search_worker", "list_studies", "make_config", "parse_values", "read_claims",
    "read_config", "read_space", "type_name",
]  # fmt: skip
