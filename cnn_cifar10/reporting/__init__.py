"""Reports of runs, tables of results, comparisons."""

from cnn_cifar10.reporting.comparison import (
    comparable_predictions,
    compare_predictions,
    write_comparison,
)
from cnn_cifar10.reporting.results import (
    add_result,
    read_results,
    result_columns,
    summarize_results,
    summarize_times,
    summary_columns,
)
from cnn_cifar10.reporting.run_report import (
    format_metrics,
    format_per_class,
    read_report,
    report_run,
)
from cnn_cifar10.reporting.tables import format_cell, format_table

__all__ = [
    "add_result", "comparable_predictions", "compare_predictions", "format_cell", "format_metrics",
    "format_per_class", "format_table", "read_report", "read_results", "report_run",
    "result_columns", "summarize_results", "summarize_times", "summary_columns",
    "write_comparison",
]  # fmt: skip
