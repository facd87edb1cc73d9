"""Train a model, then measure it on the test split and write a report.

Writes the run (model, history, everything about it) to models/<run>, the report
with its figures to reports/<run>, and one row to reports/results.csv. Interrupt
it with Ctrl-C at any time: the same command continues where it stopped, unless
--overwrite starts it anew.
"""

from pathlib import Path

from cnn_cifar10.cli import options
from cnn_cifar10.configs import RECIPES, TrainingConfig, make_config, read_config
from cnn_cifar10.utils import InputError

CONTINUES = True


def add_arguments(parser):
    parser.add_argument("--recipe", choices=RECIPES, help="starting point (default: standard)")
    options.add(parser, "--config", Path, "JSON file to take the options from instead")
    options.add_fields(parser)
    options.add(parser, "--output", Path, "folder of the run (default: models/<run>)")
    options.add_shared(parser, *options.REPORT)
    options.add(parser, "--overwrite", False, "replace a run in the same folder")
    options.add(parser, "--tensorboard", False, "write TensorBoard logs into the run")
    options.add_shared(parser, "--quiet")


def run(args):
    config = _read_config(args)
    output = args.output or Path("models") / config.name
    print(f"Training {options.describe(config)}; epochs: {config.epochs}; run: {output}")

    from cnn_cifar10.training import load_data, train

    dataset = load_data(config)
    print(
        f"{dataset.title}: {len(dataset.train):,} images to train on, "
        f"{len(dataset.validation):,} to validate, {len(dataset.test):,} to test"
    )
    trained = train(
        config,
        output,
        dataset=dataset,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
        verbose=options.verbosity(args),
    )
    # What is left to do when this is interrupted now.
    args.next_command = ["evaluate", str(trained.path), *options.report_words(args)]
    return options.report(trained, dataset, args)


def _read_config(args):
    """Return the config that is asked for."""
    from cnn_cifar10.architectures import check_options

    if args.config and args.recipe:
        raise InputError("--config and --recipe are both starting points: give one of them")
    recipe, given = args.recipe or "standard", options.given_fields(args)
    start = read_config(args.config) if args.config else make_config(recipe)
    if words := given.get("model_options"):
        given["model_options"] = options.read_model_options(words, given.get("model", start.model))
    config = _changed(start, given) if args.config else make_config(recipe, **given)
    check_options(config.model, config.model_options)
    return config


def _changed(config, given):
    """Return a config with other fields, as options of the command line change a file's."""
    values = config.to_dict()
    if given.get("optimizer", config.optimizer) != config.optimizer:
        values |= {"learning_rate": None, "weight_decay": None}  # the new optimizer's own
    chosen = config.model_options if given.get("model", config.model) == config.model else {}
    chosen = {**chosen, **given.get("model_options", {})}
    return TrainingConfig.from_dict({**values, **given, "model_options": chosen})
