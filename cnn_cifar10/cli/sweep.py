"""Run a study: train its variants with several seeds, and compare them.

Each run adds a row to runs.csv in the study's folder, from which the page report.md
and its figure are made. Runs are compared on the validation split; the test split
is not used. Interrupt it at any time: the same command continues where it stopped,
and once all runs are done it only writes the page again.
"""

import dataclasses
from pathlib import Path

from cnn_cifar10.cli.options import add_fields, add_quiet, given_fields
from cnn_cifar10.configs import find_study, list_studies

_FIELDS = ("dataset", "data_dir", "image_size", "train_images", "epochs")


def add_arguments(parser):
    questions = list_studies()
    width = max(map(len, questions))
    listed = "".join(f"  {name:{width}}  {asked}\n" for name, asked in questions.items())
    parser.epilog = f"studies:\n{listed}"
    parser.add_argument("study", help="one of those below, or a .json file that declares another")
    add_fields(parser, _FIELDS, show_defaults=False)
    parser.add_argument("--seeds", nargs="+", type=int, help="instead of the study's own")
    parser.add_argument(
        "--output", type=Path, help="folder of the study (default: reports/studies/<data>-<study>)"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep every run's folder in models/sweeps/<data>-<study>",
    )
    add_quiet(parser)


def run(args):
    study = find_study(args.study).with_base(**given_fields(args, _FIELDS))
    if args.seeds:
        study = dataclasses.replace(study, seeds=args.seeds)
    source = study.config(study.reference, study.seeds[0]).source
    output = args.output or Path("reports/studies") / f"{source}-{study.name}"

    from cnn_cifar10.experiments import run_study, write_study

    models = Path("models/sweeps") / output.name
    rows = run_study(study, output, models, keep=args.keep, progress=not args.quiet)
    document = write_study(study, rows, output)
    print(document["answer"])
    print(f"page: {output / 'report.md'}   runs: {output / 'runs.csv'}")
    return document
