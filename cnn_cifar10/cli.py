"""The `cnn-cifar10` command.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from pathlib import Path

from cnn_cifar10 import __version__
from cnn_cifar10.artifacts import FORMATS
from cnn_cifar10.configs import RECIPES, TrainingConfig, make_config, read_config, type_name
from cnn_cifar10.errors import InputError
from cnn_cifar10.searches import (
    ALGORITHMS,
    SHORT_TRIAL,
    SPACE,
    Search,
    changed_space,
    parse_values,
    read_space,
)
from cnn_cifar10.studies import STUDIES, find_study

EXAMPLES = """\
examples:
  cnn-cifar10 train --dataset digits --epochs 5
  cnn-cifar10 train --dataset cifar10 --model custom_cnn --seed 1
  cnn-cifar10 train --dataset folder --data-dir photos --image-size 64 --augment crop+flip+color
  cnn-cifar10 evaluate models/cifar10-custom_cnn-seed1
  cnn-cifar10 predict photo.jpg
  cnn-cifar10 export models/cifar10-custom_cnn-seed1
  cnn-cifar10 sweep activation --dataset digits --seeds 0 1
  cnn-cifar10 tune --trials 30 --workers 2 --set optimizer=sgd dropout=0,0.1,0.2
  cnn-cifar10 predict --model models/cifar10-custom_cnn-seed1 photo.jpg
  cnn-cifar10 serve --port 8000
"""

TRAIN_DESCRIPTION = """\
Train a model, then measure it on the test split and write a report.

Writes the run (model, history, everything about it) to models/<run>, the report
with its figures to reports/<run>, and one row to reports/results.csv. Interrupt
it with Ctrl-C at any time: the same command continues where it stopped, unless
--overwrite starts it anew.
"""

EXPORT_DESCRIPTION = """\
Export a trained model to ONNX, LiteRT (float and int8) and SavedModel, and write
its model card and checksums, all into the folder of the run.

Each format is loaded back and compared with the Keras model on images of the
split that the report is on; nothing is kept if one does not agree. Replaces an
earlier export. Needs TensorFlow, tf2onnx and ai-edge-litert.
"""

SWEEP_DESCRIPTION = """\
Train the variants of a study with several seeds, and compare them.

Each run adds a row to runs.csv in the study's folder, from which the page report.md
and its figure are made. Runs are compared on the validation split; the test split
is not used. Interrupt it at any time: the same command continues where it stopped,
and once all runs are done it only writes the page again.
"""

TUNE_DESCRIPTION = """\
Search for a config of higher validation accuracy, with KerasTuner.

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

SERVE_DESCRIPTION = """\
Classify pictures that are sent over HTTP; /docs explains the service.

Listens on this machine alone, unless --host names another address. That needs a
token in the variable CNN_CIFAR10_TOKEN, which every request but GET /health must
then show. SIGTERM lets requests under way finish.
"""

_TUNE_FIELDS = ("dataset", "data_dir", "image_size", "skip_damaged", "model", "start", "seed")
_SWEEP_FIELDS = ("dataset", "data_dir", "image_size", "train_images", "epochs")


def main(argv=None):
    """Run the command line.

    Args:
        argv: Arguments; those of the process where omitted.

    Returns:
        Exit code: 0 done, 2 input that cannot be used, 130 interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    args = _build_parser().parse_args(argv)
    try:
        with contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext():
            document = args.command(args)
    except (InputError, OSError) as error:
        print(f"cnn-cifar10: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        backend = (error.name or "").partition(".")[0]
        if backend not in ("tensorflow", "jax", "torch"):
            raise
        print(
            f"cnn-cifar10: {backend}, which Keras would run on, is not installed: "
            f"pip install {backend}, or set KERAS_BACKEND to one that is "
            "(tensorflow, jax or torch)",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\ncnn-cifar10: interrupted", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps(document, indent=2))
    return 0


def _build_parser():
    parser = argparse.ArgumentParser(
        prog="cnn-cifar10",
        description="Train, evaluate and use image classifiers built with Keras.",
        epilog=EXAMPLES + "\n`cnn-cifar10 COMMAND --help` explains a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add(commands, "datasets", _datasets, "list the data sets")
    _add(commands, "models", _models, "list the networks and their options")
    _add_train(commands)
    _add_evaluate(commands)
    _add_compare(commands)
    _add_export(commands)
    _add_sweep(commands)
    _add_findings(commands)
    _add_tune(commands)
    _add_predict(commands)
    _add_serve(commands)
    return parser


def _add(commands, name, function, help, description=None):
    parser = commands.add_parser(
        name,
        help=help,
        description=description or help[0].upper() + help[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document on standard output"
    )
    parser.set_defaults(command=function)
    return parser


def _add_train(commands):
    parser = _add(commands, "train", _train, "train a model and report on it", TRAIN_DESCRIPTION)
    parser.add_argument("--recipe", choices=RECIPES, help="starting point (default: standard)")
    parser.add_argument("--config", type=Path, help="JSON file to take the options from instead")
    _add_fields(parser, [field.name for field in dataclasses.fields(TrainingConfig)])
    parser.add_argument("--output", type=Path, help="folder of the run (default: models/<run>)")
    _add_report_options(parser)
    parser.add_argument(
        "--no-test",
        action="store_true",
        help="report on the validation split and leave the test split untouched; use it to choose",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a run in the same folder")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard logs into the run"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _add_fields(parser, names, show_defaults=True):
    """Add an option for each of these fields of a config, absent where it is not given."""
    types = {"str": str, "int": int, "float": float}
    for field in dataclasses.fields(TrainingConfig):
        if field.name not in names:
            continue
        kind = type_name(field)
        if kind == "dict":
            how = {"nargs": "+", "metavar": "NAME=VALUE", "type": _option}
        elif kind == "bool":
            how = {"action": "store_true"}
        else:
            how = {"type": types[kind], "choices": field.metadata["choices"]}
        shown = show_defaults and field.default not in (None, False, dataclasses.MISSING)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=field.metadata["help"] + (f" (default: {field.default})" if shown else ""),
            **how,
        )


def _add_report_options(parser):
    parser.add_argument("--report", type=Path, help="folder of the report (default: reports/<run>)")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("reports/results.csv"),
        help="table that gets a row for the run (default: %(default)s)",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="measure accuracy over six views of each picture too (test-time augmentation)",
    )
    parser.add_argument(
        "--closer",
        action="store_true",
        help="report calibration, robustness to corruptions and what the model looks at too",
    )


def _add_evaluate(commands):
    parser = _add(commands, "evaluate", _evaluate, "measure a trained model again")
    parser.add_argument("run", type=Path, help="folder of the run, such as models/<run>")
    parser.add_argument("--data-dir", help="where the data is now, if not where it was")
    _add_report_options(parser)
    parser.add_argument(
        "--no-test", action="store_true", help="report on the validation split instead"
    )


def _add_compare(commands):
    parser = _add(commands, "compare", _compare, "compare the runs in a table of results")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("reports/results.csv"),
        help="the table (default: %(default)s)",
    )
    parser.add_argument(
        "--metric",
        choices=("accuracy", "validation_accuracy"),
        default="accuracy",
        help="figure to compare: of the test split, or, to choose, of validation",
    )
    parser.add_argument("--dataset", metavar="TITLE", help="compare runs on this data set alone")
    parser.add_argument(
        "--output", type=Path, help="folder for a page of the comparison, with figures"
    )


def _add_export(commands):
    parser = _add(commands, "export", _export, "export a trained model", EXPORT_DESCRIPTION)
    parser.add_argument("run", type=Path, help="folder of the run, such as models/<run>")
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=FORMATS,
        default=list(FORMATS),
        metavar="FORMAT",
        help=f"some of {', '.join(FORMATS)} (default: all)",
    )
    parser.add_argument(
        "--images", type=int, default=1000, help="images to compare on (default: %(default)s)"
    )
    parser.add_argument("--data-dir", help="where the data is now, if not where it was")
    parser.add_argument("--report", type=Path, help="folder of the report (default: reports/<run>)")
    parser.add_argument("--license", help="license of the model, for its card, such as mit")


def _add_sweep(commands):
    width = max(map(len, STUDIES))
    listed = "".join(f"  {name:{width}}  {each.question}\n" for name, each in STUDIES.items())
    parser = _add(
        commands,
        "sweep",
        _sweep,
        "run a study: a grid of configs and seeds",
        f"{SWEEP_DESCRIPTION}\nstudies:\n{listed}",
    )
    parser.add_argument("study", help="one of those above, or a .json file that declares another")
    _add_fields(parser, _SWEEP_FIELDS, show_defaults=False)
    parser.add_argument("--seeds", nargs="+", type=int, help="instead of the study's own")
    parser.add_argument(
        "--output", type=Path, help="folder of the study (default: reports/studies/<data>-<study>)"
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep every run's folder in models/sweeps/<data>-<study>",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _add_findings(commands):
    parser = _add(commands, "findings", _findings, "say what the studies found, on one page")
    parser.add_argument(
        "--dataset", default="cifar10", help="data of the studies (default: cifar10)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("reports/findings.md"),
        help="the page, beside the folder `studies` that is read (default: %(default)s)",
    )


def _add_tune(commands):
    width = max(map(len, SPACE))
    listed = "".join(f"  {name:{width}}  {json.dumps(SPACE[name])}\n" for name in SPACE)
    parser = _add(
        commands,
        "tune",
        _tune,
        "search for a better config",
        f"{TUNE_DESCRIPTION}\nwhat is searched, unless --space and --set say otherwise:\n{listed}",
    )
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="random")
    parser.add_argument(
        "--trials", type=int, default=30, help="how many at most (default: %(default)s)"
    )
    parser.add_argument(
        "--space",
        type=Path,
        metavar="FILE.json",
        help="JSON object of names to lists or ranges, instead of the space above",
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
    _add_fields(parser, _TUNE_FIELDS, show_defaults=False)
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
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _add_predict(commands):
    parser = _add(commands, "predict", _predict, "classify pictures")
    parser.add_argument("images", nargs="+", type=Path, help="pictures, or folders of pictures")
    parser.add_argument(
        "--model",
        type=Path,
        help="folder of an exported run (default: the model that comes with the package)",
    )
    parser.add_argument("--top", type=int, default=5, help="how many classes to name (default: 5)")
    parser.add_argument(
        "--mirror",
        action="store_true",
        help="average over each picture and its mirror image (test-time augmentation)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.0,
        help="answer `unsure` where the best class has a lower probability, such as 0.6",
    )


def _add_serve(commands):
    parser = _add(commands, "serve", _serve, "classify pictures over HTTP", SERVE_DESCRIPTION)
    parser.add_argument(
        "--model",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="folders of exported runs, the default model first; each is served by its name "
        "(default: the model that comes with the package)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8000, help="port; 0 takes a free one (default: %(default)s)"
    )


def _option(text):
    """Parse `name=value`, the value as JSON where it is JSON."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    with contextlib.suppress(json.JSONDecodeError):
        value = json.loads(value)
    return name, value


def _values(text):
    try:
        return parse_values(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _datasets(args):
    from cnn_cifar10.datasets import DATASETS

    for name, description in DATASETS.items():
        print(f"{name:10} {description}")
    return [{"name": name, "description": text} for name, text in DATASETS.items()]


def _models(args):
    import inspect

    import keras

    from cnn_cifar10.architectures import MODELS, create_model, list_models, model_options

    rows = []
    for name in list_models():
        options = model_options(name)
        builder = getattr(MODELS[name], "func", MODELS[name])
        no_download = {"weights": None} if "weights" in options else {}
        with keras.StatelessScope(initialize_variables=False):  # shapes are enough to count
            parameters = create_model(name, **no_download).count_params()
        description = inspect.getdoc(builder).splitlines()[0]
        rows.append(
            {"name": name, "parameters": parameters, "description": description, "options": options}
        )
        print(f"{name:16} {parameters:>12,} parameters  {description}")
        if options:
            print(f"{'':16} " + ", ".join(f"{key}={value!r}" for key, value in options.items()))
    return rows


def _train(args):
    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    given = {key: value for key, value in vars(args).items() if key in fields}
    if "model_options" in given:
        given["model_options"] = dict(given["model_options"])
    if args.config and args.recipe:
        raise InputError("--config and --recipe are both starting points: give one of them")
    if args.config:
        config = _changed(read_config(args.config), given)
    else:
        config = make_config(args.recipe or "standard", **given)

    from cnn_cifar10.training import load_data, train

    output = args.output or Path("models") / config.name
    dataset = load_data(config)
    print(
        f"{dataset.title}: {len(dataset.train):,} images to train on, "
        f"{len(dataset.validation):,} to validate, {len(dataset.test):,} to test"
    )
    run = train(
        config,
        output,
        dataset=dataset,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
        verbose=0 if args.quiet else 1,
    )
    return _report(run, dataset, args)


def _changed(config, given):
    """Return a config with other fields, as options of the command line change a file's."""
    values = config.to_dict()
    if given.get("optimizer", config.optimizer) != config.optimizer:
        values |= {"learning_rate": None, "weight_decay": None}  # the new optimizer's own
    options = config.model_options if given.get("model", config.model) == config.model else {}
    options = {**options, **given.get("model_options", {})}
    return TrainingConfig.from_dict({**values, **given, "model_options": options})


def _evaluate(args):
    return _report(*_open_run(args), args)


def _open_run(args):
    """Return the run that is named and its data."""
    from cnn_cifar10.runs import open_run
    from cnn_cifar10.training import load_data

    run = open_run(args.run)
    config = run.config()
    if args.data_dir:
        config = dataclasses.replace(config, data_dir=args.data_dir)
    return run, load_data(config)


def _report(run, dataset, args):
    from cnn_cifar10.reporting import report_run

    folder = args.report or Path("reports") / run.path.name
    splits = ("train", "validation") if args.no_test else ("train", "validation", "test")
    report = report_run(
        run, dataset, folder, args.results, splits, tta=args.tta, closer=args.closer
    )
    print(report["headline"])
    print(f"model: {run.path}   report: {folder / 'report.md'}   row: {args.results}")
    return report


def _compare(args):
    from cnn_cifar10.results import (
        format_table,
        read_results,
        summarize_results,
        summary_columns,
    )

    rows = summarize_results(read_results(args.results), args.metric)
    if not rows:
        raise InputError(f"{args.results}: no run has a figure for --metric {args.metric}")
    titles = sorted({row["dataset"] for row in rows})
    choices = ", ".join(map(repr, titles))
    if args.dataset and args.dataset not in titles:
        raise InputError(f"{args.results}: no run is on {args.dataset!r}: choose from {choices}")
    if args.output and not args.dataset and len(titles) > 1:
        raise InputError(f"a page is of one data set: choose one with --dataset from {choices}")
    rows = [row for row in rows if args.dataset in (None, row["dataset"])]
    print(format_table(rows, summary_columns(args.metric)))
    if args.output:
        from cnn_cifar10.comparison import write_comparison

        write_comparison(args.output, rows, args.results.parent, args.metric)
        print(f"page: {args.output / 'comparison.md'}")
    return rows


def _export(args):
    from cnn_cifar10.cards import format_comparison
    from cnn_cifar10.exporting import export_run
    from cnn_cifar10.reporting import read_report

    run, dataset = _open_run(args)
    report = read_report(args.report or Path("reports") / run.path.name)
    description = export_run(
        run, dataset, report, args.formats, images=args.images, license=args.license
    )
    print(format_comparison(description))
    print(f"model: {run.path}   card: {run.path / 'README.md'}")
    return description


def _sweep(args):
    given = vars(args)
    study = find_study(args.study)
    study = study.with_base(**{name: given[name] for name in _SWEEP_FIELDS if name in given})
    if args.seeds:
        study = dataclasses.replace(study, seeds=args.seeds)
    source = study.config(study.reference, study.seeds[0]).source
    output = args.output or Path("reports/studies") / f"{source}-{study.name}"

    from cnn_cifar10.analysis import write_study
    from cnn_cifar10.experiments import run_study

    models = Path("models/sweeps") / output.name
    rows = run_study(study, output, models, keep=args.keep, progress=not args.quiet)
    document = write_study(study, rows, output)
    print(document["answer"])
    print(f"page: {output / 'report.md'}   runs: {output / 'runs.csv'}")
    return document


def _findings(args):
    from cnn_cifar10.experiments import read_runs
    from cnn_cifar10.findings import write_findings

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


def _tune(args):
    import importlib.util

    if importlib.util.find_spec("keras_tuner") is None:
        raise InputError("tune needs KerasTuner: pip install keras-tuner")

    from cnn_cifar10.trials import write_search
    from cnn_cifar10.tuning import default_space, is_worker, run_search

    given = vars(args)
    base = make_config(**{name: given[name] for name in _TUNE_FIELDS if name in given})
    space = read_space(args.space) if args.space else default_space(base.model)
    search = Search(
        space=changed_space(space, dict(args.set)),
        algorithm=args.algorithm,
        trials=args.trials,
        base={name: given[name] for name in _TUNE_FIELDS if name in given},
        trial={name: given[name] for name in SHORT_TRIAL},
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


def _predict(args):
    from cnn_cifar10.images import IMAGE_FORMATS
    from cnn_cifar10.inference import Classifier

    files = []
    for path in args.images:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_FORMATS)
            if not inside:
                raise InputError(f"{path}: holds no pictures ({', '.join(IMAGE_FORMATS)})")
            files += inside
        else:
            files.append(path)
    if args.top < 1:
        raise InputError(f"--top must be 1 or more, received {args.top}")
    document = []
    classifier = Classifier.open(args.model, mirror=args.mirror, threshold=args.threshold)
    for file, prediction in zip(files, classifier.classify_files(files), strict=True):
        label, top = prediction.label, prediction.top(args.top)
        document.append({"file": str(file), **top[0], "class": label, "top": top})
        unsure = "" if label == top[0]["class"] else f"{label}; "
        print(f"{file}: {unsure}" + ", ".join(f"{t['class']} {t['probability']:.1%}" for t in top))
    return document


def _serve(args):
    import importlib.util

    if importlib.util.find_spec("fastapi_offline") is None:
        raise InputError("serve needs FastAPI and more: pip install 'cnn-cifar10[serve]'")

    from cnn_cifar10.artifacts import SHIPPED, shipped_artifact
    from cnn_cifar10.inference import Classifier
    from cnn_cifar10.server import TOKEN_VARIABLE, serve

    folders = {}
    for folder in args.model:
        name = folder.resolve().name
        if name in folders:
            raise InputError(f"{folder}: another model is named {name} too; rename its folder")
        folders[name] = folder
    folders = folders or {SHIPPED[-1].name: shipped_artifact()}
    classifiers = {name: Classifier.open(folder) for name, folder in folders.items()}
    serve(classifiers, host=args.host, port=args.port, token=os.environ.get(TOKEN_VARIABLE))
