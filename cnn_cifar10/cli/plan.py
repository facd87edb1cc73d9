"""Say what a training takes on several devices, before any are rented.

Takes the options of `train`. Measures some steps on one device here, on generated images,
and computes the rest: docs/scale.md explains the cost model, and where it stops holding.
With --images no data are read, so that it plans for data that are elsewhere:

  cnn-cifar10 plan --dataset imagenet --images 1281167 --classes 1000 --model resnet50 --devices 8
"""

import dataclasses

from cnn_cifar10.cli import options, train
from cnn_cifar10.configs import BANDWIDTH
from cnn_cifar10.utils import InputError, format_size


def add_arguments(parser):
    train.add_arguments(parser)
    options.add(parser, "--devices", 1, "devices like the one here that share each batch")
    options.add(parser, "--bandwidth", BANDWIDTH, "what a device sends, in 10^9 bytes a second")
    options.add(parser, "--price", float, "of a device for an hour, in any currency")
    options.add(parser, "--images", int, "images to train on, instead of reading the data")
    options.add(parser, "--classes", int, "number of classes, with --images (default: 10)")


def run(args):
    for name in ("devices", "bandwidth", "price", "images", "classes"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            raise InputError(f"--{name} must be above 0, received {value:g}")
    if args.classes and not args.images:
        raise InputError("--classes is for --images; the data have classes of their own")
    if args.images and args.minutes:
        raise InputError(
            "--minutes looks at the data, and --images does not: leave one of them out"
        )
    if args.images:
        config, lines, dataset = train.read_config_of(args), (), None
    else:
        config, lines, dataset = train.prepare(args)
    if config.batch_size % args.devices:
        raise InputError(
            f"--devices {args.devices}: batches of {config.batch_size} images are not shared "
            "evenly; give another --batch-size"
        )

    from cnn_cifar10.datasets import find_source
    from cnn_cifar10.training import (
        estimate_cost,
        estimate_memory,
        glance,
        load_data,
        look_at,
        measure_reading,
        measure_speed,
    )

    source, read = find_source(config.dataset), 0.0
    size = config.image_size or source.image_size
    if args.images:
        (images, validation), classes, size = (args.images, 0), args.classes or 10, size or 32
    else:
        look = glance(config) if source.list_files else look_at(dataset or load_data(config))
        (images, validation, _), classes, size = look.images, len(look.counts), size or look.side
        read = measure_reading(config, size) if source.list_files else 0.0
    print(f"Measuring some steps of {options.describe(config)} on one device", *lines, sep="\n")
    speed = measure_speed(config, size, classes)
    memory = estimate_memory(config, size, classes, config.batch_size // args.devices)
    cost = estimate_cost(
        speed,
        images=images,
        validation=validation,
        batch_size=config.batch_size,
        parameters=memory["gradients"] // 4,
        devices=args.devices,
        bandwidth=args.bandwidth,
        core_seconds=read,
    )
    seconds = config.epochs * cost.epoch
    document = dataclasses.asdict(cost)
    document |= {"seconds": seconds, "devices": args.devices, "memory": memory}
    sending = cost.sending / (cost.computing + cost.sending)
    print(f"{images:,} images of {size} pixels; batches of {config.batch_size}")
    print(f"one device, measured here: {1 / speed.train:,.0f} images/s")
    if args.devices > 1:
        rate = f"{cost.rate:,.0f} images/s, {sending:.0%} of the time in sending"
        print(f"{args.devices} devices: {rate}")
    parts = ", ".join(f"{name} {format_size(count)}" for name, count in memory.items())
    print(f"memory of a device: about {format_size(sum(memory.values()))} ({parts})")
    if cost.cores:
        print(f"reading and decoding so many images takes {cost.cores:.1f} cores like these")
    print(f"{config.epochs} epochs of {cost.epoch:,.0f} s: {seconds / 3600:.2f} hours")
    if args.price:
        document["price"] = args.price * args.devices * seconds / 3600
        print(f"price: {document['price']:,.2f}")
    return document
