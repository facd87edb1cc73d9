"""Findings: all studies on one page, sorted by the size of their effects; claims judged."""

from pathlib import Path
from typing import Any

from cnn_cifar10 import plotting
from cnn_cifar10.configs import Claim, Study, read_claims
from cnn_cifar10.experiments.significance import (
    NO_DIFFERENCE,
    UNKNOWN,
    chance_difference,
    compare_with_reference,
    holm,
    verdict,
)
from cnn_cifar10.experiments.study_report import summarize_study
from cnn_cifar10.reporting import Markdown, format_table, write_filled
from cnn_cifar10.utils import InputError

Studies = list[tuple[Study, list[dict]]]


def measure_effects(studies: Studies) -> list[dict[str, Any]]:
    """Measure how much depends on what each study varies.

    Args:
        studies: Pairs of a `Study` and its rows, as `run_study` returns them.

    Returns:
        A dict per study whose reference and another variant have an accuracy, the largest
        `spread` first: `study`, its name; `reference`; `variants`, what
        `summarize_study` returns of those with an accuracy, the highest mean first;
        `spread`, the first's mean minus the last's; and `differs`, whether any is
        better or worse than the reference.
    """
    effects = []
    for study, rows in studies:
        variants = [row for row in summarize_study(study, rows) if row["mean"] is not None]
        if len(variants) > 1 and study.reference in [row["variant"] for row in variants]:
            effects.append(
                {
                    "study": study.name,
                    "reference": study.reference,
                    "variants": variants,
                    "spread": variants[0]["mean"] - variants[-1]["mean"],
                    "differs": any(row["verdict"] in ("better", "worse") for row in variants),
                }
            )
    return sorted(effects, key=lambda effect: -effect["spread"])


def judge_claims(effects: list[dict], claims: list[Claim] | None = None) -> list[dict]:
    """Compare claims with what was measured.

    Args:
        effects: What `measure_effects` returns.
        claims: What is judged; those of `read_claims` where omitted.

    Returns:
        A dict per claim: `claim`, `here` (what it comes to, in words) and `measured`.
    """
    names = [effect["study"] for effect in effects]
    claims = read_claims() if claims is None else claims
    judged = [(claim.text, *_judge(claim, names, effects)) for claim in claims]
    return [dict(zip(("claim", "here", "measured"), each, strict=True)) for each in judged]


def _judge(claim, names, effects):
    """Return what a claim comes to, in words, and what was measured."""
    if claim.study not in names:
        return "not studied", ""
    rank = names.index(claim.study)
    effect = effects[rank]
    if claim.expected is None:
        points = f"{100 * effect['spread']:.1f} points between the best variant and the worst"
        return f"number {rank + 1} of {len(names)} studies by their difference", points
    measured = {
        row["variant"]: dict(zip(row["seeds"], row["values"], strict=True))
        for row in effect["variants"]
    }
    variant, reference = _best(claim.variants, measured), _best(claim.against, measured)
    reference = reference or (effect["reference"], "")
    differences = compare_with_reference(measured, reference[0])
    if variant is None or differences[variant[0]][-1] is None:
        return UNKNOWN, ""
    *found, _ = differences[variant[0]]
    corrected = dict(zip(differences, holm([p for *_, p in differences.values()]), strict=True))
    points, low, high = (f"{100 * each:+.1f}" for each in found)
    same = {claim.expected: "holds", NO_DIFFERENCE: NO_DIFFERENCE}
    return same.get(verdict(found[0], corrected[variant[0]]), "the opposite holds"), (
        f"{''.join(variant)}: {points} points from {''.join(reference)} (95%: {low} to {high}; "
        f"{len(measured[variant[0]])} seeds)"
    )


def _best(named, measured):
    """Return the best of some variants, and of how many it is; `measured` has the best first."""
    found = [variant for variant in measured if variant in named]
    return (found[0], f", best of {len(found)}" if len(found) > 1 else "") if found else None


def write_findings(studies: Studies, output: str | Path, folders: dict[str, str]) -> dict[str, Any]:
    """Write the page of all studies, and its figure beside it.

    Args:
        studies: Pairs of a `Study` and its rows, as `run_study` returns them.
        output: Path of the page; the figure's name ends in `.png` instead.
        folders: Dict of names of studies to their folders, for links.

    Returns:
        A dict: `effects` and `claims`, as `measure_effects` and `judge_claims` return
        them, and `chance`, how far apart two single runs are one time in twenty where only
        the seed differs; `None` where no study tells.

    Raises:
        InputError: If no study has accuracies of its reference and of another variant.
    """
    output, effects = Path(output), measure_effects(studies)
    if not effects:
        raise InputError("no study can be compared yet; run some: cnn-cifar10 sweep --help")
    chance, claims, figure = _chance(studies), judge_claims(effects), output.stem + ".png"
    runs = [row for _, rows in studies for row in rows]
    write_filled(
        output,
        Path(__file__).with_name("findings.md"),
        {figure: plotting.plot_effects(effects, chance)},
        runs=len(runs),
        data=", ".join(sorted({row["dataset"] for row in runs})),
        hours=sum(row["seconds"] or 0 for row in runs) / 3600,
        hardware=", ".join(sorted({row["hardware"] for row in runs})),
        chance=chance and 100 * chance,
        figure=figure,
        matters=_table([effect for effect in effects if effect["differs"]], folders),
        no_difference=_table([effect for effect in effects if not effect["differs"]], folders),
        claims=format_table(claims),
    )
    return {"effects": effects, "claims": claims, "chance": chance}


def _chance(studies):
    for study, rows in studies:
        if len(study.variants) == 1:
            (row,) = summarize_study(study, rows)
            if row["std"] is not None:
                return chance_difference(row["std"], len(row["values"]))
    return None


def _table(effects, folders):
    rows = []
    for effect in effects:
        name = effect["study"]
        best, worst = (
            f"{row['variant']}: {row['mean']:.1%}, {row['verdict']}"
            for row in (effect["variants"][0], effect["variants"][-1])
        )
        row = {"study": Markdown(f"[{name.replace('_', ' ')}]({folders[name]}/report.md)")}
        row |= {"best": best, "worst": worst, "points between": f"{100 * effect['spread']:.1f}"}
        rows.append(row)
    return format_table(rows) if rows else None
