"""Torture: what stays whole when processes are killed, disks fill up and strangers send files.

    python benchmarks/reliability               # everything: about two hours on two cores
    python benchmarks/reliability kill states --count 10 --seed 1

Each check adds its rows to reports/reliability.csv as soon as it is done, and
reports/reliability.md is made of the newest row of each. The program ends with code 1 where
something did not hold.
"""

import argparse
import functools
import multiprocessing
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import disks
import endings
import files
import requirements
import service
import states
from table import add_rows, write_report

CHECKS = {
    "kill": endings.kill,
    "large": functools.partial(endings.kill, commands=endings.LARGE, usual=20),
    "signals": endings.end_by_signal,
    "saving": states.kill_while_saving,
    "damage": states.damage,
    "full": disks.fill,
    "read-only": disks.write_protect,
    "locks": endings.start_twice,
    "exports": functools.partial(files.open_hostile, "predict"),
    "models": functools.partial(files.open_hostile, "train"),
    "images": service.send_expensive_images,
    "connections": service.open_slow_connections,
    "leaks": service.watch_memory,
    "page": service.use_page,
    "start": service.start,
    "audit": requirements.audit,
}
"""Names to functions of a number of tries (or `None`) and a seed, which yield rows."""


def main():
    """Run the checks, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}")
    parser.add_argument("--count", type=int, help="tries (default: as in the table)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reports", type=Path, default=Path("reports"), help="folder to write to")
    args = parser.parse_args()
    if unknown := [name for name in args.checks if name not in CHECKS]:
        parser.error(f"{unknown[0]} is not one of {', '.join(CHECKS)}")
    failed = False
    for name in args.checks or CHECKS:
        for row in add_rows(CHECKS[name](args.count, args.seed), name, args.seed, args.reports):
            failed |= row["holds"] == "no"
    write_report(args.reports, CHECKS)
    return int(failed)


if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    raise SystemExit(main())
