"""Search for a config of higher validation accuracy, with KerasTuner.

A trial trains a config for a few epochs on a part of the images. Every trial adds a
row to trials.csv in the search's folder, which gets the page report.md with its
figures, and best.json, the best config at full length, for `train --config`. A trial
that fails is recorded and passed over. The test split is not used. Interrupt it at
any time: the same command continues where it stopped, in the middle of a trial too;
with more --trials it goes on. Hyperband's longest trials have --epochs.

--workers runs several trials at a time on this machine. On several machines with one
file system, run the same command on each with KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT set to the address of the chief, and KERASTUNER_TUNER_ID to
`chief` there and to `worker0`, `worker1`, ... elsewhere. The chief gives out trials
and writes the page; a worker that died is started again with the same name.
"""

import contextlib
import dataclasses
import json
from pathlib import Path

from cnn_cifar10 import configs
from cnn_cifar10.cli import options
from cnn_cifar10.utils import require_package, running_search

CONTINUES = True
_DATA = set(configs.DATA_FIELDS) - set(configs.SHORT_TRIAL)  # which has options of its own
_FIELDS = (*sorted(_DATA), "class_weight", "model", "start", "seed")


def add_arguments(parser):
    width = max(map(len, configs.SPACE))
    listed = "".join(f"  {name:{width}}  {json.dumps(v)}\n" for name, v in configs.SPACE.items())
    parser.epilog = f"what is searched, unless --space and --set say otherwise:\n{listed}"
    options.add(parser, "--algorithm", "random", "what chooses trials", choices=configs.ALGORITHMS)
    options.add(parser, "--trials", 30, "how many at most")
    space = "JSON object of names to lists or ranges, instead of the space below"
    options.add(parser, "--space", Path, space, metavar="FILE.json")
    changes = (
        "narrow or extend the space: dropout=0,0.1 (a list), width=16:64 or "
        "learning_rate=0.05:0.4:log (ranges), optimizer=sgd (fixed)"
    )
    options.add(parser, "--set", str, changes, nargs="+", metavar="NAME=VALUES")
    options.add_fields(parser, _FIELDS, show_defaults=False)
    for name, default in configs.SHORT_TRIAL.items():
        options.add(parser, f"--{name.replace('_', '-')}", default, "as in `train`, of a trial")
    options.add(parser, "--search-seed", 0, "decides which configs are tried")
    options.add(parser, "--workers", 1, "trials at a time")
    options.add(parser, "--name", str, "of the search (default: <data>-<model>-<algorithm>)")
    options.add(parser, "--overwrite", False, "begin the search anew")
    options.add_shared(parser, "--quiet")


def run(args):
    require_package("keras_tuner", "tune needs", "'cnn-cifar10[tune]'")
    given = options.imply_folder(options.given_fields(args, _FIELDS))
    base = configs.make_config(**given)
    changes = _changes(args.set or (), base.model)
    name = args.name or f"{base.source}-{base.model}-{args.algorithm}"
    output = Path("reports/searches") / name
    trials = f"trials: {args.trials} ({args.algorithm}); epochs of each: {args.epochs}"
    print(f"Searching a config for {options.describe(base)}; {trials}; search: {output}")
    is_worker = configs.is_search_worker()
    state = (Path("models/searches") / name).absolute()
    # Before anything large is imported, so that a second process ends at once.
    with contextlib.nullcontext() if is_worker else running_search(state):
        search, rows = _search(args, given, base.model, changes, output, state)
        if is_worker:
            print("no trial is left; the chief writes the page")
            return {"trials": rows}

        from cnn_cifar10.experiments import write_search

        document = write_search(search, rows, output)
    print(document["answer"])
    options.say_made(page=output / "report.md", best_config=output / "best.json")
    return document


def _search(args, given, model, changes, output, state):
    """Run what is left of the search; return it, and its trials."""
    from cnn_cifar10.experiments import default_space, run_search

    space = configs.read_space(args.space) if args.space else default_space(model)
    search = configs.Search(
        space=configs.changed_space(space, changes),
        algorithm=args.algorithm,
        trials=args.trials,
        base=given,
        trial={name: getattr(args, name) for name in configs.SHORT_TRIAL},
        seed=args.search_seed,
    )
    rows = run_search(
        search,
        output,
        state,
        workers=args.workers,
        overwrite=args.overwrite,
        progress=not args.quiet,
    )
    return search, rows


def _changes(words, model):
    """Return the values that `--set` gives names, of the types of fields and network options."""
    from cnn_cifar10.architectures import check_options, find_network

    defaults = find_network(model).options
    others = {field.name for field in dataclasses.fields(configs.TrainingConfig)}
    others.add(configs.RATE_FACTOR)
    with options.naming("--set"):
        changes = dict(configs.parse_values(word, defaults) for word in words)
        if "model" not in changes:
            check_options(model, [name for name in changes if name not in others])
    return changes
