"""Search for a config of higher validation accuracy, with KerasTuner.

A trial trains a config for a few epochs on a part of the images. Every trial adds a
row to trials.csv in the search's folder, which gets the page report.md with its
figures, and best.json, the best config at full length, for `train --config`. A trial
that fails is recorded and passed over. The test split is not used. Interrupt it at
any time: the same command continues where it stopped, in the middle of a trial too;
with more --trials it goes on.

--workers runs several trials at a time on this machine. On several machines with one
file system, run the same command on each with KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT set to the address of the chief, and KERASTUNER_TUNER_ID to
`chief` there and to `worker0`, `worker1`, ... elsewhere. The chief gives out trials
and writes the page; a worker that died is started again with the same name.
"""

import argparse
import importlib.util
import json
from pathlib import Path

from cnn_cifar10.cli.options import add_fields, add_quiet, given_fields
from cnn_cifar10.configs import (
    ALGORITHMS,
    SHORT_TRIAL,
    SPACE,
    Search,
    changed_space,
    make_config,
    parse_values,
    read_space,
)
from cnn_cifar10.utils import InputError

_FIELDS = ("dataset", "data_dir", "image_size", "skip_damaged", "model", "start", "seed")


def add_arguments(parser):
    width = max(map(len, SPACE))
    listed = "".join(f"  {name:{width}}  {json.dumps(SPACE[name])}\n" for name in SPACE)
    parser.epilog = f"what is searched, unless --space and --set say otherwise:\n{listed}"
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="random")
    parser.add_argument(
        "--trials", type=int, default=30, help="how many at most (default: %(default)s)"
    )
    parser.add_argument(
        "--space",
        type=Path,
        metavar="FILE.json",
        help="JSON object of names to lists or ranges, instead of the space below",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        type=_values,
        default=[],
        metavar="NAME=VALUES",
        help="narrow or extend the space: dropout=0,0.1 (a list), width=16:64 or "
        "learning_rate=0.05:0.4:log (ranges), optimizer=sgd (fixed)",
    )
    add_fields(parser, _FIELDS, show_defaults=False)
    for name, default in SHORT_TRIAL.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            default=default,
            help=f"as in `train`, of a trial; Hyperband's longest (default: {default})"
            if name == "epochs"
            else f"as in `train`, of a trial (default: {default})",
        )
    parser.add_argument(
        "--search-seed", type=int, default=0, help="decides which configs are tried (default: 0)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="trials at a time (default: %(default)s)"
    )
    parser.add_argument("--name", help="of the search (default: <data>-<model>-<algorithm>)")
    parser.add_argument("--overwrite", action="store_true", help="begin the search anew")
    add_quiet(parser)


def _values(text):
    try:
        return parse_values(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(args):
    if importlib.util.find_spec("keras_tuner") is None:
        raise InputError("tune needs KerasTuner: pip install keras-tuner")

    from cnn_cifar10.experiments import default_space, is_worker, run_search, write_search

    given = given_fields(args, _FIELDS)
    base = make_config(**given)
    space = read_space(args.space) if args.space else default_space(base.model)
    search = Search(
        space=changed_space(space, dict(args.set)),
        algorithm=args.algorithm,
        trials=args.trials,
        base=given,
        trial={name: getattr(args, name) for name in SHORT_TRIAL},
        seed=args.search_seed,
    )
    name = args.name or f"{base.source}-{base.model}-{args.algorithm}"
    output = Path("reports/searches") / name
    rows = run_search(
        search,
        output,
        Path("models/searches") / name,
        workers=args.workers,
        overwrite=args.overwrite,
        progress=not args.quiet,
    )
    if is_worker():
        print("no trial is left; the chief writes the page")
        return {"trials": rows}
    document = write_search(search, rows, output)
    print(document["answer"])
    print(f"page: {output / 'report.md'}   best config: {output / 'best.json'}")
    return document
