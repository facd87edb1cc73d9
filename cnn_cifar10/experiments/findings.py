"""All studies on one page: what matters most, what does not, which claims hold."""

from pathlib import Path

from cnn_cifar10 import plotting
from cnn_cifar10.configs import Claim, read_claims
from cnn_cifar10.experiments.significance import (
    BETTER,
    NO_DIFFERENCE,
    UNKNOWN,
    WORSE,
    chance_difference,
)
from cnn_cifar10.experiments.study_report import summarize_study
from cnn_cifar10.reporting import format_table
from cnn_cifar10.utils import InputError, write_figure, write_page


def measure_effects(studies):
    """Measure how much depends on what each study varies.

    Args:
        studies: Pairs of a `Study` and its rows, as `run_study` returns them.

    Returns:
        A dict per study whose reference and another variant have a figure, the largest
        `spread` first: `study`, its name; `reference`; `variants`, what
        `summarize_study` returns of those with a figure, the highest mean first;
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
                    "differs": any(row["verdict"] in (BETTER, WORSE) for row in variants),
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
    return [_judge(claim, names, effects) for claim in claims]


def _judge(claim, names, effects):
    if claim.study not in names:
        return {"claim": claim.text, "here": "not studied", "measured": ""}
    rank = names.index(claim.study)
    effect = effects[rank]
    if claim.expected is None:
        here = f"number {rank + 1} of {len(names)} studies by what is at stake"
        measured = f"{100 * effect['spread']:.1f} points between the best variant and the worst"
        return {"claim": claim.text, "here": here, "measured": measured}
    best = next((row for row in effect["variants"] if row["variant"] in claim.variants), None)
    if best is None or best["p_value"] is None:
        return {"claim": claim.text, "here": UNKNOWN, "measured": ""}
    same = {claim.expected: "holds", NO_DIFFERENCE: NO_DIFFERENCE}
    points, low, high = (
        f"{100 * best[key]:+.1f}" for key in ("difference", "difference_low", "difference_high")
    )
    measured = (
        f"{best['variant']}: {points} points from {effect['reference']} (95%: {low} to {high}; "
        f"{len(best['values'])} seeds)"
    )
    here = same.get(best["verdict"], "the opposite holds")
    return {"claim": claim.text, "here": here, "measured": measured}


def write_findings(studies, output, folders):
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
        InputError: If no study has a figure of its reference and another variant.
    """
    output, effects = Path(output), measure_effects(studies)
    if not effects:
        raise InputError("no study can be compared yet; run some: cnn-cifar10 sweep --help")
    chance = _chance(studies)
    claims = judge_claims(effects)
    figure = output.with_suffix(".png")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_figure(figure, plotting.plot_effects(effects, chance))
    write_page(output, _page(studies, effects, chance, claims, figure.name, folders))
    return {"effects": effects, "claims": claims, "chance": chance}


def _chance(studies):
    for study, rows in studies:
        if len(study.variants) == 1:
            (row,) = summarize_study(study, rows)
            if row["std"] is not None:
                return chance_difference(row["std"], len(row["values"]))
    return None


def _page(studies, effects, chance, claims, figure, folders):
    data = sorted({row["dataset"] for _, rows in studies for row in rows})
    hardware = sorted({row["hardware"] for _, rows in studies for row in rows})
    seconds = sum(row["seconds"] or 0 for _, rows in studies for row in rows)
    yield "# Findings: what matters, and what does not"
    yield (
        f"{sum(len(rows) for _, rows in studies)} short trainings on {', '.join(data)}, "
        f"{seconds / 3600:.1f} hours on {', '.join(hardware)}, compared on the validation split. "
        "Each study has a page that says what its runs share, and with how many seeds."
    )
    if chance is not None:
        yield (
            "Two single runs that differ in nothing but the seed are more than "
            f"{100 * chance:.1f} points apart one time in twenty. What two runs show is worth no "
            "more than that; the verdicts below are of several seeds."
        )
    yield f"![Every variant's difference from its study's reference]({figure})"
    for words, differs in (("What matters", True), ("No difference seen", False)):
        if rows := [_row(each, folders) for each in effects if each["differs"] is differs]:
            yield f"## {words}"
            yield format_table(rows)
    yield "## Claims of other projects"
    yield format_table(claims)
    yield (
        "A claim about several variants is judged by the best of them. *No difference seen* does "
        "not mean that there is none: few seeds show only large differences. And all of this is "
        "about short trainings of one network on one data set."
    )


def _row(effect, folders):
    first, last = effect["variants"][0], effect["variants"][-1]
    folder = folders[effect["study"]]
    return {
        "study": f"[{effect['study'].replace('_', ' ')}]({folder}/report.md)",
        "best": _described(first),
        "worst": _described(last),
        "points between": f"{100 * effect['spread']:.1f}",
    }


def _described(row):
    return f"{row['variant']}: {row['mean']:.1%}, {row['verdict']}"
