"""The table of what held: a row a check in reports/reliability.csv, and the page made of it."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from cnn_cifar10.reporting import format_table
from cnn_cifar10.utils import (
    describe_hardware,
    format_hardware,
    git_commit,
    read_csv,
    write_csv,
    write_page,
)

COLUMNS = (
    *("check", "what", "bar", "held", "of", "found", "holds", "timed", "seed", "seconds", "load"),
    *("hardware", "commit", "date"),
)


@dataclass(frozen=True)
class Found:
    """What a check found.

    Args:
        what: What was done, in words.
        bar: What must hold.
        held: How often it held; `None` where it could not be tried.
        of: How often it was tried.
        figures: What was measured, in words.
        timed: Whether what is found depends on what else the machine does.
    """

    what: str
    bar: str
    held: int | None
    of: int
    figures: str = ""
    timed: bool = False


def add_rows(found, check, seed, reports):
    """Add a row for each `Found`, as soon as it is there, and yield it."""
    began, load = time.perf_counter(), os.getloadavg()[0]
    for each in found:
        now = time.perf_counter()
        holds = "not tried" if each.held is None else "yes" if each.held == each.of else "no"
        row = {
            "check": check,
            "what": each.what,
            "bar": each.bar,
            "held": "" if each.held is None else each.held,
            "of": each.of,
            "found": each.figures,
            "holds": holds,
            "timed": "yes" if each.timed else "no",
            "seed": seed,
            "seconds": round(now - began),
            "load": f"{load:.1f}",
            "hardware": format_hardware(describe_hardware()),
            "commit": git_commit() or "",
            "date": time.strftime("%Y-%m-%d"),
        }
        table = reports / "reliability.csv"
        rows = [*read_csv(table), {key: str(value) for key, value in row.items()}]
        reports.mkdir(parents=True, exist_ok=True)
        write_csv(table, COLUMNS, [[r[c] for c in COLUMNS] for r in rows])
        print(f"{check}: {each.what}: {_held(rows[-1])}; {each.figures}", flush=True)
        yield row
        began, load = now, os.getloadavg()[0]


def _held(row):
    return f"{row['held']} of {row['of']}" if row["held"] else "not tried"


def write_report(reports: Path, checks):
    """Write the newest row of each check as Markdown, and which of the checks have none."""
    newest = {
        (row["check"], re.sub(r"[\d,]+", "", row["what"])): row  # however often it was tried
        for row in read_csv(reports / "reliability.csv")
    }
    rows = list(newest.values())
    shown = [
        {
            "check": row["check"],
            "what was done": row["what"],
            "what must hold": row["bar"],
            "held": _held(row),
            "found": row["found"],
            "seed": row["seed"],
            "seconds": row["seconds"],
            "load": row["load"],
        }
        for row in rows
    ]
    held = sum(row["holds"] == "yes" for row in rows)
    missed = [row["what"] for row in rows if row["holds"] == "no"]
    left = [row["what"] for row in rows if row["holds"] == "not tried"]
    lines = [f"{held} of {len(rows)} lines hold."]
    lines += [f"These do not: {'; '.join(missed)}."] if missed else []
    lines += [f"These could not be tried here: {'; '.join(left)}."] if left else []
    if missing := [name for name in checks if name not in {row["check"] for row in rows}]:
        lines.append(f"These were not run yet: {', '.join(missing)}.")
    hardware = "; ".join(sorted({row["hardware"] for row in rows}))
    text = (
        "# Reliability\n\n"
        "What stays whole when processes are killed, disks fill up, and strangers send files and "
        f"requests. {' '.join(lines)}\n\n"
        f"Hardware: {hardware}. `load` is the machine's load average before a check: above 0, "
        "other programs ran beside it, and what is timed was slower for it. Written by "
        "`make torture`; `python benchmarks/reliability CHECK` runs one check.\n\n"
        f"{format_table(shown)}"
    )
    write_page(reports / "reliability.md", text)
