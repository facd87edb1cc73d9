"""From studies to one page: what is at stake, claims judged, links that lead somewhere."""

import dataclasses

import pytest

from cnn_cifar10.configs import Claim, Study, find_study, read_claims
from cnn_cifar10.experiments import judge_claims, measure_effects, write_findings
from cnn_cifar10.utils import InputError

SEEDS = Study("seeds", "How far apart?", {"same": {}}, "same", base={"dataset": "digits"})


@pytest.fixture
def studied(sizes, measured, rows_of):
    equal = dataclasses.replace(sizes, name="equal")
    same = {"width 16": {0: 0.7, 1: 0.72, 2: 0.7}, "width 8": {0: 0.71, 1: 0.72, 2: 0.7}}
    return [
        (SEEDS, rows_of(SEEDS, {"same": {0: 0.70, 1: 0.72, 2: 0.71}})),
        (equal, rows_of(equal, same)),
        (sizes, rows_of(sizes, measured)),
    ]


def test_studies_are_sorted_by_what_is_at_stake(studied):
    first, second = measure_effects(studied)
    assert (first["study"], second["study"]) == ("sizes", "equal")
    assert first["spread"] == pytest.approx(0.75 - 0.714)
    assert (first["differs"], second["differs"]) == (True, False)


def test_a_study_without_a_figure_of_its_reference_has_no_effect(sizes, rows_of):
    rows = rows_of(sizes, {"width 8": {0: 0.7, 1: 0.7}, "width 16": {0: None}})
    assert measure_effects([(sizes, rows)]) == []


@pytest.mark.parametrize(
    ("claim", "here", "points"),
    [
        (Claim("", "sizes", ("width 32",), "better"), "holds", "width 32: +2.0 points"),
        (Claim("", "sizes", ("width 8", "width 32"), "worse"), "the opposite holds", "width 32"),
        (
            Claim("", "sizes", ("width 16",), "worse", ("width 8", "width 32")),
            "holds",
            "width 16: -2.0 points from width 32, best of 2",
        ),
        (Claim("", "equal", ("width 8",), "better"), "no difference seen", "width 8: +0.3"),
        (Claim("", "sizes", ("width 64",), "better"), "cannot be told", ""),
        (Claim("", "sizes", ("width 99",), "better"), "cannot be told", ""),
        (Claim("", "elsewhere", ("width 8",), "better"), "not studied", ""),
        (Claim("", "sizes"), "number 1 of 2 studies by their difference", "3.6 points between"),
    ],
)
def test_claims_are_judged_by_the_best_of_their_variants(claim, here, points, studied):
    (row,) = judge_claims(measure_effects(studied), [claim])
    assert row["here"] == here
    assert points in row["measured"]


def test_claims_are_about_variants_that_are_studied():
    for claim in read_claims():
        study = find_study(claim.study)
        assert {*claim.variants, *claim.against} <= set(study.variants)
        assert not {*claim.variants} & {*claim.against}
        assert study.reference not in claim.variants
        assert bool(claim.variants) == (claim.expected in ("better", "worse"))


def test_the_page_says_what_matters_and_what_does_not(tmp_path, studied):
    folders = {name: f"studies/{name}" for name in ("seeds", "sizes", "equal")}
    document = write_findings(studied, tmp_path / "findings.md", folders)
    text = (tmp_path / "findings.md").read_text()
    assert document["chance"] == pytest.approx(4.30265 * 2**0.5 * 0.01, rel=1e-4)
    assert "more than 6.1 points apart" in text
    matters, rest = text.split("## What matters")[1].split("## No difference seen")
    assert "[sizes](studies/sizes/report.md)" in matters
    assert "width 8: 71.4%, no difference seen" in matters
    assert "[equal](studies/equal/report.md)" in rest
    assert "LeakyReLU is better than ReLU." in text
    assert (tmp_path / "findings.png").stat().st_size > 5_000


def test_no_study_to_compare_is_an_error(tmp_path, studied):
    with pytest.raises(InputError, match="no study can be compared yet"):
        write_findings(studied[:1], tmp_path / "findings.md", {})
