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

    measured, folders = [], {}
    for name in list_studies():
        study = find_study(name).with_base(dataset=args.dataset)
        place = f"studies/{study.folder}"
        declared = args.output.parent / place / "study.json"
        if declared.exists():  # as it was run, with its own epochs and images
            study = find_study(declared)
        if rows := read_runs(study, declared.with_name("runs.csv")):
            measured.append((study, rows))
            folders[study.name] = place
    document = write_findings(measured, args.output, folders)
    for claim in document["claims"]:
        print(f"{claim['claim']} {claim['here'].capitalize()}. {claim['measured']}".strip())
    options.say_made(page=args.output)
    return document
