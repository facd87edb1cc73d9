"""Reports of runs, tables of results, comparisons."""

from cnn_cifar10.reporting.comparison import (
    comparable_predictions,
    compare_predictions,
    format_summaries,
    name_runs,
    write_comparison,
)
from cnn_cifar10.reporting.inspection import describe_data, inspect_folder
from cnn_cifar10.reporting.report_page import format_metrics, format_per_class
from cnn_cifar10.reporting.results import (
    FULL_EPOCHS,
    add_result,
    read_results,
    read_tables,
    result_columns,
    summarize_results,
    summarize_times,
    summary_columns,
)
from cnn_cifar10.reporting.run_report import (
    check_report_place,
    find_report,
    is_report_of,
    read_report,
    remove_report,
    report_run,
)
from cnn_cifar10.reporting.tables import (
    Markdown,
    escape_markdown,
    format_cell,
    format_table,
    show_table,
)
from cnn_cifar10.reporting.templates import fill_template, write_filled

__all__ = [
    "FULL_EPOCHS", "Markdown", "add_result", "check_report_place", "comparable_predictions",
    "compare_predictions", "describe_data", "escape_markdown", "fill_template", "find_report",
    "format_cell", "format_metrics", "format_per_class", "format_summaries", "format_table",
    "inspect_folder", "is_report_of", "name_runs", "read_report", "read_results", "read_tables",
    "remove_report", "report_run", "result_columns", "show_table", "summarize_results",
    "summarize_times", "summary_columns", "write_comparison", "write_filled",
]  # fmt: skip
