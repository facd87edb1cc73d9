"""Report of a search: table of trials, importances of settings, a page, the best config."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from cnn_cifar10 import plotting
from cnn_cifar10.configs import Search
from cnn_cifar10.experiments.trainings import format_settings
from cnn_cifar10.reporting import format_cell, format_table, write_filled
from cnn_cifar10.training import Run
from cnn_cifar10.utils import InputError, read_sealed, write_csv, write_json

COMPLETED, FAILED, UNFINISHED = "completed", "failed", "unfinished"

_FEWEST = 8  # trials that a forest is grown from


def trial_run(folder: str | Path) -> Run:
    """Return the run of a trial's folder."""
    return Run(Path(folder) / "run")


def failure_path(run: Run) -> Path:
    """Return the file that says why a trial's run has no accuracy, where it has none."""
    return run.path / "failure.txt"


def read_trials(search: Search, state: str | Path) -> list[dict[str, Any]]:
    """Read the trials of a search, in the order they were started.

    Args:
        search: `Search`.
        state: Folder of KerasTuner's state; where there is none, there are no trials.

    Returns:
        A dict per trial: `trial`, its number; `status`, which is completed, failed or
        unfinished; `validation_accuracy` after the last epoch; a value for every name
        of the space; `epochs`, `parameters` and `seconds`; and `failure`, why there is
        no accuracy. What is not known is `None`.
    """
    path = Path(state) / "oracle.json"
    if not path.exists():
        return []
    order = read_sealed(path, "state of the search", InputError)["start_order"]
    return [_read_trial(search, path.with_name(f"trial_{name}")) for name in order]


def _read_trial(search, folder):
    trial = read_sealed(folder / "trial.json", "state of the trial", InputError)
    status = {"COMPLETED": COMPLETED, "FAILED": FAILED}.get(trial["status"], UNFINISHED)
    values, length = search.decode(trial["hyperparameters"]["values"])
    run = trial_run(folder)
    facts = run.facts() if run.is_finished else {}
    failure = ""
    if status == FAILED:
        said = failure_path(run)
        failure = said.read_text(encoding="utf-8") if said.exists() else "gave no number"
    return {
        "trial": int(trial["trial_id"]),
        "status": status,
        "validation_accuracy": trial["score"] if status == COMPLETED else None,
        **values,
        "epochs": facts.get("epochs", search.config(values, **length).epochs),
        **{name: facts.get(name) for name in ("parameters", "seconds")},
        "failure": failure,
    }


def write_trials(rows: list[dict], path: Path) -> None:
    """Write what `read_trials` returns as a table, one row a trial."""
    columns = list(rows[0]) if rows else []
    write_csv(path, columns, [[format_cell(name, row[name]) for name in columns] for row in rows])


def best_trial(rows: list[dict]) -> dict[str, Any] | None:
    """Return the completed trial with the highest validation accuracy, `None` if there is none."""
    completed = [row for row in rows if row["status"] == COMPLETED]
    return max(completed, key=lambda row: row["validation_accuracy"], default=None)


def setting_importances(
    space: dict[str, Any], rows: list[dict]
) -> tuple[dict[str, float] | None, float | None]:
    """Measure which settings the accuracy depends on.

    A random forest learns to tell the accuracy from the settings. A setting's
    importance is what shuffling it among the trials costs that forest
    ([Breiman, 2001](https://doi.org/10.1023/A:1010933404324)).

    Args:
        space: As in `Search`.
        rows: What `read_trials` returns.

    Returns:
        A dict of names to importances, the drop in R², the largest first; and the
        forest's R² on trials that its trees did not see: near or below 0, it has
        learned nothing, and the importances say nothing. Both are `None` where there
        are fewer than 8 completed trials.
    """
    rows = [row for row in rows if row["status"] == COMPLETED]
    if len(rows) < _FEWEST:
        return None, None
    lists = {name: values for name, values in space.items() if isinstance(values, list)}
    settings = [
        [lists[name].index(row[name]) if name in lists else row[name] for name in space]
        for row in rows
    ]
    accuracies = [row["validation_accuracy"] for row in rows]
    forest = RandomForestRegressor(500, oob_score=True, random_state=0).fit(settings, accuracies)
    found = permutation_importance(forest, settings, accuracies, n_repeats=30, random_state=0)
    order = np.argsort(-found.importances_mean)
    names = list(space)
    return {names[i]: float(found.importances_mean[i]) for i in order}, float(forest.oob_score_)


def write_search(search: Search, rows: list[dict], output: str | Path) -> dict[str, Any]:
    """Write the page of a search with its figures, and its best config.

    The files are `report.md`, `best.json` for `cnn-cifar10 train --config`,
    `parallel_coordinates.png` and, from 8 completed trials on, `importance.png`.

    Args:
        search: `Search`.
        rows: What `run_search` or `read_trials` returns.
        output: Folder to write to; created where missing.

    Returns:
        A dict: `answer` (a sentence), `best` (its row), `config` (what `best.json`
        holds), `importances`, `out_of_bag_r2`, and `trials` (the rows).

    Raises:
        InputError: If no trial is completed.
    """
    output, best = Path(output), best_trial(rows)
    if best is None:
        failures = [row["failure"] for row in rows if row["failure"]]
        why = f"; the first failure: {failures[0]}" if failures else ""
        raise InputError(f"{output}: none of {len(rows)} trials is completed{why}")
    output.mkdir(parents=True, exist_ok=True)
    config = search.full_config({name: best[name] for name in search.space}).to_dict()
    write_json(output / "best.json", config)
    importances, r2 = setting_importances(search.space, rows)
    title = f"{search.algorithm} search, {len(rows)} trials"
    lines = plotting.plot_parallel_coordinates(search.space, rows, title)
    figures = {"parallel_coordinates.png": lines}
    if importances and r2 is not None:
        figures["importance.png"] = plotting.plot_importances(importances, r2, title)
    answer = _answer(rows, best)
    trust = "which is worth a look" if (r2 or 0) > 0.3 else "so it has learned little or nothing"
    write_filled(
        output / "report.md",
        Path(__file__).with_name("search.md"),
        figures,
        name=output.name,
        output=output,
        answer=answer,
        settings=len(search.space),
        importance="importance.png" if importances else None,
        r2=r2,
        trust=trust,
        algorithm=search.algorithm,
        shared=format_settings({**search.base, **search.trial, "seed of the search": search.seed}),
        **_tables(search, rows),
    )
    found = {"importances": importances, "out_of_bag_r2": r2}
    return {"answer": answer, "best": best, "config": config, **found, "trials": rows}


def _answer(rows, best):
    counts = {
        status: sum(row["status"] == status for row in rows) for status in (FAILED, UNFINISHED)
    }
    others = "".join(f", {count} {status}" for status, count in counts.items() if count)
    return (
        f"The best of {len(rows)} trials{others}, trial {best['trial']}, reaches "
        f"{best['validation_accuracy']:.2%} of the validation images."
    )


def _tables(search, rows):
    """Return the best trials, the failed ones and the space, as tables."""
    completed = [row for row in rows if row["status"] == COMPLETED]
    top = sorted(completed, key=lambda row: -row["validation_accuracy"])[:10]
    columns = {name: name for name in rows[0] if name not in ("status", "failure")}
    failed = [row for row in rows if row["status"] == FAILED]
    space = [{"setting": name, "values": json.dumps(spec)} for name, spec in search.space.items()]
    return {
        "best": format_table(top, {**columns, "validation_accuracy": "validation accuracy"}),
        "failed": format_table(failed, ["trial", *search.space, "failure"]) if failed else None,
        "space": format_table(space),
    }
