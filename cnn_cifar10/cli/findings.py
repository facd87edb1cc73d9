"""Say what the studies found, on one page."""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.configs import find_study, list_studies


def add_arguments(parser):
    options.add(parser, "--dataset", "cifar10", "data of the studies")
    page = "the page; the folder `studies` beside it is read"
    options.add(parser, "--output", Path("reports/findings.md"), page)


def run(args):
    print(f"Reading the studies on {args.dataset} in {args.output.parent / 'studies'}")

    from cnn_cifar10.experiments import read_runs, write_findings

    folders = {name: f"studies/{args.dataset}-{name}" for name in list_studies()}
    tables = {name: args.output.parent / folders[name] / "runs.csv" for name in folders}
    studies = [(find_study(name), table) for name, table in tables.items() if table.exists()]
    measured = [(study, read_runs(study, table)) for study, table in studies]
    document = write_findings([each for each in measured if each[1]], args.output, folders)
    for claim in document["claims"]:
        print(f"{claim['claim']} {claim['here'].capitalize()}. {claim['measured']}".strip())
    options.say_made(page=args.output)
    return document
