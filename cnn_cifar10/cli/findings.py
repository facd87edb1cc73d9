"""Say what the studies found, on one page."""

from pathlib import Path

from cnn_cifar10.configs import STUDIES


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

    folders = {name: f"studies/{args.dataset}-{name}" for name in STUDIES}
    studies = [
        (study, read_runs(study, args.output.parent / folders[name] / "runs.csv"))
        for name, study in STUDIES.items()
    ]
    document = write_findings([each for each in studies if each[1]], args.output, folders)
    for claim in document["claims"]:
        print(f"{claim['claim']} {claim['here'].capitalize()}. {claim['measured']}".strip())
    print(f"page: {args.output}")
    return document
