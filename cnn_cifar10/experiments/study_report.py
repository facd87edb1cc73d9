"""Report of a study: variants compared by seed, verdicts, a page with its figure."""

import json
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cnn_cifar10 import plotting
from cnn_cifar10.configs import Study
from cnn_cifar10.experiments import significance
from cnn_cifar10.experiments.trainings import format_settings
from cnn_cifar10.reporting import format_table, write_filled
from cnn_cifar10.utils import InputError

REFERENCE, FAILED = "reference", "training failed"
_MEAN = ("mean", "std", "low", "high")
_DIFFERENCE = ("difference", "difference_low", "difference_high", "p_value")


def summarize_study(study: Study, rows: list[dict]) -> list[dict[str, Any]]:
    """Compare the variants of a study by their validation accuracy.

    Args:
        study: `Study`.
        rows: What `run_study` returns.

    Returns:
        A dict per variant that has runs, the highest mean first: `variant`;
        `verdict`; `mean`, `std`, `low` and `high`, the 95% interval; `difference`
        from the reference on the same seeds, `difference_low` and
        `difference_high`, its 95% interval; `p_value`, after Holm's correction for
        all variants; `values` and their `seeds`; `failed`, the number of runs
        without an accuracy; the mean `seconds` and the `parameters` of a run; and
        `place`, the values of the study's axes. What cannot be told is `None`.
    """
    accuracies: dict[str, dict[int, float]] = {label: {} for label in study.variants}
    for row in sorted(rows, key=lambda row: row["seed"]):
        if row["validation_accuracy"] is not None:
            accuracies[row["variant"]][row["seed"]] = row["validation_accuracy"]
    differences = significance.compare_with_reference(accuracies, study.reference)
    studied = {row["variant"] for row in rows}
    summaries = [
        {
            "variant": label,
            **dict(zip(_MEAN, significance.mean_interval(list(values.values())), strict=True)),
            **dict(zip(_DIFFERENCE, differences.get(label, (None,) * 4), strict=True)),
            "values": list(values.values()),
            "seeds": list(values),
            **_costs([row for row in rows if row["variant"] == label]),
            "place": [study.setting(label, axis) for axis in study.axes],
        }
        for label, values in accuracies.items()
        if label in studied
    ]
    corrected = significance.holm([row["p_value"] for row in summaries])
    for row, p in zip(summaries, corrected, strict=True):
        row["p_value"] = p
        row["verdict"] = significance.verdict(row["difference"], p)
        if row["variant"] == study.reference:
            row["verdict"] = REFERENCE
        if not row["values"]:
            row["verdict"] = FAILED
    return sorted(summaries, key=lambda row: -1 if row["mean"] is None else row["mean"])[::-1]


def _costs(runs):
    seconds = [row["seconds"] for row in runs if row["seconds"] is not None]
    return {
        "failed": sum(row["validation_accuracy"] is None for row in runs),
        "seconds": statistics.fmean(seconds) if seconds else None,
        "parameters": next((row["parameters"] for row in runs if row["parameters"]), None),
    }


def write_study(study: Study, rows: list[dict], output: str | Path) -> dict[str, Any]:
    """Write a study as a page with its figure, from its rows alone.

    The files are `report.md` and `accuracy.png`.

    Args:
        study: `Study`.
        rows: What `run_study` or `read_runs` returns.
        output: Folder to write to; created where missing.

    Returns:
        A dict: `study`, `question`, `answer` (sentences), `variants` (what
        `summarize_study` returns) and `runs` (the rows).

    Raises:
        InputError: If there are no rows.
    """
    if not rows:
        raise InputError(f"study {study.name!r} has no runs yet")
    summaries = summarize_study(study, rows)
    answer, cells = " ".join(_answer(study, summaries)), [_cells(row) for row in summaries]
    headings = {key: key for key in cells[0]} | {"mean": "validation accuracy"}
    made = sum(row["p_value"] is not None for row in summaries)
    write_filled(
        Path(output) / "report.md",
        Path(__file__).with_name("study.md"),
        {"accuracy.png": _figure(study, summaries)},
        name=study.name,
        question=study.question,
        answer=answer,
        table=format_table(cells, headings),
        shared=format_settings(_shared_settings(rows)),
        comparisons=made if len(summaries) > 1 else None,
        **_facts(rows),
    )
    return {
        **{"study": study.name, "question": study.question, "answer": answer},
        **{"variants": summaries, "runs": rows},
    }


def _answer(study, summaries):
    """Return what the runs say, in sentences."""
    if len(study.variants) == 1:
        (row,) = summaries
        if row["std"] is None:
            return ["Fewer than two runs do not show how far apart runs are."]
        chance = significance.chance_difference(row["std"], len(row["values"]))
        return [
            f"Runs that differ only in the seed reach {row['mean']:.2%} with a standard "
            f"deviation of {100 * row['std']:.2f} points ({len(row['values'])} seeds, "
            f"{min(row['values']):.2%} to {max(row['values']):.2%}).",
            f"So two single runs are more than {100 * chance:.2f} points apart one time in twenty "
            "by chance alone.",
        ]
    means = {row["variant"]: row["mean"] for row in summaries}
    if means.get(study.reference) is None:
        return [f"The reference, {study.reference}, has no accuracy to compare with."]
    sentences = [f"Compared with {study.reference} ({means[study.reference]:.2%}):"]
    for words in (*significance.VERDICTS, FAILED):
        labels = [_with_points(row) for row in summaries if row["verdict"] == words]
        if labels:
            sentences.append(f"{words.capitalize()}: {'; '.join(labels)}.")
    return sentences


def _with_points(row):
    if row["verdict"] == FAILED:
        return row["variant"]
    points = row["difference"] is not None and f"{100 * row['difference']:+.2f} points"
    return f"{row['variant']} ({points or 'no shared seed'})"


def _cells(row):
    def span(low, high, format):
        return "" if low is None else f"{low:{format}} to {high:{format}}"

    points = [row[key] and 100 * row[key] for key in _DIFFERENCE[:3]]
    count = len(row["values"])
    return {
        **{key: row[key] for key in ("variant", "mean", "std")},
        "95% interval": span(row["low"], row["high"], ".4f"),
        "difference (points)": "" if points[0] is None else f"{points[0]:+.2f}",
        "its 95% interval": span(*points[1:], "+.2f"),
        "p": "" if row["p_value"] is None else f"{row['p_value']:.2g}",
        "verdict": row["verdict"],
        "seeds": f"{count} of {count + row['failed']}" if row["failed"] else count,
        **{key: row[key] for key in ("parameters", "seconds")},
    }


def _facts(rows):
    """Return the values that the runs have, in words."""
    names = ("dataset", "hardware", "precision", "backend", "seed", "train_images")
    kinds = {name: sorted({row[name] for row in rows} - {None, ""}) for name in names}
    images = " or ".join(f"{count:,}" for count in kinds["train_images"])
    said = {name: ", ".join(map(str, values)) for name, values in kinds.items()}
    return said | {"train_images": images}


def _shared_settings(rows):
    """Return the settings that all runs have in common, options of the network among them."""
    configs = []
    for row in rows:
        config = json.loads(row["settings"] or "{}")
        options = config.pop("model_options", {})
        configs.append(config | options)
    common = configs[0].items()
    return {k: v for k, v in common if all(config.get(k) == v for config in configs)}


def _figure(study, summaries) -> Figure:
    if len(study.variants) == 1:
        return plotting.plot_seeds(summaries[0], study.question)
    shared = {"reference": study.reference, "title": study.question}
    if not study.axes:
        return plotting.plot_variants(summaries, **shared)
    if len(study.axes) == 1:
        return plotting.plot_variant_curve(summaries, study.axes[0], **shared)
    return plotting.plot_variant_grid(summaries, study.axes, **shared)
