"""The runs of a study to an answer: variants compared by seed, a page with its figure."""

import json
import statistics
from pathlib import Path

from cnn_cifar10 import plotting
from cnn_cifar10.experiments.significance import (
    BETTER,
    NO_DIFFERENCE,
    UNKNOWN,
    WORSE,
    chance_difference,
    compare_with_reference,
    holm,
    mean_interval,
    verdict,
)
from cnn_cifar10.reporting import format_table
from cnn_cifar10.utils import InputError, write_figure, write_page

REFERENCE, FAILED = "reference", "training failed"


def summarize_study(study, rows):
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
        without a figure; the mean `seconds` and the `parameters` of a run; and
        `place`, the values of the study's axes. What cannot be told is `None`.
    """
    accuracies = {label: {} for label in study.variants}
    for row in sorted(rows, key=lambda row: row["seed"]):
        if row["validation_accuracy"] is not None:
            accuracies[row["variant"]][row["seed"]] = row["validation_accuracy"]
    differences = compare_with_reference(accuracies, study.reference)
    summaries = []
    for label, values in accuracies.items():
        runs = [row for row in rows if row["variant"] == label]
        if not runs:
            continue
        seconds = [row["seconds"] for row in runs if row["seconds"] is not None]
        summaries.append(
            {
                "variant": label,
                **dict(zip(_MEAN, mean_interval(list(values.values())), strict=True)),
                **dict(zip(_DIFFERENCE, differences.get(label, (None,) * 4), strict=True)),
                "values": list(values.values()),
                "seeds": list(values),
                "failed": len(runs) - len(values),
                "seconds": statistics.fmean(seconds) if seconds else None,
                "parameters": next((row["parameters"] for row in runs if row["parameters"]), None),
                "place": [study.setting(label, axis) for axis in study.axes],
            }
        )
    for row, p in zip(summaries, holm([row["p_value"] for row in summaries]), strict=True):
        row["p_value"] = p
        row["verdict"] = _verdict(study, row)
    return sorted(summaries, key=lambda row: -1 if row["mean"] is None else row["mean"])[::-1]


_MEAN = ("mean", "std", "low", "high")
_DIFFERENCE = ("difference", "difference_low", "difference_high", "p_value")


def _verdict(study, row):
    if not row["values"]:
        return FAILED
    if row["variant"] == study.reference:
        return REFERENCE
    return verdict(row["difference"], row["p_value"])


def write_study(study, rows, output):
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
    output, summaries = Path(output), summarize_study(study, rows)
    answer, cells = " ".join(_answer(study, summaries)), [_cells(row) for row in summaries]
    headings = {key: key for key in cells[0]} | {"mean": "validation accuracy"}
    parts = [
        f"# {study.name}: {study.question}",
        answer,
        "![Validation accuracy of each variant](accuracy.png)",
        format_table(cells, headings),
        *_method(study, rows, summaries),
    ]
    output.mkdir(parents=True, exist_ok=True)
    write_figure(output / "accuracy.png", _figure(study, summaries))
    write_page(output / "report.md", parts)
    return {
        "study": study.name,
        "question": study.question,
        "answer": answer,
        "variants": summaries,
        "runs": rows,
    }


def _answer(study, summaries):
    """Return what the runs say, in sentences."""
    if len(study.variants) == 1:
        (row,) = summaries
        if row["std"] is None:
            return ["How far apart runs are cannot be told from fewer than two."]
        chance = chance_difference(row["std"], len(row["values"]))
        return [
            f"Runs that differ in nothing but the seed reach {row['mean']:.2%} with a standard "
            f"deviation of {100 * row['std']:.2f} points ({len(row['values'])} seeds, "
            f"{min(row['values']):.2%} to {max(row['values']):.2%}).",
            f"So two single runs are more than {100 * chance:.2f} points apart one time in twenty "
            "by chance alone.",
        ]
    means = {row["variant"]: row["mean"] for row in summaries}
    if means.get(study.reference) is None:
        return [f"The reference, {study.reference}, has no figure to compare with."]
    sentences = [f"Compared with {study.reference} ({means[study.reference]:.2%}):"]
    for words in (BETTER, WORSE, NO_DIFFERENCE, UNKNOWN, FAILED):
        labels = [
            row["variant"] + ("" if words == FAILED else f" ({_points(row['difference'])})")
            for row in summaries
            if row["verdict"] == words
        ]
        if labels:
            sentences.append(f"{words.capitalize()}: {'; '.join(labels)}.")
    return sentences


def _points(difference):
    return "no shared seed" if difference is None else f"{100 * difference:+.2f} points"


def _cells(row):
    def span(low, high, format):
        return "" if low is None else f"{low:{format}} to {high:{format}}"

    points = [row[key] and 100 * row[key] for key in _DIFFERENCE[:3]]
    count = len(row["values"])
    return {
        "variant": row["variant"],
        "mean": row["mean"],
        "std": row["std"],
        "95% interval": span(row["low"], row["high"], ".4f"),
        "difference (points)": "" if points[0] is None else f"{points[0]:+.2f}",
        "its 95% interval": span(*points[1:], "+.2f"),
        "p": "" if row["p_value"] is None else f"{row['p_value']:.2g}",
        "verdict": row["verdict"],
        "seeds": f"{count} of {count + row['failed']}" if row["failed"] else count,
        "parameters": row["parameters"],
        "seconds": row["seconds"],
    }


def _method(study, rows, summaries):
    """Return how the figures came about, in paragraphs."""
    kinds = {
        name: sorted({row[name] for row in rows if row[name] not in (None, "")})
        for name in ("dataset", "hardware", "precision", "backend", "seed")
    }
    said = {name: ", ".join(map(str, values)) for name, values in kinds.items()}
    configs = [json.loads(row["settings"]) for row in rows]
    options = [config.pop("model_options", {}) for config in configs]
    configs = [config | more for config, more in zip(configs, options, strict=True)]
    common = {
        key: value
        for key, value in configs[0].items()
        if all(config.get(key) == value for config in configs)
    }
    images = sorted({row["train_images"] for row in rows})
    paragraphs = [
        f"Validation accuracy after the last epoch on {said['dataset']}, of models trained on "
        f"{' or '.join(f'{count:,}' for count in images)} images; seeds {said['seed']}; seconds of "
        f"training on {said['hardware']} ({said['precision']}, {said['backend']}). The test split "
        "was not used. Every run is a row of [runs.csv](runs.csv).",
        "What all runs share, beside `TrainingConfig`'s defaults: "
        + ", ".join(f"`{key}={json.dumps(value)}`" for key, value in common.items())
        + ".",
    ]
    if len(summaries) > 1:
        made = sum(row["p_value"] is not None for row in summaries)
        paragraphs.append(
            "A difference is the mean over pairs of runs of the same seed; its verdict is that of "
            "a t-test at 5%, paired by seed, whose chance is estimated from all variants "
            f"together, with Holm's correction of p for the number of comparisons, {made}; each "
            "interval is of its comparison alone. *No difference seen* does not mean that there "
            "is none: few seeds show only large differences."
        )
    return paragraphs


def _figure(study, summaries):
    if len(study.variants) == 1:
        return plotting.plot_seeds(summaries[0], study.question)
    if not study.axes:
        return plotting.plot_variants(summaries, study.reference, study.question)
    if len(study.axes) == 1:
        return plotting.plot_variant_curve(
            summaries, study.axes[0], study.reference, study.question
        )
    return plotting.plot_variant_grid(summaries, study.axes, study.reference, study.question)
