"""The table of results: round trips, replacement, sorting, summaries by hand."""

import csv
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cnn_cifar10.configs import TrainingConfig
from cnn_cifar10.reporting import (
    FULL_EPOCHS,
    Markdown,
    add_result,
    escape_markdown,
    format_cell,
    format_table,
    read_report,
    read_results,
    read_tables,
    result_columns,
    show_table,
    summarize_results,
    summarize_times,
    summary_columns,
)
from cnn_cifar10.reporting.results import digest_config, remove_result
from cnn_cifar10.reporting.run_report import result_row
from cnn_cifar10.utils import InputError, warn_once, write_csv

# The figures and headings of these metrics are spelled out here.
pytestmark = pytest.mark.usefixtures("known_metrics")

REPORTS = Path(__file__).parents[2] / "reports"


def row(run, **values):
    return {"run": run, "model": "m", "dataset": "d", "seed": 0, "accuracy": 0.5, **values}


def test_a_table_that_was_changed_is_read_with_a_warning(tmp_path, caplog):
    path = tmp_path / "results.csv"
    add_result(path, row("a"))
    add_result(path, row("b", accuracy=0.25))
    read_results(path)
    assert not caplog.text
    whole = path.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 7)
        path.write_bytes(changed)
        caplog.clear()
        warn_once.cache_clear()
        try:
            read_results(path)
        except InputError as error:
            caplog.handler.stream.write(str(error))
        assert str(path) in caplog.text
    path.write_bytes(whole.replace(b"0.2500", b"0.2600"))  # as people do
    add_result(path, row("c"))
    assert [each["accuracy"] for each in read_results(path)] == [0.5, 0.26, 0.5]
    caplog.clear()
    warn_once.cache_clear()
    read_results(path)
    assert not caplog.text


def test_a_table_of_before_or_half_written_is_no_reason_for_a_warning(tmp_path, caplog):
    path = tmp_path / "results.csv"
    add_result(path, row("a"))
    Path(f"{path}.sha256").unlink()
    read_results(path)
    add_result(path, row("b"))
    before = path.read_bytes()
    add_result(path, row("c"))
    path.write_bytes(before)  # killed after the checksums were written
    (tmp_path / ".part123.results.csv").touch()
    assert len(read_results(path)) == 2
    assert not caplog.text
    add_result(path, row("c"))
    assert {each.name for each in tmp_path.iterdir()} == {
        *("results.csv", "results.csv.sha256", ".results.csv.lock"),
    }


def test_results_come_back_sorted_and_as_numbers(tmp_path):
    path = tmp_path / "new" / "results.csv"
    given = row(
        "d-m-seed2",
        seed=2,
        accuracy=0.93126,
        loss=np.float32(0.25),
        seconds=12,
        images_per_second=2110.4,
        mflops=40.812,
        megabytes=1.27,
        latency_ms=3.06,
        hardware='A "fast" CPU, 2 cores',
        fingerprint="0123456789abcdef",
    )
    for each in (given, row("d-m-seed10", seed=10), row("d-a-seed3", model="a", seed=3)):
        add_result(path, each)
    add_result(path, row("c-z-seed0", dataset="c", model="z"))
    rows = read_results(path)
    assert [r["run"] for r in rows] == ["c-z-seed0", "d-a-seed3", "d-m-seed2", "d-m-seed10"]
    assert tuple(rows[2]) == result_columns()
    assert rows[2] | {"commit": ""} == {
        **dict.fromkeys(result_columns()),
        **dict.fromkeys(("precision", "backend", "commit", "id", "config", "note"), ""),
        **given,
        "accuracy": 0.9313,
        "loss": 0.25,
        "seconds": 12.0,
        "images_per_second": 2110.0,
        "mflops": 40.8,
        "megabytes": 1.3,
        "latency_ms": 3.1,
        "fingerprint": "0123456789ab",
    }
    assert path.read_text().splitlines()[0] == ",".join(result_columns())


def test_a_table_is_shown_rendered_in_a_notebook(monkeypatch):
    rows = [{"name": "a", "share": 0.5}, {"name": "b", "share": 1.0}]
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    show_table(rows, {"share": "Share"})
    assert shown[0]._repr_markdown_() == format_table(rows, {"share": "Share"})


def test_a_table_may_have_columns_of_its_own(tmp_path):
    columns = ("run", "model", "dataset", "seed", "fingerprint", "train_images", "failure")
    path, given = tmp_path / "runs.csv", {"run": "a", "train_images": 7, "failure": "a, b"}
    add_result(path, given, columns)
    assert read_results(path, columns) == [
        {**dict.fromkeys(columns, ""), "seed": None, **given},
    ]
    with pytest.raises(InputError, match="unknown columns \\['accuracy'\\]: use run, model"):
        add_result(path, {"run": "b", "accuracy": 0.5}, columns)


def test_result_of_the_same_run_is_replaced(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0", accuracy=0.1))
    add_result(path, row("d-m-seed1", seed=1, seconds=1.25, loss=0.12345))
    before = path.read_text().splitlines()
    add_result(path, row("d-m-seed0", accuracy=0.2))
    after = path.read_text().splitlines()
    assert [r["accuracy"] for r in read_results(path)] == [0.2, 0.5]
    assert after[2] == before[2]
    assert len(after) == 3
    assert {file.name for file in tmp_path.iterdir()} <= {
        *("results.csv", "results.csv.sha256", ".results.csv.lock"),
    }


def test_runs_that_end_at_the_same_moment_keep_all_rows(tmp_path):
    path = tmp_path / "results.csv"
    rows = [row(f"d-m-seed{seed}", seed=seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda each: add_result(path, each), rows))
    assert [r["seed"] for r in read_results(path)] == list(range(16))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "first line"),
        (lambda text: text.replace("run,", "name,", 1), "first line must name .*, run among them"),
        (lambda text: text.replace("macro_f1", "loss"), "first line must name .* each once"),
        (lambda text: text.replace("0.5000", "good"), "line 2: accuracy must be a number.*'good'"),
        (lambda text: text.replace("0.5000", "nan"), "line 2: accuracy must be a number"),
        (lambda text: text + "a,b\n", r"line 3: expected \d+ cells, received 2"),
        (lambda text: "\udcff", "cannot be read"),
    ],
)
def test_malformed_results_are_refused_and_kept(tmp_path, damage, message):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0"))
    path.write_text(damage(path.read_text()), encoding="utf-8", errors="surrogateescape")
    before = path.read_bytes()
    for call in (lambda: read_results(path), lambda: add_result(path, row("other"))):
        with pytest.raises(InputError, match=message) as error:
            call()
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)
    assert path.read_bytes() == before


def without(path, column):
    """Take a column out of a table, as if an older version had written it."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != column]
    write_csv(path, names, [[row[name] for name in names] for row in rows])


def test_a_table_without_a_column_is_read_and_gets_it(tmp_path):
    path = tmp_path / "results.csv"
    for seed in (0, 1):
        add_result(path, row(f"d-m-seed{seed}", seed=seed, macro_f1=0.25, hardware="a, b"))
    without(path, "macro_f1")
    without(path, "hardware")
    before = path.read_text().splitlines()
    rows = read_results(path)
    assert [(r["macro_f1"], r["hardware"], r["accuracy"]) for r in rows] == 2 * [(None, None, 0.5)]
    add_result(path, row("d-m-seed1", seed=1, macro_f1=0.75, hardware="c"))
    after = path.read_text().splitlines()
    assert after[:2] == [f"{before[0]},macro_f1,hardware", f"{before[1]},,"]
    assert [r["macro_f1"] for r in read_results(path)] == [None, 0.75]
    assert set(read_results(path)[0]) == set(result_columns())


def test_columns_of_a_newer_version_and_cells_of_other_rows_are_kept_as_they_are(tmp_path):
    path = tmp_path / "results.csv"
    for seed in (0, 1):
        add_result(path, row(f"d-m-seed{seed}", seed=seed))
    lines = path.read_text().replace("0.5000", "0.50001").splitlines()
    extra = ("skill", '"a ""b"", 1.50"', "007")
    path.write_text("".join(f"{cell},{line}\n" for cell, line in zip(extra, lines, strict=True)))
    assert [r["skill"] for r in read_results(path)] == ['a "b", 1.50', "007"]
    before = path.read_text().splitlines()
    add_result(path, row("d-m-seed2", seed=2))
    assert path.read_text().splitlines()[:3] == before
    assert [r["skill"] for r in read_results(path)] == ['a "b", 1.50', "007", ""]
    add_result(path, row("d-m-seed1", seed=1))  # which is written anew, with what is unknown
    assert path.read_text().splitlines()[2] == before[2].replace("0.50001", "0.5000")


def test_the_table_of_the_repository_stays_as_it_is_where_nothing_new_is_measured(tmp_path):
    path, name = tmp_path / "results.csv", "cifar10-custom_cnn-seed0"
    before = (REPORTS / "results.csv").read_bytes()
    path.write_bytes(before)
    rows = {found["run"]: found for found in read_results(path)}
    assert len(rows) == len(before.splitlines()) - 1
    add_result(path, rows[name])
    assert path.read_bytes() == before
    report, costs = read_report(REPORTS / name), ("mflops", "megabytes", "latency_ms")
    measured = result_row(
        report["facts"], report["metrics"], {key: rows[name][key] for key in costs}
    )
    add_result(path, measured | {"commit": rows[name]["commit"]})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("folder", "reported"), [(REPORTS, 14), (REPORTS / "gpu", 9)], ids=["two cores", "gpu"]
)
def test_rows_of_the_repository_hold_what_their_reports_measured(folder, reported):
    reports = {path.parent.name: read_report(path.parent) for path in folder.glob("*/report.json")}
    rows = [row for row in read_results(folder / "results.csv") if row["run"] in reports]
    assert len(rows) == reported
    for found in rows:
        report = reports[found["run"]]
        costs = {key: found[key] for key in ("mflops", "megabytes", "latency_ms")}
        row = result_row(report["facts"], report["metrics"], costs)
        row["fingerprint"] = row["fingerprint"][:12]
        assert folder == REPORTS or found["compile_seconds"] > 0
        for column in set(row) - {"commit", "note"}:
            assert format_cell(column, row[column]) == format_cell(column, found[column])


def test_every_table_of_the_repository_is_read():
    for path in sorted(REPORTS.glob("**/results.csv")):
        assert read_results(path), path


def test_summaries_are_quick(run_program):
    assert run_program("compare.py", REPORTS / "results.csv").split() == []


def test_missing_results_and_unknown_columns(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_results(tmp_path / "none.csv")
    with pytest.raises(InputError, match="'acc'"):
        add_result(tmp_path / "results.csv", row("d-m-seed0", acc=1.0))
    with pytest.raises(InputError, match="must name its run"):
        add_result(tmp_path / "results.csv", row(""))


def test_summary_by_hand(tmp_path):
    path = tmp_path / "results.csv"
    for seed, accuracy, seconds in ((0, 0.90, 10), (1, 0.92, 20), (2, 0.97, 60)):
        add_result(path, row(f"d-m-seed{seed}", seed=seed, accuracy=accuracy, seconds=seconds))
    add_result(path, row("d-m-wide-seed0", accuracy=0.95))
    add_result(path, row("d-m-narrow-seed0", accuracy=None, validation_accuracy=0.8))
    rows = read_results(path)
    first, second = summarize_results(rows)
    assert first == {
        "run": "d-m-wide",
        "dataset": "d",
        "model": "m",
        "parameters": None,
        "epochs": None,
        "hardware": "",
        "fingerprint": "",
        "config": "",
        "full": True,
        "mean": 0.95,
        "std": None,
        "n": 1,
        "runs": ["d-m-wide-seed0"],
        "seeds": [0],
        "note": "",
        "tta_accuracy": None,
        "macro_f1": None,
        "seconds": None,
        "compile_seconds": None,
        "images_per_second": None,
        "mflops": None,
        "megabytes": None,
        "latency_ms": None,
    }
    assert set(summary_columns()) <= set(first)
    assert second["run"] == "d-m"
    assert second["runs"] == ["d-m-seed0", "d-m-seed1", "d-m-seed2"]
    assert second["seeds"] == [0, 1, 2]
    assert second["n"] == 3
    assert second["mean"] == pytest.approx(0.93)
    assert second["std"] == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert second["seconds"] == pytest.approx(30)
    assert [s["run"] for s in summarize_results(rows, "validation_accuracy")] == ["d-m-narrow"]


def test_runs_of_other_lengths_are_not_averaged(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0", epochs=20, accuracy=0.9))
    add_result(path, row("d-m-seed1", epochs=5, accuracy=0.5, seed=1))
    assert [(s["epochs"], s["mean"]) for s in summarize_results(read_results(path))] == [
        (20, 0.9),
        (5, 0.5),
    ]


def test_runs_of_one_config_that_stopped_early_are_averaged(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0", epochs=12, accuracy=0.8, config="c"))
    add_result(path, row("d-m-seed1", epochs=14, accuracy=0.9, config="c", seed=1))
    (summary,) = summarize_results(read_results(path))
    assert (summary["epochs"], summary["seeds"], summary["full"]) == (13, [0, 1], True)
    assert summary["mean"] == pytest.approx(0.85)


def test_what_is_not_measured_again_of_the_same_run_stays(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m", id="a1", accuracy=0.9, tta_accuracy=0.92))
    add_result(path, row("d-m", id="a1", accuracy=None, validation_accuracy=0.88))
    (found,) = read_results(path)
    kept = ("accuracy", "tta_accuracy", "validation_accuracy")
    assert [found[name] for name in kept] == [0.9, 0.92, 0.88]


def test_a_run_that_two_tables_have_is_refused(tmp_path):
    add_result(tmp_path / "a.csv", row("d-m-seed0"))
    add_result(tmp_path / "b.csv", row("d-m-seed0"))
    with pytest.raises(InputError, match=r"a\.csv, .*b\.csv: more than one has .* d-m-seed0;"):
        read_tables([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_full_trainings_come_first_and_an_unknown_length_counts_as_full(tmp_path):
    path = tmp_path / "results.csv"
    for run, epochs, accuracy in (
        ("a", FULL_EPOCHS - 1, 0.9),
        ("b", FULL_EPOCHS, 0.5),
        ("c", None, 0.6),
        ("d", 1, 0.95),
    ):
        add_result(path, row(run, epochs=epochs, accuracy=accuracy))
    summaries = summarize_results(read_results(path))
    assert [(s["run"], s["full"]) for s in summaries] == [
        ("c", True),
        ("b", True),
        ("d", False),
        ("a", False),
    ]


def test_tables_of_other_folders_are_read_as_one_and_runs_name_the_folder(tmp_path):
    tables = [tmp_path / "a" / name for name in ("results.csv", "gpu/results.csv", "speed.csv")]
    tables.append(tmp_path / "results.csv")
    for number, path in enumerate(tables):
        add_result(path, row("d-m-seed2" if number == 2 else "d-m-seed0", epochs=number))
    rows = read_tables(tables)
    assert [(found["run"], found["epochs"]) for found in rows] == [
        ("d-m-seed0", 0),
        ("gpu/d-m-seed0", 1),
        ("d-m-seed2", 2),
        ("../d-m-seed0", 3),
    ]
    assert read_tables(tables[:1]) == read_results(tables[0])
    assert read_tables([tables[1], tables[0]])[0]["run"] == "d-m-seed0"


def test_a_note_stays_where_the_run_is_measured_again_unless_there_is_a_new_one(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0", note="too high a learning rate"))
    add_result(path, row("d-m-seed0", accuracy=0.6))
    (found,) = read_results(path)
    assert (found["accuracy"], found["note"]) == (0.6, "too high a learning rate")
    for note in ("fell back to chance", "fell back to chance; beside other work"):
        add_result(path, row("d-m-seed0", note=note))
        assert read_results(path)[0]["note"] == note
    add_result(path, row("d-m-seed0", note="fell back to chance"))
    assert read_results(path)[0]["note"] == "fell back to chance; beside other work"


def test_each_note_of_several_seeds_is_shown_once(tmp_path):
    path = tmp_path / "results.csv"
    for seed, note in enumerate(("slow", None, "slow", "fell")):
        add_result(path, row(f"d-m-seed{seed}", seed=seed, note=note))
    (summary,) = summarize_results(read_results(path))
    assert summary["note"] == "slow; fell"


def test_a_row_notes_what_a_reader_must_know_and_what_compiling_took():
    hardware = {"cpu": "A", "cores": 2, "gpu": None}
    facts = {"run": "r", "hardware": hardware, "compile_seconds": 1.5, "config": {}}
    measured = result_row(facts, {}, {})
    assert (measured["compile_seconds"], measured["note"]) == (1.5, None)
    fallen = {**facts, "fall": {"epoch": 4, "reason": "the loss became nan in epoch 4"}}
    assert result_row(fallen, {}, {})["note"] == "the loss became nan in epoch 4"
    unchosen = {**fallen, "config": {"use_validation": True}}
    assert result_row(unchosen, {}, {})["note"] == (
        "the loss became nan in epoch 4; trained on the validation images too"
    )


def test_runs_on_other_hardware_are_not_averaged(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0", hardware="slow", latency_ms=8.0))
    add_result(path, row("d-m-seed1", hardware="fast", latency_ms=2.0, seed=1, accuracy=0.9))
    add_result(path, row("d-m-seed2", hardware="slow", latency_ms=6.0, seed=2))
    summaries = summarize_results(read_results(path))
    assert [(s["hardware"], s["seeds"], s["latency_ms"]) for s in summaries] == [
        ("fast", [1], 2.0),
        ("slow", [0, 2], 7.0),
    ]


@pytest.mark.parametrize(
    ("column", "first", "second", "told"),
    [
        ("fingerprint", "1" * 12, "2" * 12, "data 111111111111"),
        ("config", "aaaaaaaa", "bbbbbbbb", "config aaaaaaaa"),
    ],
)
def test_runs_on_other_data_or_of_another_config_are_not_averaged(
    tmp_path, column, first, second, told
):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0", accuracy=0.9, **{column: first}))
    add_result(path, row("d-m-seed1", accuracy=0.8, seed=1, **{column: first}))
    add_result(path, row("d-m-seed2", accuracy=0.5, seed=2, **{column: second}))
    add_result(path, row("d-m-seed3", accuracy=0.4, seed=3))
    summaries = summarize_results(read_results(path))
    assert [s["mean"] for s in summaries] == pytest.approx([0.85, 0.5, 0.4])
    assert [s["seeds"] for s in summaries] == [[0, 1], [2], [3]]
    names = [s["run"] for s in summaries]
    assert names[0] == f"d-m ({told})"
    assert names[2] == f"d-m ({told.split()[0]} unknown)"


def test_cells_that_older_tables_lack_are_one_value(tmp_path):
    tables = [tmp_path / "older.csv", tmp_path / "newer.csv"]
    for seed, path in enumerate(tables):
        add_result(path, row(f"d-m-seed{seed}", seed=seed))
    without(tables[0], "config")
    rows = [found for path in tables for found in read_results(path)]
    assert [found["config"] for found in rows] == [None, ""]
    (summary,) = summarize_results(rows)
    assert (summary["run"], summary["n"]) == ("d-m", 2)


def test_a_table_gets_only_the_columns_that_a_row_fills(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0"))
    for column in ("id", "config", "balanced_accuracy"):
        without(path, column)
    before = path.read_text().splitlines()
    add_result(path, row("d-m-seed1", seed=1))
    assert path.read_text().splitlines()[:2] == before
    add_result(path, row("d-m-seed2", seed=2, id="0123456789ab", config="01234567"))
    after = path.read_text().splitlines()
    assert after[:2] == [f"{before[0]},id,config", f"{before[1]},,"]


@pytest.mark.parametrize(
    ("known", "new", "said"),
    [
        (
            {"id": "a1"},
            {"id": "b2"},
            "d-m (m on d, seed 0, id a1), than d-m (m on d, seed 0, id b2)",
        ),
        ({"id": "a1"}, {}, "seed 0, id a1), than d-m (m on d, seed 0)"),
        ({}, {"id": "b2", "seed": 5}, "seed 0), than d-m (m on d, seed 5, id b2)"),
        ({}, {"model": "n"}, "(m on d, seed 0), than d-m (n on d, seed 0)"),
    ],
)
def test_the_row_of_another_run_is_refused_and_kept(tmp_path, known, new, said):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m", **known))
    before = path.read_bytes()
    with pytest.raises(InputError) as error:
        add_result(path, row("d-m", accuracy=0.9, **new))
    assert str(error.value).startswith(f"{path}: the row is of another run, ")
    assert said in str(error.value)
    assert "--report and --results" in str(error.value)
    assert path.read_bytes() == before
    remove_result(path, "d-m")
    add_result(path, row("d-m", accuracy=0.9, **new))
    assert read_results(path)[0]["accuracy"] == 0.9


@pytest.mark.parametrize(
    ("known", "new"), [({"id": "a1"}, {"id": "a1", "seed": 5}), ({}, {"id": "b2"})]
)
def test_the_row_of_the_same_run_is_replaced_whatever_changed(tmp_path, known, new):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m", **known))
    add_result(path, row("d-m", accuracy=0.9, **new))
    (found,) = read_results(path)
    assert found["accuracy"] == 0.9


def test_the_digest_of_a_config_is_the_same_for_other_seeds_and_places_alone():
    asked = {"model": "m", "epochs": 3, "seed": 0, "data_dir": "a", "skip_damaged": False}
    facts = {"config": asked, "network": {"source": "cnn_cifar10.architectures:m", "sha256": "1"}}
    digest = digest_config(facts)
    assert len(digest) == 8
    others = {"seed": 1, "data_dir": "b", "skip_damaged": True}
    newer = {"source": "cnn_cifar10.architectures:m", "sha256": "2"}  # of another version
    assert digest_config({"config": {**asked, **others}, "network": newer}) == digest
    different = [
        {**facts, "config": {**asked, "epochs": 4}},
        {**facts, "batch_size": 64},  # halved for want of memory
        {**facts, "network": {"source": "my_net.py:build", "sha256": "1"}},
        {**facts, "network": {"source": "my_net.py:build", "sha256": "2"}},
    ]
    assert len({digest, *map(digest_config, different)}) == 5


def test_the_digest_of_a_config_is_that_of_rows_before():
    """A field that is added must be left out of it at its default: tables hold these digests."""
    facts = {"config": TrainingConfig().to_dict(), "network": {"source": "cnn_cifar10.a:b"}}
    assert digest_config(facts) == "9eac6825"


def test_means_are_of_the_runs_that_have_the_figure(tmp_path):
    path = tmp_path / "results.csv"
    add_result(path, row("d-m-seed0", macro_f1=0.4, mflops=20.0, megabytes=3.0))
    add_result(path, row("d-m-seed1", macro_f1=0.6, images_per_second=100, seed=1))
    (summary,) = summarize_results(read_results(path))
    means = ("macro_f1", "images_per_second", "mflops", "megabytes", "latency_ms")
    assert [summary[key] for key in means] == [0.5, 100.0, 20.0, 3.0, None]


def test_summaries_are_shown_under_their_headings(tmp_path):
    path = tmp_path / "results.csv"
    costs = {"mflops": 81.64, "megabytes": 1.16, "latency_ms": 3.34, "images_per_second": 1999.6}
    for seed in (0, 1):
        values = {"macro_f1": 0.25, "seconds": 10, "compile_seconds": 1 + seed}
        add_result(path, row(f"d-m-seed{seed}", seed=seed, note="fell", **values, **costs))
    table = format_table(summarize_results(read_results(path)), summary_columns())
    headings, _, cells = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()
    )
    assert dict(zip(headings, cells, strict=True)) == {
        "run": "d-m",
        "dataset": "d",
        "accuracy": "0.5000",
        "std": "0.0000",
        "note": "fell",
        "with TTA": "",
        "macro F1": "0.2500",
        "seeds": "0, 1",
        "epochs": "",
        "seconds": "10.0",
        "compiling": "1.5",
        "images/s": "2000",
        "parameters": "",
        "MFLOPs": "81.6",
        "MB": "1.2",
        "ms/image": "3.3",
        "hardware": "",
    }


def test_headings_name_the_metric_and_only_accuracy_stands_beside_the_test_split():
    assert summary_columns()["mean"] == "accuracy"
    columns = summary_columns("validation_accuracy")
    assert columns["mean"] == "validation accuracy"
    assert set(summary_columns()) - set(columns) == {"macro_f1", "tta_accuracy"}


def test_table_is_markdown_and_aligned():
    rows = [
        {"run": "a|b", "mean": 0.91234, "std": None, "seeds": [0, 1]},
        {"run": "longer", "mean": 0.5, "std": 0.01, "seeds": [2]},
    ]
    assert format_table(rows, {"run": "run", "mean": "accuracy", "std": "±", "seeds": "seeds"}) == (
        "| run    | accuracy |      ± | seeds |\n"
        "| ------ | -------: | -----: | ----- |\n"
        "| a\\|b   |   0.9123 |        | 0, 1  |\n"
        "| longer |   0.5000 | 0.0100 | 2     |"
    )
    assert format_table(rows, ("seeds", "run")) == format_table(
        [{"seeds": row["seeds"], "run": row["run"]} for row in rows]
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("$1_$5", r"\$1\_\$5"),
        ("__init__", r"\_\_init\_\_"),
        ("aquarium_fish", "aquarium_fish"),
        ("*bold* `code` ~gone~", r"\*bold\* \`code\` \~gone\~"),
        ("[a](b) <i> a|b", r"[a\](b) \<i> a\|b"),
        ("R&D &amp; &#36;", r"R&D \&amp; \&#36;"),
        ("two\nlines\r\nand three", "two lines and three"),
        ("caf\udce9", r"caf\\xe9"),
        ("猫 قطة", "猫 قطة"),
    ],
)
def test_names_of_any_kind_stand_in_a_table_as_they_are(name, written):
    table = format_table([{"class": name, "link": Markdown("[a](b)")}])
    assert table.splitlines()[2] == f"| {written} | [a](b) |"
    assert escape_markdown(name) == written
    markdown = pytest.importorskip("markdown_it")
    (_, inline, _) = markdown.MarkdownIt("commonmark").parse(written)
    text = "".join(token.content for token in inline.children)
    assert {token.type for token in inline.children} <= {"text", "text_special"}
    assert text == " ".join(name.replace("\udce9", "\\xe9").split())


def timed(recipe, seed, seconds, accuracy, compile_seconds="0.0"):
    return {
        "recipe": recipe,
        "seed": seed,
        "images": "50000",
        "epochs": "8",
        "seconds": seconds,
        "compile_seconds": compile_seconds,
        "accuracy": accuracy,
        "tta_accuracy": "0.9",
    }


def test_times_are_summarized_the_shortest_first():
    rows = [
        timed("b", "0", "100.0", "0.91"),
        timed("a", "0", "9.0", "0.5"),
        timed("a", "1", "11.0", "0.6"),
    ]
    short, long = summarize_times(rows)
    assert short == {
        "recipe": "a",
        "seeds": ["0", "1"],
        "images": 50000,
        "epochs": 8,
        "seconds": "10.00 ± 1.41",
        "accuracy, %": "55.00 ± 7.07",
        "over six views, %": "90.00 ± 0.00",
    }
    assert (long["recipe"], long["seconds"], long["accuracy, %"]) == ("b", "100.00", "91.00")


def test_times_have_the_longest_compilation_where_there_was_one():
    rows = [
        timed("a", "0", "2.0", "0.9", "22.9"),
        timed("a", "1", "2.0", "0.9", "0.7"),
        timed("b", "0", "3.0", "0.9"),
    ]
    assert [row["compilation, seconds"] for row in summarize_times(rows)] == [22.9, None]
