"""Train a model, then measure it on the test split and write a report.

Of a folder of images, what the command leaves open is chosen by what they are: for
photographs a network that is pretrained on ImageNet, in a size and for as many epochs
as --minutes allows (10 unless said). Each choice is one line, with the option that
overrides it. With --model, --model-options, --recipe, --start or --config, the network
is as they say.

Writes the run (model, history, everything about it) to models/<run>, the report
with its figures to reports/<run>, and one row to reports/results.csv. Interrupt
it with Ctrl-C at any time: the same command continues where it stopped, in training
or in the report, unless --overwrite starts it anew. Once all is there, it says so.

All devices of the machine share each batch (--distribute). On JAX, several machines do so:
give the same command on each, with the variables of `keras.distribution.initialize` set,
or by `srun`. The first process writes; where one is lost, all end, and the same command
goes on, with fewer processes too.
"""

import argparse
import contextlib
import functools
import json
import math
import os
from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.configs import (
    LOSSES,
    OPTIMIZERS,
    PROCESS_COUNTS,
    RECIPES,
    SCHEDULES,
    TrainingConfig,
    make_config,
    read_config,
)
from cnn_cifar10.utils import InputError, printable, references, require_package, working_in

CONTINUES = True

_CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "loss": LOSSES}
_TRACKERS = {"mlflow": "mlflow.keras:MlflowCallback"}


def add_arguments(parser):
    parser.add_argument("--recipe", choices=RECIPES, help="starting point (default: standard)")
    options.add(parser, "--config", Path, "JSON file to take the options from instead")
    options.add_fields(parser)
    minutes = "choose epochs, and the size of photographs, so that all is done in about this time"
    options.add(parser, "--minutes", float, minutes)
    options.add(parser, "--output", Path, "folder of the run (default: models/<run>)")
    options.add_shared(parser, *options.REPORT)
    options.add(
        parser, "--overwrite", False, "replace a run in the same folder, its report and its row"
    )
    options.add(parser, "--tensorboard", False, "write TensorBoard logs into the run")
    tracker = "log to a tracker by its own callback, where its own variables say"
    options.add(parser, "--track", str, tracker, choices=_TRACKERS)
    saving = "seconds between two states (default: 10 to 300, by what saving takes)"
    options.add(parser, "--save-every", float, saving)
    sharing = (
        "devices of this machine that share each batch: auto (all), none (one) or a number "
        "(default: auto)"
    )
    parser.add_argument(
        "--distribute", type=_devices, default="auto", metavar="DEVICES", help=sharing
    )
    options.add_shared(parser, "--quiet")


def _devices(text):
    """Return how many devices share a batch, as `train` takes it."""
    if text in ("auto", "none"):
        return text
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be auto, none or a number, received {text!r}")
    return int(text)


def run(args):
    with contextlib.ExitStack() as stack:
        with _join_processes() as process:
            config, lines, dataset = (None, (), None) if process.index else prepare(args)
            if process.count > 1:
                config = _of_first(process, config)
            if process.index:
                return _take_part(args, config, process)
            stack.enter_context(working_in(output_folder(args, config)))
            ended = _train(args, config, lines, dataset)
        return _report(args, *ended)


def _join_processes():
    """Join other processes, if there are some; else nothing is loaded for it."""
    if not any(name in os.environ for name in PROCESS_COUNTS):
        return contextlib.nullcontext(argparse.Namespace(index=0, count=1))

    from cnn_cifar10.training import join_processes

    return join_processes()


def _of_first(process, config):
    """Return the config of the first process, which may have chosen by what it measured."""
    document = json.dumps(config and config.to_dict()).encode()
    return TrainingConfig.from_dict(json.loads(process.share({"config": document})["config"]))


def _take_part(args, config, process):
    """Train along with the first process, which writes the run and reports."""
    from cnn_cifar10.training import train

    train(config, output_folder(args, config), overwrite=args.overwrite, verbose=0)
    print(f"process {process.index} of {process.count} took part; process 0 writes the report")
    return {}


def _train(args, config, lines, dataset):
    """Return the trained run, its data, and whether it was finished before."""
    if args.save_every is not None and not args.save_every >= 0:
        raise InputError(f"--save-every must be 0 or more, received {args.save_every:g}")
    run = _check_places(args, config)
    if args.track:
        require_package(args.track, "--track needs", "'cnn-cifar10[trackers]'")

    from keras.callbacks import LambdaCallback

    from cnn_cifar10.datasets import ImageFiles
    from cnn_cifar10.reporting import describe_data, remove_report
    from cnn_cifar10.training import check_size, load_data, train

    is_finished = run.is_finished and not args.overwrite
    if not is_finished:
        print(f"Training {options.describe(config)}; epochs: {config.epochs}; run: {run.path}")
        check_size(config)
    dataset = dataset or load_data(config)
    _check_report(args, config, run, dataset.title)
    callbacks = [references.load(_TRACKERS[args.track])()] if args.track else []
    if args.overwrite:  # what is refused before it begins leaves the report as it is
        report = run.path.name, options.report_folder(args, run.path), args.results
        callbacks.append(LambdaCallback(on_train_begin=lambda logs: remove_report(*report)))
    counts = [f"{len(dataset.split(name)):,}" for name in ("train", "validation", "test")]
    about = ["{}: {} images to train on, {} to validate, {} to test".format(dataset.title, *counts)]
    if isinstance(dataset.train.images, ImageFiles):
        about = describe_data(dataset)
    print(*about, *lines, sep="\n")
    trained = train(
        config,
        run.path,
        dataset=dataset,
        callbacks=callbacks,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
        save_every=args.save_every,
        distribute=args.distribute,
        verbose=options.verbosity(args),
    )
    return trained, dataset, is_finished


def _report(args, run, dataset, is_finished):
    """Write what is missing of a run's report, and return it."""
    known = options.known_report(run, args) if is_finished else None
    if is_finished:
        left = "nothing is left to do" if known else "its report is written now"
        print(f"{run.path}: this run is finished; {left} (--overwrite trains it anew)")
    return known or options.report(run, dataset, args)


def prepare(args):
    """Return the config that is asked for, a line for each choice in it, and data if loaded."""
    given = _given(args)
    config = read_config_of(args)
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise InputError(f"--minutes must be above 0, received {args.minutes:g}")
    is_folder = config.dataset == "folder" and not args.config
    if not (is_folder or args.minutes):
        return config, (), None
    asked = (args.recipe, args.config, *map(given.get, ("model", "model_options", "start")))
    chooses_model = is_folder and not any(asked)
    recipes = ("finetune", "transfer", "standard") if chooses_model else (None,)
    for name in (read_config_of(args, recipe).name for recipe in recipes):
        if began := _begun(args, given, args.output or Path("models") / name):
            return began, (), None

    from cnn_cifar10.training import glance, load_data, look_at, make_plan, measure_speed

    def measure(config, size, classes):
        _check_places(args, config)
        print(f"Measuring some steps of {options.describe(config)}")
        return measure_speed(config, size, classes)

    dataset = None if is_folder else load_data(config)
    plan = make_plan(
        glance(config) if dataset is None else look_at(dataset),
        functools.partial(read_config_of, args),
        given,
        is_folder=is_folder,
        chooses_model=chooses_model,
        minutes=args.minutes,
        measure=measure,
    )
    return plan.config, plan.lines, dataset


def _check_places(args, config):
    """Return the `Run`; raise, before images are read, what would stop it."""
    from cnn_cifar10.datasets import find_source
    from cnn_cifar10.training import Run, check_run

    source, given = find_source(config.dataset), _given(args)
    for name in ("fit", "skip_damaged"):
        if not source.image_size and name in given:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} is of image files, not of {config.dataset}: leave it out")
    run = Run(output_folder(args, config))
    check_run(run, config, args.overwrite, args.tensorboard)
    if config.dataset == "folder":  # whose title is known
        _check_report(args, config, run, printable(config.source))
    return run


def _check_report(args, config, run, title):
    from cnn_cifar10.reporting import check_report_place

    facts = {"run": run.path.name, "id": run.id, "model": config.model, "seed": config.seed}
    folder = options.report_folder(args, run.path)
    facts["dataset"] = title
    check_report_place(facts, folder, args.results, overwrite=args.overwrite)


def output_folder(args, config):
    """Return the folder of the run."""
    return args.output or Path("models") / config.name


def _begun(args, given, output):
    """Return the config of the run in a folder, finished or not, if the command asks for it."""
    if args.overwrite or not (output / "config.json").exists():
        return None
    began, config = _config_of(output), read_config_of(args)
    asked = {**RECIPES.get(args.recipe, {}), **given}
    if args.config:
        asked = dict.fromkeys({*config.to_dict()} - ({"epochs", "small_epochs"} - {*given}))
    agree = began and all(
        getattr(began, name) == getattr(config, name) for name in asked if name != "model_options"
    )
    if not agree or not config.model_options.items() <= began.model_options.items():
        return None
    with working_in(output):  # another process may be training it: said before anything is loaded
        state = "a finished" if (output / "run.json").exists() else "an unfinished"
    print(f"{output}: {state} run of these options goes on, as its config.json says")
    return began


def _config_of(output):
    try:
        return read_config(output / "config.json")
    except InputError:  # damaged: what else is there knows it too, if the run came so far
        from cnn_cifar10.training import Run

        run = Run(output)
        return run.config() if run.is_finished or run.is_begun else None


def _given(args):
    """Return the fields of the config that are given."""
    given = options.given_fields(args)
    return given if args.config else options.imply_folder(given)


def read_config_of(args, recipe=None, **chosen):
    """Return the config that is asked for: of a recipe and fields, where it leaves them open."""
    from cnn_cifar10.architectures import check_options

    if args.config and args.recipe:
        raise InputError("--config and --recipe are both starting points: give one of them")
    recipe, given = recipe or args.recipe or "standard", _given(args)
    start = read_config(args.config) if args.config else make_config(recipe)
    if words := given.get("model_options"):
        given["model_options"] = options.read_model_options(words, given.get("model", start.model))
    fields = {**chosen, **given}
    config = _changed(start, fields) if args.config else make_config(recipe, **fields)
    check_options(config.model, config.model_options)
    for field, entries in _CHOICES.items():
        _check_used(given, entries, getattr(config, field))
    return config


def _check_used(given, entries, chosen):
    """Raise where a field is given that others of these entries make use of, but not the chosen."""
    for name in sorted(given):
        having = [other for other, entry in entries.items() if name in entry.fields]
        if having and chosen not in having:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} is of {', '.join(having)}, not of {chosen}: leave it out")


def _changed(config, given):
    """Return a config with other fields, as options of the command line change a file's.

    What the file has as its network's training usually does is the other network's usual then.
    """
    from cnn_cifar10.architectures import usual_training

    new = usual_training(given.get("model", config.model))
    values = config.to_dict()
    same = {name: values[name] for name in ("model", "optimizer", "batch_size")}
    usual = make_config(**same).to_dict()
    for name in {"learning_rate", "weight_decay", *usual_training(config.model), *new}:
        if values[name] == usual[name]:
            del values[name]
    optimizer = {**new, **values, **given}.get("optimizer", TrainingConfig.optimizer)
    if optimizer != config.optimizer:
        values |= {"learning_rate": None, "weight_decay": None}  # the new optimizer's own
    chosen = config.model_options if given.get("model", config.model) == config.model else {}
    chosen = {**chosen, **given.get("model_options", {})}
    return make_config(**{**values, **given, "model_options": chosen})
