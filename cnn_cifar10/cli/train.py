"""Train a model, then measure it on the test split and write a report.

Writes the run (model, history, everything about it) to models/<run>, the report
with its figures to reports/<run>, and one row to reports/results.csv. Interrupt
it with Ctrl-C at any time: the same command continues where it stopped, unless
--overwrite starts it anew.
"""

from pathlib import Path

from cnn_cifar10.cli.options import add_fields, add_quiet, add_report_options, given_fields, report
from cnn_cifar10.configs import RECIPES, TrainingConfig, make_config, read_config
from cnn_cifar10.utils import InputError


def add_arguments(parser):
    parser.add_argument("--recipe", choices=RECIPES, help="starting point (default: standard)")
    parser.add_argument("--config", type=Path, help="JSON file to take the options from instead")
    add_fields(parser)
    parser.add_argument("--output", type=Path, help="folder of the run (default: models/<run>)")
    add_report_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a run in the same folder")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard logs into the run"
    )
    add_quiet(parser)


def run(args):
    given = given_fields(args)
    if args.config and args.recipe:
        raise InputError("--config and --recipe are both starting points: give one of them")
    if args.config:
        config = _changed(read_config(args.config), given)
    else:
        config = make_config(args.recipe or "standard", **given)

    from cnn_cifar10.training import load_data, train

    dataset = load_data(config)
    print(
        f"{dataset.title}: {len(dataset.train):,} images to train on, "
        f"{len(dataset.validation):,} to validate, {len(dataset.test):,} to test"
    )
    trained = train(
        config,
        args.output or Path("models") / config.name,
        dataset=dataset,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
        verbose=0 if args.quiet else 1,
    )
    return report(trained, dataset, args)


def _changed(config, given):
    """Return a config with other fields, as options of the command line change a file's."""
    values = config.to_dict()
    if given.get("optimizer", config.optimizer) != config.optimizer:
        values |= {"learning_rate": None, "weight_decay": None}  # the new optimizer's own
    options = config.model_options if given.get("model", config.model) == config.model else {}
    options = {**options, **given.get("model_options", {})}
    return TrainingConfig.from_dict({**values, **given, "model_options": options})
