"""Cost model of data parallelism: seconds, memory and reading for a number of devices."""

from dataclasses import dataclass

from cnn_cifar10.configs import BANDWIDTH
from cnn_cifar10.training.measure import Speed


@dataclass(frozen=True)
class Cost:
    """What training on several devices takes.

    Args:
        computing: Seconds a step computes.
        sending: Seconds in which a step sends gradients, none of them hidden by computing.
        steps: Steps in an epoch.
        epoch: Seconds of an epoch with its validation, without compilation.
        rate: Images in a second, of all devices.
        cores: Cores that read and decode so many images; 0 where images are in memory.
    """

    computing: float
    sending: float
    steps: int
    epoch: float
    rate: float
    cores: float


def estimate_cost(
    speed: Speed,
    *,
    images: int,
    validation: int = 0,
    batch_size: int,
    parameters: int,
    devices: int,
    bandwidth: float = BANDWIDTH,
    core_seconds: float = 0.0,
) -> Cost:
    """Return what an epoch costs on devices that are like the one that was measured.

    Each device computes its share of a batch at the measured speed, and then sends twice
    (n - 1) / n of the float32 gradients (ring all-reduce,
    [Patarasuk and Yuan, 2009](https://doi.org/10.1016/j.jpdc.2008.09.002)). Small shares compute
    more slowly an image than that, and sending is hidden in part: the model holds where a share is
    no smaller than a tenth of the batch that was measured.

    Args:
        speed: What `measure_speed` found on one device, of the whole batch.
        images: Images that an epoch trains on.
        validation: Images that it is validated on.
        batch_size: Images in a step, of all devices.
        parameters: Numbers that are trained.
        devices: How many devices.
        bandwidth: What a device sends, in 10^9 bytes a second.
        core_seconds: What one core takes to read and decode an image.
    """
    steps = max(1, images // batch_size)
    computing = speed.train * batch_size / devices
    gradients = 4 * parameters
    sending = 2 * (devices - 1) / devices * gradients / (1e9 * bandwidth)
    rate = batch_size / (computing + sending)
    epoch = steps * batch_size / rate + validation * speed.predict / devices
    return Cost(computing, sending, steps, epoch, rate, rate * core_seconds)
