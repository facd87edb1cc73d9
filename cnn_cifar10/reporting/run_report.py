"""Report of a run: evaluation, files, the document in report.json, the row in the results."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_cifar10 import utils
from cnn_cifar10.datasets import Dataset, ImageFiles
from cnn_cifar10.evaluation import (
    METRICS,
    Evaluation,
    confident_mistakes,
    evaluate_split,
    most_confused,
    profile_model,
    with_test_time_augmentation,
)
from cnn_cifar10.reporting.diagnostics import diagnose, draw_examples
from cnn_cifar10.reporting.predictions import (
    describe_images,
    image_key,
    save_predictions,
    write_images,
    write_predictions,
)
from cnn_cifar10.reporting.report_page import format_headline, format_report
from cnn_cifar10.reporting.results import (
    add_result,
    digest_config,
    read_results,
    refuse_other_run,
    remove_result,
    result_columns,
)
from cnn_cifar10.reporting.tables import format_cell, split_and_metric
from cnn_cifar10.reporting.tensorboard import log_report
from cnn_cifar10.utils import InputError, format_hardware, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cnn_cifar10.training import Run

logger = logging.getLogger(__name__)

_SPLITS = ("train", "validation", "test")
_TOP_CONFUSIONS, _TOP_MISTAKES = 10, 12
_TRAIN_SAMPLE = 5_000
_PHOTOGRAPHS = ("mistakes.png", "gradcam.png", "labels.png")
_SOMETIMES = (
    *("training_curves.png", "mistakes.png", "mistakes.csv", "predictions.csv"),
    *("calibration.png", "robustness.png", "gradcam.png", "labels.png", "label_issues.csv"),
)
_MATRIX_CLASSES = 100  # of which report.json holds the confusion matrix
_UNEQUAL = 1.5  # times as many images as the smallest class has
_REPORT = ("facts", "split", "metrics", "per_class", "most_confused", "headline")  # in part
_ISSUES = {"true_class": "label", "predicted_class": "suggested", "true_probability": "score"}


def report_run(
    run: "Run",
    dataset: Dataset,
    output_dir: str | Path,
    results_csv: str | Path,
    splits: tuple[str, ...] = _SPLITS,
    *,
    tta: bool = False,
    diagnostics: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Evaluate the model of a finished run, write its report and its row in the results.

    The row is not written if these are not the data that the run was trained with. A random
    sample of 5,000 images stands for the training split. Empty splits are left out.

    Args:
        run: `Run`.
        dataset: `Dataset` to evaluate on.
        output_dir: Folder of the report.
        results_csv: Path of the table of results.
        splits: Some of `"train"`, `"validation"` and `"test"`. A run that was trained
            on the validation split is not evaluated on it.
        tta: Whether to measure metrics with test-time augmentation too.
        diagnostics: Whether to examine the last of the splits with `diagnose`.
        overwrite: Whether the report and the row may be another run's, such as that which this
            one took the place of; nothing of them is kept.

    Returns:
        What `write_report` returns.

    Raises:
        InputError: If the data set has other classes than the model, the table is malformed,
            or the report or the row is another run's.
    """
    facts = run.facts()
    if facts["class_names"] != list(dataset.class_names):
        raise InputError(f"{run.path}: its model has other classes than {dataset.title}")
    own_data = facts["fingerprint"] in dataset.fingerprints
    check_report_place(facts, output_dir, results_csv if own_data else None, overwrite=overwrite)
    with utils.working_in(Path(output_dir)):
        utils.clear_parts(Path(output_dir))
        model = run.load_model()
        report = _evaluate(run, model, dataset, output_dir, splits, tta, diagnostics)
        if own_data:
            costs = profile_model(model, run.model_path)
            if overwrite:
                remove_result(results_csv, printable(facts["run"]))
            add_result(results_csv, result_row(facts, report["metrics"], costs))
            log_report(run, report, Path(output_dir))
    return report


def _evaluate(run, model, dataset, output_dir, splits, tta, diagnostics):
    """Evaluate a run's model and write its report."""
    skipped = {"validation"} if run.config().use_validation else set()
    images = {name: dataset.split(name) for name in _SPLITS if name in {*splits} - skipped}
    images = {name: split for name, split in images.items() if len(split)}
    if len(images.get("train", ())) > _TRAIN_SAMPLE:
        count = len(images["train"])
        chosen = np.random.default_rng(0).choice(count, _TRAIN_SAMPLE, replace=False)
        images["train"] = images["train"][chosen]

    def evaluate(model, names):
        return {name: evaluate_split(model, images[name], dataset.class_names) for name in names}

    evaluations, augmented, found = evaluate(model, images), {}, None
    if tta:
        judged = [name for name in images if name != "train"]
        augmented = evaluate(with_test_time_augmentation(model), judged)
    if diagnostics and evaluations:
        name = list(evaluations)[-1]
        # A temperature is not judged by the images that it was fitted to.
        validation = evaluations.get("validation") if name == "test" else None
        title = f"{dataset.title} {name} split"
        found = diagnose(model, images[name], evaluations[name], validation, title)
    return write_report(
        output_dir,
        facts=run.facts(),
        dataset=dataset,
        evaluations=evaluations,
        history=run.history(),
        augmented=augmented,
        diagnostics=found,
    )


def find_report(
    facts: Mapping[str, Any],
    report_dir: str | Path,
    results_csv: str | Path,
    splits: tuple[str, ...] = _SPLITS,
    *,
    tta: bool = False,
    diagnostics: bool = False,
) -> dict[str, Any] | None:
    """Return the report of a run, if that and its row are there with all that is asked for.

    Args:
        facts: What `run.json` holds.
        report_dir: Folder of the report.
        results_csv: Path of the table of results.
        splits: As for `report_run`.
        tta: As for `report_run`.
        diagnostics: As for `report_run`.
    """
    report_dir, results_csv = Path(report_dir), Path(results_csv)
    needed = (report_dir / "report.json", report_dir / "report.md", results_csv)
    if not all(path.exists() for path in needed):
        return None
    try:
        report = read_report(report_dir)
    except InputError:
        return None
    asked = {split for split in splits if facts["examples"][split]}
    judged = [each for split, each in report["metrics"].items() if split != "train"]
    is_whole = (
        is_report_of(report, facts)
        and asked == set(report["metrics"])
        and (not tta or all("tta_accuracy" in each for each in judged))
        and (not diagnostics or "diagnostics" in report)
        and any(row["run"] == printable(facts["run"]) for row in read_results(results_csv))
    )
    return report if is_whole else None


def is_report_of(report: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Return whether a report is of the run that these facts are of.

    Args:
        report: What `read_report` returns; its config lacks the folder of the data.
        facts: What `run.json` holds.
    """
    return {**report["facts"], "config": facts["config"]} == facts


def check_report_place(
    run: Mapping[str, Any],
    report_dir: str | Path,
    results_csv: str | Path | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Raise if a run's report and row cannot be written, or would replace another run's.

    Args:
        run: What `run.json` holds; before a training, what is known: `run` (its name), `id`,
            `model`, `dataset` (its title) and `seed`.
        report_dir: Folder of the report.
        results_csv: Path of the table of results; `None` checks none.
        overwrite: Whether those of another run may be there.

    Raises:
        InputError: If there is another run's report or row, or the places cannot be written.
    """
    report_dir, folders = Path(report_dir), [Path(report_dir)]
    if (report_dir / "report.json").exists() and not overwrite:
        refuse_other_run(f"{report_dir}: the report", _known_facts(report_dir, run), run)
    if results_csv is not None:
        folders.append(Path(results_csv).parent)
        if Path(results_csv).exists() and not overwrite:
            for row in read_results(results_csv):
                if row["run"] == printable(run["run"]):
                    refuse_other_run(f"{results_csv}: the row", row, run)
    for folder in folders:
        utils.check_writable(folder, InputError, "name another with --report, --results")


def _known_facts(report_dir, run):
    """Return the facts in a report; those of the run where the report is damaged."""
    try:
        return read_report(report_dir)["facts"]
    except (InputError, KeyError, TypeError):
        logger.warning("%s: the report is damaged; it is written anew", report_dir)
        return run


def remove_report(run: str, report_dir: str | Path, results_csv: str | Path) -> None:
    """Make room for a report and a row: of whichever run of this name is there, both go."""
    (Path(report_dir) / "report.json").unlink(missing_ok=True)
    remove_result(results_csv, printable(run))


def write_report(
    output_dir: str | Path,
    *,
    facts: dict[str, Any],
    dataset: Dataset,
    evaluations: dict[str, Evaluation],
    history: dict[str, list[float]],
    augmented: dict[str, Evaluation] | None = None,
    diagnostics: "tuple[dict, dict[str, Figure], list[dict]] | None" = None,
) -> dict[str, Any]:
    """Write the evaluation of a run as a page, as tables and as one document.

    The files are `report.md`, `report.json`, `predictions.npz`, `per_class.csv`,
    `confusion_matrix.csv`, `confusion_matrix.png`, `per_class.png`, and, where
    there is something to show, `training_curves.png`, `mistakes.png`, `mistakes.csv`,
    `predictions.csv` and `label_issues.csv`. They depend on the arguments alone. Such files
    of a report before are deleted.

    Args:
        output_dir: Folder to write to; created where missing.
        facts: What `run.json` of a run holds.
        dataset: `Dataset` that was evaluated.
        evaluations: Dict of `"train"`, `"validation"` and `"test"`, at least one
            of them, to `Evaluation`. The last in this order is reported in
            detail. All but `"train"`, which may be a sample, cover their split.
        history: Dict of lists, one value an epoch, as for `plot_history`.
        augmented: Dict of splits to `Evaluation` with test-time augmentation.
        diagnostics: What `diagnose` returns for the split in detail; its figures
            become files too.

    Returns:
        The document in `report.json`: `headline` (a sentence or two), `facts`, `data`, `split`
        (the one in detail), `metrics` (by split), `majority_baseline` (the largest `class` of
        the training split, and the `accuracy` of always answering it), `unequal` (whether the
        largest class of the split has 1.5 times the images of the smallest), `per_class`,
        `confusion_matrix` (of up to 100 classes), `most_confused`, `mistakes` (where the split
        was evaluated as a whole), `history`, and, where asked for, `diagnostics`.

    Raises:
        InputError: If evaluations are missing or do not belong to the data set.
    """
    evaluations = _check_evaluations(dataset, evaluations)
    split, evaluation = list(evaluations.items())[-1]
    report = _describe(facts, dataset, evaluations, history, augmented or {})
    output_dir, figures = Path(output_dir), _figures(report, dataset, evaluation.confusion_matrix)
    issues = None
    if diagnostics:
        report["diagnostics"], further, issues = diagnostics
        figures |= further
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in {*_SOMETIMES} - {*figures}:
        (output_dir / name).unlink(missing_ok=True)
    for name, figure in figures.items():
        # Photographs do not compress the way enlarged pixels do.
        large = name in _PHOTOGRAPHS and dataset.image_shape[0] > 64
        utils.write_figure(output_dir / name, figure, dpi=72 if large else 110)
    rows = report["per_class"]
    cells: Iterable = ([format_cell(*cell) for cell in row.items()] for row in rows)
    utils.write_csv(output_dir / "per_class.csv", rows[0], cells)
    names = dataset.class_names
    counted = zip(names, evaluation.confusion_matrix, strict=True)
    cells = ([name, *row.tolist()] for name, row in counted)
    utils.write_csv(output_dir / "confusion_matrix.csv", ["true class", *names], cells)
    save_predictions(output_dir / "predictions.npz", split, evaluation)
    if _covers(evaluation, dataset, split):
        write_predictions(output_dir, dataset.split(split), evaluation)
    if issues is not None:
        image = image_key(dataset.split(split))
        write_images(output_dir / "label_issues.csv", issues, {image: image, **_ISSUES})
    utils.write_page(output_dir / "report.md", format_report(report, figures))
    utils.write_sealed(output_dir / "report.json", report)
    return report


def _describe(facts, dataset, evaluations, history, augmented):
    """Return the document in `report.json`, without diagnostics."""
    split, evaluation = list(evaluations.items())[-1]
    metrics = {name: each.summary() for name, each in evaluations.items()}
    for name, each in augmented.items():
        metrics[name] |= each.summary(augmented=True)
    # The folder of the data on one machine means nothing to a reader on another.
    config = {key: value for key, value in facts["config"].items() if key != "data_dir"}
    mistakes = []
    if _covers(evaluation, dataset, split):
        worst = confident_mistakes(evaluation, _TOP_MISTAKES)
        mistakes = describe_images(dataset.split(split), evaluation, worst)
    majority = int(np.bincount(dataset.train.labels).argmax())
    few = dataset.num_classes <= _MATRIX_CLASSES
    matrix = {"confusion_matrix": evaluation.confusion_matrix.tolist()} if few else {}
    held = np.bincount(evaluation.labels, minlength=dataset.num_classes)
    report = {
        "facts": {**facts, "config": config},
        "data": _describe_data(dataset, facts),
        "split": split,
        "metrics": metrics,
        "majority_baseline": {
            "class": dataset.class_names[majority],
            "accuracy": float((evaluation.labels == majority).mean()),
        },
        "unequal": bool(held.max() >= _UNEQUAL * held.min()),
        "per_class": evaluation.per_class(),
        **matrix,
        "most_confused": most_confused(evaluation, _TOP_CONFUSIONS),
        "mistakes": mistakes,
        "history": {key: [float(value) for value in values] for key, values in history.items()},
    }
    return {"headline": format_headline(report), **report}


def _describe_data(dataset, facts):
    own = (known := facts["fingerprint"]) in dataset.fingerprints
    fingerprint, notes = known if own else dataset.fingerprint, list(dataset.notes)
    if own and facts["config"].get("use_validation"):
        dataset = dataset.with_validation_in_train()
        notes.append("Trained on the validation images too; no epoch was chosen by them.")
    counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
    images = dataset.train.images
    return {
        "title": dataset.title,
        "fingerprint": fingerprint,
        "images": {name: len(dataset.split(name)) for name in _SPLITS},
        "classes": dataset.num_classes,
        "smallest": int(counts.min()),
        "largest": int(counts.max()),
        "size": list(dataset.image_shape[:2]),
        "fit": images.fit if isinstance(images, ImageFiles) else None,
        "notes": notes,
    }


def read_report(folder: str | Path) -> dict[str, Any]:
    """Return the document in the `report.json` of a report.

    Raises:
        InputError: If the folder holds no report.
    """
    path = Path(folder) / "report.json"
    try:
        report = utils.read_sealed(path, "report", InputError)
        if missing := [key for key in _REPORT if key not in report]:
            raise InputError(f"{path}: does not say {', '.join(missing)}")
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(
            f"{path}: no report ({reason}); run `cnn-cifar10 evaluate`, or name it with --report"
        ) from error
    return utils.printable_document(report, keep=("config", "network"))


def _check_evaluations(dataset, evaluations):
    """Return the evaluations in the order of the splits."""
    if not evaluations or not set(evaluations) <= set(_SPLITS):
        raise InputError(
            f"evaluations must be of some of {', '.join(_SPLITS)}, received {list(evaluations)}"
        )
    for split, evaluation in evaluations.items():
        if evaluation.class_names != tuple(dataset.class_names):
            raise InputError(f"evaluations[{split!r}] has other class names than {dataset.title}")
        if split != "train" and not _covers(evaluation, dataset, split):
            raise InputError(
                f"evaluations[{split!r}] must hold the {len(dataset.split(split))} labels of "
                f"{dataset.title}'s {split} split in order; it has {len(evaluation.labels)}, or "
                "others"
            )
    return {split: evaluations[split] for split in _SPLITS if split in evaluations}


def _covers(evaluation, dataset, split):
    return np.array_equal(evaluation.labels, dataset.split(split).labels)


def _figures(report, dataset, matrix):
    """Return `{file name: figure}`."""
    from cnn_cifar10 import plotting

    facts, title = report["facts"], f"{dataset.title} {report['split']} split"
    figures = {
        "confusion_matrix.png": plotting.plot_confusion_matrix(matrix, dataset.class_names, title),
        "per_class.png": plotting.plot_per_class(report["per_class"], title),
    }
    if report["history"]:
        figures["training_curves.png"] = plotting.plot_history(
            report["history"], f"{facts['model']} on {facts['dataset']}, seed {facts['seed']}"
        )
    if mistakes := report["mistakes"]:
        title = f"{title}: the most confident mistakes"
        figures["mistakes.png"] = draw_examples(dataset.split(report["split"]), mistakes, title)
    return figures


def result_row(
    facts: dict[str, Any], metrics: dict[str, dict], costs: dict[str, float | None]
) -> dict[str, Any]:
    """Return the row of a run for `add_result`; what was not measured is `None`.

    Args:
        facts: As for `write_report`.
        metrics: Dict of splits to metrics, as in `report.json`.
        costs: What `profile_model` returns.
    """
    row = {}
    for column in result_columns():
        split, name = split_and_metric(column)
        row[column] = metrics.get(split, {}).get(name) if name in METRICS else facts.get(column)
    row |= {"run": printable(facts["run"]), "hardware": format_hardware(facts["hardware"])}
    # Older runs have neither an id nor a digest.
    row |= {"config": digest_config(facts) if facts.get("id") else None}
    notes = [facts.get("fall", {}).get("reason")]
    if facts["config"].get("use_validation"):
        notes.append("trained on the validation images too")
    return row | costs | {"note": "; ".join(filter(None, notes)) or None}
