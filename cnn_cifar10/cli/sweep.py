"""Run a study: train its variants with several seeds, and compare them.

Each run adds a row to runs.csv in the study's folder, from which the page report.md
and its figure are made. Runs are compared on the validation split; the test split
is not used. Interrupt it at any time: the same command continues where it stopped,
and once all runs are done it only writes the page again.

--shard 3/8 runs the third of eight parts, for the tasks of a job array: all parts add
to one table, on one file system, and the last one to end writes the page.
"""

import argparse
import dataclasses
from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.configs import DATA_FIELDS, find_study, list_studies
from cnn_cifar10.utils import printable, running_study

CONTINUES = True
_FIELDS = (*DATA_FIELDS, "class_weight", "epochs")


def add_arguments(parser):
    questions = list_studies()
    width = max(map(len, questions))
    listed = "".join(f"  {name:{width}}  {asked}\n" for name, asked in questions.items())
    parser.epilog = f"studies:\n{listed}"
    options.add(parser, "study", str, "one of those below, or a .json file that declares another")
    options.add_fields(parser, _FIELDS, show_defaults=False)
    options.add(parser, "--seeds", int, "instead of the study's own", nargs="+")
    folder = "folder of the study (default: reports/studies/<data>-<study>)"
    options.add(parser, "--output", Path, folder)
    kept = "keep every run's folder in models/sweeps/<data>-<study>"
    options.add(parser, "--keep", False, kept)
    shard = {"type": _shard, "default": (1, 1), "metavar": "PART/PARTS"}
    parser.add_argument("--shard", help="run one of several parts of the study, from 1", **shard)
    options.add_shared(parser, "--quiet")


def _shard(text):
    """Return which part of how many a text such as `"3/8"` says."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"must be 1/8 to 8/8, of 8 parts, received {text!r}")
    return int(part), int(parts)


def run(args):
    study, given = find_study(args.study), options.given_fields(args, _FIELDS)
    study = study.with_base(**(given if "dataset" in study.base else options.imply_folder(given)))
    if args.seeds:
        study = dataclasses.replace(study, seeds=args.seeds)
    config = study.config(study.reference, study.seeds[0])
    output = args.output or Path("reports/studies") / study.folder
    runs = f"{len(study.variants)} variants x {len(study.seeds)} seeds"
    print(printable(f"Study {study.name}: {study.question}"))
    print(f"{runs} of {options.describe(config)}; study: {output}")

    # Before anything large is imported, so that a second process ends at once.
    with running_study(output, args.shard):
        from cnn_cifar10.experiments import run_study, write_study

        models = Path("models/sweeps") / output.name
        how = {"keep": args.keep, "shard": args.shard, "progress": not args.quiet}
        rows = run_study(study, output, models, **how)
        left = {*study.runs} - {(row["variant"], row["seed"]) for row in rows}
        if left:
            runs = f"{len(study.runs) - len(left)} of {len(study.runs)} runs are done"
            print(f"part {args.shard[0]}/{args.shard[1]} is done; {runs}, other parts run the rest")
            return {"runs": rows}
        document = write_study(study, rows, output)
    print(document["answer"])
    options.say_made(page=output / "report.md", runs=output / "runs.csv")
    return document
