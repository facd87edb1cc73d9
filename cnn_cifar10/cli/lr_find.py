"""Find a learning rate: train for some steps at rising ones, and see where the loss falls.

Takes the options of `train`, and keeps nothing of what it trains. Writes lr_find.png and
lr_find.csv into the folder of the report, and prints the command that trains with the
suggestion, between where the loss falls fastest and where it is lowest (Smith, 2017).
"""

import shlex

from cnn_cifar10.cli import options, train
from cnn_cifar10.utils import InputError, write_csv, write_figure

add_arguments = train.add_arguments


def run(args):
    if hasattr(args, "learning_rate"):
        raise InputError("--learning-rate is what lr-find finds: leave it out")
    config, lines, dataset = train.prepare(args)
    print(f"Range test of {options.describe(config)} with {config.optimizer}", *lines, sep="\n")

    from cnn_cifar10.plotting import plot_range_test
    from cnn_cifar10.training import check_size, find_learning_rate, load_data

    check_size(config)
    found = find_learning_rate(config, dataset or load_data(config), verbose=not args.quiet)
    folder = options.report_folder(args, train.output_folder(args, config))
    folder.mkdir(parents=True, exist_ok=True)
    columns = (found.learning_rates, found.losses, found.smoothed)
    title = f"{options.describe(config)}, {config.optimizer}"
    write_figure(folder / "lr_find.png", plot_range_test(*columns, found.suggestion, title))
    write_csv(
        folder / "lr_find.csv", ("learning_rate", "loss", "smoothed"), zip(*columns, strict=True)
    )
    rate = f"{found.suggestion:.2g}"
    print(f"suggestion: a learning rate of {rate}, where it would be {config.learning_rate:g}")
    words = [word for word in args.words if word != "--json"]
    words[words.index("lr-find")] = "train"
    print(f"cnn-cifar10 {shlex.join([*words, '--learning-rate', rate])}")
    options.say_made(curve=folder / "lr_find.png", table=folder / "lr_find.csv")
    return {"learning_rate": found.suggestion}
