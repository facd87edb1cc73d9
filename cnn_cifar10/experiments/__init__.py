"""Experiments of many runs: studies, searches and their reports."""

import importlib
from typing import TYPE_CHECKING

from cnn_cifar10.experiments.findings import judge_claims, measure_effects, write_findings
from cnn_cifar10.experiments.search_report import setting_importances, write_search
from cnn_cifar10.experiments.significance import (
    LEVEL,
    chance_difference,
    compare_with_reference,
    holm,
)
from cnn_cifar10.experiments.study_report import summarize_study, write_study
from cnn_cifar10.experiments.sweep import read_runs, run_study
from cnn_cifar10.utils import require_package

if TYPE_CHECKING:  # pages of reference and checks of types read it here
    from cnn_cifar10.experiments.tune import default_space, run_search

__all__ = [
    "LEVEL", "chance_difference", "compare_with_reference", "default_space", "holm",
    "judge_claims", "measure_effects", "read_runs", "run_search", "run_study",
    "setting_importances", "summarize_study", "write_findings", "write_search", "write_study",
]  # fmt: skip


def __getattr__(name):
    """Import what searches when it is first used: nothing else here needs KerasTuner."""
    if name not in ("default_space", "run_search"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_package("keras_tuner", "searches need", "'cnn-cifar10[tune]'")
    return getattr(importlib.import_module(f"{__name__}.tune"), name)
