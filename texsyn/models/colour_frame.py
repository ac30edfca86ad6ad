"""A texture's colours as a frame, and weights turned into it.

Weights learnt from many textures should know shapes and no palette. They are kept for textures whose colours u have the
mean 0, variances along the three axes only, falling, and the contrast 1. Turned into the frame of one texture, the
first filters of posterior and energy see its colours as those, and the generator's last filters give its colours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

AXES = 3
_BRIGHTEST = 0.8  # largest absolute mean of a colour: beyond it the generator's tanh is flat
_LEAST_CONTRAST = 0.05  # in [-1, 1]
_OPPOSED = 0.1  # an axis whose sum is smaller makes colours hardly brighter
_INPUTS = re.compile(r"(posterior\.body\.0|energy\.scales\.\d+\.0)\.weight")
_OUTPUT = "generator.last.weight"
_Affine = tuple[Tensor, Tensor]  # matrix and offset


def principal_colours(pixels: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of exemplars together, `c *axes` each, in float64: mean, `c`; colours less it, `c n`; variances, rising; axes.

    Column k of the axes, `c c`, is that of variance k.
    """
    colours = torch.cat([each.flatten(1) for each in pixels], 1).double().cpu()
    mean = colours.mean(1)
    centred = colours - mean[:, None]
    return mean, centred, *torch.linalg.eigh(centred @ centred.T / centred.shape[1])


@dataclass(frozen=True)
class ColourFrame:
    """Colours x, `c` in [-1, 1], as x = mean + axes u; `axes` is `c 3`."""

    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, pixels: Sequence[Tensor]) -> ColourFrame:
        """The frame of exemplars together, `c *axes` each, c = 1 or 3: axes by falling variance.

        Each axis points to where colours are brighter, or, where they are as bright, to where they lie further out.
        """
        mean, centred, variances, axes = principal_colours(pixels)
        axes = axes.flip(1)
        brighter, further = axes.sum(0), (axes.T @ centred).pow(3).mean(1)
        signs = torch.where(torch.where(brighter.abs() > _OPPOSED, brighter, further) < 0, -1.0, 1.0)
        contrast = variances.clamp(min=0).sum().sqrt().clamp(min=_LEAST_CONTRAST)
        whole = torch.zeros(len(axes), AXES, dtype=axes.dtype)
        whole[:, : len(axes)] = axes * signs * contrast
        return cls(mean.clamp(-_BRIGHTEST, _BRIGHTEST).float(), whole.float())

    def turn(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights for textures whose colours are u, as weights for this one."""
        return _turned(weights, (self.axes, self.mean), self._before_tanh)

    def turn_back(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of `turn`, for c = 3."""
        return _turned(weights, _inverse((self.axes, self.mean)), _inverse(self._before_tanh))

    @property
    def _before_tanh(self) -> _Affine:
        """What is u before the generator's tanh, as x before it; both agree to first order at the mean."""
        return self.axes / (1 - self.mean.square())[:, None], self.mean.atanh()


def _inverse(affine: _Affine) -> _Affine:
    inverse = torch.linalg.inv(affine[0])
    return inverse, -inverse @ affine[1]


def _turned(weights: Mapping[str, Tensor], seen: _Affine, made: _Affine) -> dict[str, Tensor]:
    """Weights that see and make x = matrix @ u + offset in place of u; others as they are.

    Inputs after the colours (coordinates) stay, too.
    """
    turned = dict(weights)
    for name in filter(_INPUTS.fullmatch, weights):
        bias = name.replace("weight", "bias")
        colours = torch.einsum("ou...,uc->oc...", weights[name][:, :AXES], torch.linalg.pinv(seen[0]))
        turned[name] = torch.cat((colours, weights[name][:, AXES:]), 1)
        turned[bias] = weights[bias] - torch.einsum("oc...,c->o", colours, seen[1])
    bias = _OUTPUT.replace("weight", "bias")
    turned[_OUTPUT] = torch.einsum("iu...,cu->ic...", weights[_OUTPUT], made[0])
    turned[bias] = made[0] @ weights[bias] + made[1]
    return turned
