"""airbench94_muon's recipe in plain PyTorch on a processor: what fastnet is measured against.

    python benchmarks/torch_airbench.py --seed 0

Channels last, convolutions in bfloat16 by autocast. Network, optimizer and schedule are
those of https://github.com/KellerJordan/cifar10-airbench (airbench94_muon.py), written
anew for a processor; it needs `pip install torch`.
"""

import argparse
import json
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cnn_cifar10.architectures import find_network
from cnn_cifar10.datasets import load_dataset

_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
_MUON_RATE, _BIAS_RATE, _HEAD_RATE, _DECAY = 0.24, 0.053, 0.67, 2e-6
AIRBENCH94 = (64, 64, 256, 256, 256, 256)
"""Filters of its network's convolutions, two a stage."""


class Stage(nn.Module):
    """Two convolutions; the first one's output is pooled."""

    def __init__(self, inputs, first, second, activation):
        super().__init__()
        self.activation = activation
        self.conv1 = nn.Conv2d(inputs, first, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        # PyTorch's momentum is the share of the new statistics.
        self.norm1 = nn.BatchNorm2d(first, eps=1e-12, momentum=0.4)
        self.norm2 = nn.BatchNorm2d(second, eps=1e-12, momentum=0.4)
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight.data[: conv.in_channels])
        for norm in (self.norm1, self.norm2):
            norm.weight.requires_grad = False

    def forward(self, x):
        x = self.activation(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return self.activation(self.norm2(self.conv2(x)))


class Network(nn.Module):
    """airbench94's network, or one of other filters."""

    def __init__(self, activation=F.gelu, filters=AIRBENCH94):
        super().__init__()
        self.activation = activation
        self.whitening = nn.Conv2d(3, 24, 2)
        self.whitening.weight.requires_grad = False
        self.stages = nn.Sequential(
            *(
                Stage(inputs, *pair, activation)
                for inputs, *pair in zip(
                    (24, *filters[1:-1:2]), filters[::2], filters[1::2], strict=True
                )
            )
        )
        self.head = nn.Linear(filters[-1], 10, bias=False)
        self.head.weight.data /= self.head.weight.data.std()

    def adapt(self, images, epsilon=5e-4):
        """Compute the whitening from normalized images `(n, 3, height, width)`."""
        patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
        kernel = (components / torch.sqrt(variances + epsilon)).T.reshape(12, 3, 2, 2)
        self.whitening.weight.data.copy_(torch.cat([kernel, -kernel]))

    def forward(self, x, train_whitening=True):
        bias = self.whitening.bias if train_whitening else self.whitening.bias.detach()
        x = self.activation(F.conv2d(x, self.whitening.weight, bias))
        x = F.max_pool2d(self.stages(x), 3).flatten(1)
        return self.head(x) / x.shape[1]


class Muon(torch.optim.Optimizer):
    """Steps of orthogonal matrices for kernels, whose norm is kept."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": _MUON_RATE})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                velocity = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
                velocity.mul_(0.6).add_(weight.grad)
                gradient = weight.grad.add(velocity, alpha=0.6)
                weight.mul_(len(weight) ** 0.5 / weight.norm())
                step = _orthogonalize(gradient.reshape(len(gradient), -1)).view_as(weight)
                weight.add_(step, alpha=-group["lr"])


def _orthogonalize(matrix):
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    if wide := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(3):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if wide else x


class Trainer:
    """The recipe, step by step.

    Args:
        images: Normalized, `(n, 3, height, width)`.
        labels: `(n,)`.
        epochs: Passes over them.
        batch_size: Images a step.
        seed: Integer.
        **network: As for `Network`.
    """

    def __init__(self, images, labels, *, epochs=8, batch_size=2000, seed=0, **network):
        torch.manual_seed(seed)
        self.labels, self.batch_size = labels, batch_size
        self.network = Network(**network).to(memory_format=torch.channels_last)
        self.network.adapt(images[:5000])
        self.images = images.to(memory_format=torch.channels_last)
        mirror = torch.rand(len(images)) < 0.5
        self.images[mirror] = self.images[mirror].flip(-1)
        self.steps_per_epoch = len(images) // batch_size
        self.total_steps, self.whitening_steps = (n * self.steps_per_epoch for n in (epochs, 3))
        decay = _DECAY * batch_size
        others = [n for n in self.network.stages.parameters() if n.ndim == 1 and n.requires_grad]
        self.sgd = torch.optim.SGD(
            [
                {"params": params, "lr": rate, "weight_decay": decay / rate, "first": rate}
                for params, rate in (
                    ([self.network.whitening.bias], _BIAS_RATE),
                    (others, _BIAS_RATE),
                    ([self.network.head.weight], _HEAD_RATE),
                )
            ],
            momentum=0.85,
            nesterov=True,
        )
        self.muon = Muon([p for p in self.network.stages.parameters() if p.ndim == 4])
        self.step = 0

    def train_epoch(self, steps=None):
        """Train for an epoch, or for so many steps of it."""
        self.network.train()
        images = F.pad(self.images, (2,) * 4, "reflect")
        if (self.step // self.steps_per_epoch) % 2:
            images = images.flip(-1)
        order = torch.randperm(len(images))
        for number in range(steps or self.steps_per_epoch):
            chosen = order[number * self.batch_size :][: self.batch_size]
            self._train_batch(_crop(images[chosen]), self.labels[chosen])

    def _train_batch(self, images, labels):
        trains_whitening = self.step < self.whitening_steps
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(images, trains_whitening)
        F.cross_entropy(logits.float(), labels, label_smoothing=0.2, reduction="sum").backward()
        left = max(0.0, 1 - self.step / self.total_steps)
        for group in self.sgd.param_groups:
            group["lr"] = group["first"] * left
        whitening_left = max(0.0, 1 - self.step / self.whitening_steps)
        self.sgd.param_groups[0]["lr"] = _BIAS_RATE * whitening_left
        self.muon.param_groups[0]["lr"] = _MUON_RATE * left
        self.sgd.step()
        self.muon.step()
        self.network.zero_grad(set_to_none=True)
        self.step += 1

    @torch.no_grad()
    def accuracies(self, images, labels):
        """Return the accuracy plain, and over six views."""
        self.network.eval()
        correct = np.zeros(2)
        for start in range(0, len(images), 1000):
            batch, truth = images[start : start + 1000], labels[start : start + 1000]
            padded = F.pad(batch, (1,) * 4, "reflect")
            with torch.autocast("cpu", torch.bfloat16):
                plain, views = self.network(batch).float(), 0
                for view, weight in (
                    (batch, 2),
                    (padded[..., :32, :32], 1),
                    (padded[..., 2:, 2:], 1),
                ):
                    for side in (view, view.flip(-1)):
                        views = views + weight * self.network(side).float()
            correct += [(x.argmax(1) == truth).sum() for x in (plain, views)]
        return tuple(correct / len(images))


def _crop(images):
    """Cut 32x32 out of images padded by two pixels, each at its own place."""
    count, side = len(images), images.shape[-1] - 4
    down, right = torch.randint(0, 5, (2, count, 1))
    rows, columns = torch.arange(side) + down, torch.arange(side) + right
    last = images.permute(0, 2, 3, 1)
    return last[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None]].permute(
        0, 3, 1, 2
    )


def to_tensors(split):
    """Return a split's images, normalized, and labels."""
    images = torch.tensor(split.images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(x)[:, None, None] for x in (_MEAN, _STD))
    return (images - mean) / std, torch.tensor(split.labels)


def measure_speed(batch_size, count=6_000, **network):
    """Return the training images per second, of random pixels."""
    images, labels = torch.rand(count, 3, 32, 32), torch.randint(10, (count,))
    trainer = Trainer(images, labels, batch_size=batch_size, **network)
    trainer.train_epoch(1)
    began = time.perf_counter()
    trainer.train_epoch()
    return trainer.steps_per_epoch * batch_size / (time.perf_counter() - began)


def main():
    """Train on all 50,000 images and print seconds and accuracies as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--speed", action="store_true", help="only print images per second")
    parser.add_argument("--batch-size", type=int, default=2000, help="with --speed")
    parser.add_argument("--fastnet", action="store_true", help="with --speed: fastnet's network")
    args = parser.parse_args()
    if args.speed:
        same = {"filters": find_network("fastnet").options["filters"], "activation": F.relu}
        print(measure_speed(args.batch_size, **(same if args.fastnet else {})))
        return
    data = load_dataset("cifar10")
    trainer = Trainer(*to_tensors(data.train + data.validation), epochs=args.epochs, seed=args.seed)
    test = to_tensors(data.test)
    seconds = 0.0
    for epoch in range(1, args.epochs + 1):
        began = time.perf_counter()
        trainer.train_epoch()
        seconds += time.perf_counter() - began
        row = {"epoch": epoch, "images": len(trainer.images), "seconds": round(seconds, 1)}
        if epoch == args.epochs:
            row["accuracy"], row["tta_accuracy"] = trainer.accuracies(*test)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
