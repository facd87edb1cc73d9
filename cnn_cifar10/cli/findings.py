"""Say what the studies found, on one page."""

from pathlib import Path

from cnn_cifar10.configs import find_study, list_studies


def add_arguments(parser):
    parser.add_argument(
        "--dataset", default="cifar10", help="data of the studies (default: cifar10)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("reports/findings.md"),
        help="the page, beside the folder `studies` that is read (default: %(default)s)",
    )


def run(args):
    from cnn_cifar10.experiments import read_runs, write_findings

    folders = {name: f"studies/{args.dataset}-{name}" for name in list_studies()}
    tables = {name: args.output.parent / folders[name] / "runs.csv" for name in folders}
    studies = [(find_study(name), table) for name, table in tables.items() if table.exists()]
    measured = [(study, read_runs(study, table)) for study, table in studies]
    document = write_findings([each for each in measured if each[1]], args.output, folders)
    for claim in document["claims"]:
        print(f"{claim['claim']} {claim['here'].capitalize()}. {claim['measured']}".strip())
    print(f"page: {args.output}")
    return document
