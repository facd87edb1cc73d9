"""The trials of a search to an answer: what mattered, the page, the best config."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from cnn_cifar10.configs import Search
from cnn_cifar10.experiments import search_report, setting_importances, write_search
from cnn_cifar10.experiments.search_report import best_trial, write_trials
from cnn_cifar10.utils import InputError

SPACE = {
    "width": [8, 16, 32],
    "augment": ["none", "flip"],
    "learning_rate": {"low": 0.01, "high": 1.0, "sampling": "log"},
}


@pytest.fixture
def search():
    return Search(SPACE, trials=40, base={"dataset": "digits"}, trial={"epochs": 3})


@pytest.fixture
def rows():
    """Forty trials whose accuracy depends on width, a little on the rate, not on augment."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        width, rate = int(rng.choice(SPACE["width"])), float(10 ** rng.uniform(-2, 0))
        failed = number == 7
        rows.append(
            {
                "trial": number,
                "status": "failed" if failed else "completed",
                "validation_accuracy": None if failed else 0.4 + width / 100 + rate / 20,
                "width": width,
                "augment": str(rng.choice(SPACE["augment"])),
                "learning_rate": rate,
                "epochs": 3,
                "parameters": 100 * width,
                "seconds": 1.5,
                "failure": "the loss | became nan" if failed else "",
            }
        )
    return rows


def test_the_best_is_the_highest_and_first_of_completed_trials(rows):
    best = best_trial(rows)
    known = [row["validation_accuracy"] for row in rows if row["validation_accuracy"]]
    assert best["validation_accuracy"] == max(known)
    assert best_trial([best | {"trial": 50}, best])["trial"] == 50
    assert best_trial([rows[7]]) is None
    assert best_trial([]) is None


@pytest.mark.slow
def test_importances_find_what_decides_the_accuracy(rows):
    importances, r2 = setting_importances(SPACE, rows)
    assert list(importances) == ["width", "learning_rate", "augment"]
    assert importances["width"] > 5 * importances["learning_rate"]
    assert abs(importances["augment"]) < 0.01
    assert r2 > 0.8


@pytest.mark.slow
def test_a_forest_that_learned_nothing_says_so(rows):
    rng = np.random.default_rng(1)
    noise = [row | {"validation_accuracy": rng.random(), "status": "completed"} for row in rows]
    assert setting_importances(SPACE, noise)[1] < 0.2


def test_few_trials_have_no_importances(rows, search, tmp_path):
    assert setting_importances(SPACE, rows[:8]) == (None, None)  # one of them failed
    write_search(search, rows[:8], tmp_path)
    assert not (tmp_path / "importance.png").exists()
    assert "importance" not in (tmp_path / "report.md").read_text()
    write_search(search, rows[:7], tmp_path / "seven")
    assert "Failed trials" not in (tmp_path / "seven/report.md").read_text()


@pytest.fixture
def forest(monkeypatch):
    """What a forest found, without growing one."""
    found = {"width": 0.7, "learning_rate": 0.1, "augment": 0.0}, 0.81
    monkeypatch.setattr(search_report, "setting_importances", lambda space, rows: found)


def test_the_page_says_what_was_found_and_how_far_to_trust_it(rows, search, tmp_path, forest):
    output = tmp_path / "found"
    document = write_search(search, rows, output)
    best = best_trial(rows)
    config = json.loads((output / "best.json").read_text())
    assert config == document["config"]
    assert config["model_options"] == {"width": best["width"]}
    assert config["epochs"] == 20
    assert config["learning_rate"] == pytest.approx(best["learning_rate"], rel=1e-3)
    text = (output / "report.md").read_text()
    assert document["answer"] == (
        f"The best of 40 trials, 1 failed, trial {best['trial']}, reaches "
        f"{best['validation_accuracy']:.2%} of the validation images."
    )
    assert document["answer"] in text
    assert "R² of 0.81, which is worth a look" in text
    assert "the loss \\| became nan" in text
    assert "The test split was not used" in text
    assert "## Failed trials\n\n| trial" in text
    for name in ("parallel_coordinates.png", "importance.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG")
        assert name in text
    assert json.loads(json.dumps(document)) == document


def test_without_a_completed_trial_there_is_no_page(rows, search, tmp_path):
    with pytest.raises(InputError, match=r"none of 1 trials is completed; the first failure: the"):
        write_search(search, [rows[7]], tmp_path)
    with pytest.raises(InputError, match="none of 0 trials is completed"):
        write_search(search, [], tmp_path)


def test_the_table_has_a_line_a_trial(rows, tmp_path):
    write_trials(rows, tmp_path / "trials.csv")
    lines = (tmp_path / "trials.csv").read_text().splitlines()
    assert lines[0].split(",") == list(rows[0])
    assert len(lines) == 41
    assert lines[8].startswith("7,failed,,")


@pytest.mark.parametrize(
    "folder",
    sorted((Path(__file__).parents[2] / "reports" / "searches").iterdir()),
    ids=lambda folder: folder.name,
)
def test_a_page_of_the_repository_shows_its_trials_and_the_best_config_is_that_of_the_first(folder):
    with open(folder / "trials.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["validation_accuracy"]]
    rows.sort(key=lambda row: float(row["validation_accuracy"]), reverse=True)
    page = (folder / "report.md").read_text()
    shown = re.findall(r"^\| +(\d+) \| +(0\.\d{4}) \|", page, re.M)
    assert shown == [(row["trial"], row["validation_accuracy"]) for row in rows[: len(shown)]]
    best, config = rows[0], json.loads((folder / "best.json").read_text())
    accuracy = float(best["validation_accuracy"])
    assert f"trial {best['trial']}, reaches {100 * accuracy:.2f}%" in page
    settings = {**config, **config["model_options"]}
    for name in set(best) & set(settings) - {"epochs"}:
        assert best[name] == str(settings[name]) or float(best[name]) == settings[name], name
