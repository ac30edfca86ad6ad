"""The critic: how well a small network, trained for this alone, tells crops of samples from crops of the exemplar.

A classifier two-sample test (Lopez-Paz and Oquab, *Revisiting classifier two-sample tests*, ICLR 2017). It sees
elements that run together, to which statistics and patch distances are blind. Each quarter of the pictures is held out
once: a network learns from the other three quarters of all pictures and is asked about crops of the fourth. Were the
samples second photos, whatever it learnt would say nothing about quarters that it never saw.

Small crops, turned, mirrored and brought to one brightness and contrast, keep the answer for true second photos near a
half: with large crops or with their colours, the network tells the few of one exemplar by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.metrics.sliced_wasserstein import Array
from texsyn.models import layers

CROP = 32  # pixels
_STRIDE = 16  # of the crops that are asked about
_WIDTH = 16  # channels of the first layer
_FULL = ((5, 2), (3, 2), (3, 1), (3, 1))  # kernels and strides at full size: reach 29 pixels
_HALF = ((5, 2), (3, 1), (3, 1))  # at half the size: reach 26 pixels
_CONTRAST_FLOOR = 0.05  # of the pictures' deviation: flat crops are not blown up to noise
_JITTER = 0.05  # deviation of random changes of brightness, contrast and colour
_NOISE = 0.02  # deviation of noise on each value


class Verdict(NamedTuple):
    """told: how often the critic is right about a crop of the exemplar beside one of a sample; 0.5 is perfect.

    error: its standard error, from the four quarters.
    """

    told: float
    error: float


def critic(
    samples: Sequence[Array], exemplar: Array, steps: int = 300, batch: int = 28, crop: int = CROP, seed: int = 0
) -> Verdict:
    """Area under the ROC curve for crops of held-out quarters, mean of four; 1 is told at once.

    samples, exemplar: `h w 3` in [0, 1] of any sizes from 2 `crop` on. steps: of training for each quarter, on `batch`
    crops of the exemplar and as many of samples. The result follows from `seed`.
    """
    theirs, own = _standardise(list(samples), exemplar)
    told = []
    for quarter in range(4):
        generator = ops.seeded_generator(seed, quarter)
        network = _train([own], theirs, quarter, (steps, batch, crop), generator)
        told.append(_area_under_curve(*(_ask(network, each, quarter, crop) for each in ([own], theirs))))
    return Verdict(float(np.mean(told)), float(np.std(told, ddof=1) / 2))


def _standardise(samples: list[Array], exemplar: Array) -> tuple[list[Tensor], Tensor]:
    """Samples and exemplar, `3 h w`, in units of the exemplar's deviation."""
    pictures = [torch.from_numpy(np.ascontiguousarray(each, np.float32)).permute(2, 0, 1) for each in samples]
    own = torch.from_numpy(np.ascontiguousarray(exemplar, np.float32)).permute(2, 0, 1)
    deviation = own.std() + 1e-6
    return [each / deviation for each in pictures], own / deviation


class _Critic(nn.Module):
    """`b 3 h w` -> one map of answers for each of two scales; positive for the exemplar."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.scales = nn.ModuleList(layers.channels_last(_scale(rows), 2) for rows in (_FULL, _HALF))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, layers.PatchConv)):
                nn.init.kaiming_uniform_(module.weight, math.sqrt(5), generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        views = (x, ops.downsample(x, (True, True)))
        return [scale(view) for scale, view in zip(self.scales, views, strict=True)]

    def answer(self, x: Tensor) -> Tensor:
        """`b`: the mean of each map, summed over scales."""
        return torch.stack([scale.mean((1, 2, 3)) for scale in self(x)]).sum(0)


def _scale(rows: Sequence[tuple[int, int]]) -> nn.Module:
    # Without batch norm the network hardly learns in so few steps.
    modules: list[nn.Module] = []
    channels = [3, _WIDTH, *[2 * _WIDTH] * (len(rows) - 1)]
    for (kernel, stride), inputs, outputs in zip(rows, channels[:-1], channels[1:], strict=True):
        convolution = layers.conv(inputs, outputs, (kernel, kernel), (stride, stride), padded=False)
        modules += [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*modules, layers.conv(channels[-1], 1, (1, 1), (1, 1)))


def _train(
    own: list[Tensor], theirs: list[Tensor], quarter: int, budget: tuple[int, int, int], generator: torch.Generator
) -> _Critic:
    """A critic of all but one quarter. budget: steps, crops of each side for each step, pixels of a crop."""
    steps, batch, crop = budget
    network = _Critic(generator)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.01, betas=(0.9, 0.99))
    labels = torch.tensor([1.0, 0.0]).repeat_interleave(batch).view(-1, 1, 1, 1)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.002 * min(1, (step + 1) / 20, 2 * (1 - step / steps))
        crops = torch.cat([_draw(each, quarter, batch, crop, generator) for each in (own, theirs)])
        answers = network(_augmented(crops, generator))
        losses = [F.binary_cross_entropy_with_logits(each, labels.expand_as(each)) for each in answers]
        optimiser.zero_grad()
        torch.autograd.backward(losses)
        optimiser.step()
    return network.eval()


def _held_out(picture: Tensor, quarter: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a quarter."""
    (row, column), (height, width) = divmod(quarter, 2), picture.shape[1:]
    return row * height // 2, (row + 1) * height // 2, column * width // 2, (column + 1) * width // 2


def _draw(pictures: list[Tensor], quarter: int, count: int, crop: int, generator: torch.Generator) -> Tensor:
    """`count 3 crop crop`: random crops that do not meet the held-out quarter, turned and mirrored at random."""
    crops: list[Tensor] = []
    while len(crops) < count:
        which, turns, *place = torch.randint(2**31, (4,), generator=generator).tolist()
        picture = pictures[which % len(pictures)]
        y, x = (at % (size - crop + 1) for at, size in zip(place, picture.shape[1:], strict=True))
        top, bottom, left, right = _held_out(picture, quarter)
        if y + crop <= top or y >= bottom or x + crop <= left or x >= right:
            turned = picture[:, y : y + crop, x : x + crop].rot90(turns % 4, (1, 2))
            crops.append(turned.flip(2) if turns & 4 else turned)
    return _even(torch.stack(crops))


def _even(crops: Tensor) -> Tensor:
    """Each crop and colour with mean 0 and deviation 1, so that neither brightness nor colour tells."""
    crops = crops - crops.mean((2, 3), keepdim=True)
    deviation = crops.square().mean((2, 3), keepdim=True).sqrt()
    return (crops / (deviation + _CONTRAST_FLOOR)).contiguous(memory_format=ops.memory_format(2))


def _augmented(crops: Tensor, generator: torch.Generator) -> Tensor:
    """With small random changes, alike for both sides."""

    def normal(*shape: int) -> Tensor:
        return _JITTER * torch.randn(len(crops), *shape, generator=generator)

    gain, shift = 1 + normal(1, 1, 1) + normal(3, 1, 1) / 2, 2 * normal(1, 1, 1) + normal(3, 1, 1)
    return crops * gain + shift + _NOISE * torch.randn(crops.shape, generator=generator)


@torch.no_grad()
def _ask(network: _Critic, pictures: list[Tensor], quarter: int, crop: int) -> Tensor:
    """The critic's answers about crops of the held-out quarter of all pictures."""
    crops = []
    for picture in pictures:
        top, bottom, left, right = _held_out(picture, quarter)
        part = picture[:, top:bottom, left:right]
        windows = part.unfold(1, crop, _STRIDE).unfold(2, crop, _STRIDE)
        crops.append(windows.permute(1, 2, 0, 3, 4).flatten(0, 1))
    return torch.cat([_mean_answer(network, _even(part)) for part in torch.split(torch.cat(crops), 256)])


def _mean_answer(network: _Critic, crops: Tensor) -> Tensor:
    """Over the eight ways to turn and mirror the crops."""
    views = [each.rot90(turns, (2, 3)) for each in (crops, crops.flip(3)) for turns in range(4)]
    return torch.stack([network.answer(view) for view in views]).mean(0)


def _area_under_curve(positive: Tensor, negative: Tensor) -> float:
    """The share of pairs in which the first is larger; ties count half.

    >>> _area_under_curve(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    difference = positive[:, None] - negative
    return float(((difference > 0).float() + (difference == 0).float() / 2).mean())
