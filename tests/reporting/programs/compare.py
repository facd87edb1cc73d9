"""Summarizes a table as `cnn-cifar10 compare` does, and prints which slow libraries that loads."""

import sys

from cnn_cifar10.reporting import format_table, read_results, summarize_results, summary_columns

assert "| accuracy |" in format_table(
    summarize_results(read_results(sys.argv[1])), summary_columns()
)
print(*sorted({"keras", "matplotlib", "scipy", "sklearn", "tensorflow"} & set(sys.modules)))
