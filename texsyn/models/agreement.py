"""Agreement of height and normals: where an exemplar's normals are those of its height, so are a sample's.

A network makes each map well, and still a hundredth of noise in the height is a slope of many degrees. So the height
takes some of its finest detail from the normals (Frankot, Chellappa 1988, with the height as a prior), and the normals
are then those of that height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.maps import HEIGHT, NORMAL, channels_of
from texsyn.core.modality import Modality
from texsyn.models import fourier

_PRIOR = 3.0  # weight of the height beside its slopes: with less, it takes over the noise of normals
_REACH = 8  # pixels of the kernel on each side
_AGREES, _DISAGREES = 5.0, 10.0  # degrees between an exemplar's maps: up to which all is done, from which on nothing


class Agreement(nn.Module):
    """`b channels y x` with planes of height and normals -> the same."""

    steep: Tensor  # the slope of a height that rises by one in [-1, 1] for each pixel
    weight: Tensor  # 1: the maps agree afterwards, 0: they are as they were

    def __init__(self, modality: Modality) -> None:
        super().__init__()
        parts = dict(zip((plane.name for plane in modality.planes), channels_of(modality.planes), strict=True))
        self.height, self.normal = parts[HEIGHT], parts[NORMAL]
        self.flipped = any(plane.flipped for plane in modality.planes if plane.name == NORMAL)
        self.register_buffer("steep", torch.ones(()))
        self.register_buffer("weight", torch.zeros(()))

    @staticmethod
    def concerns(modality: Modality) -> bool:
        """Whether a kind of texture has both maps."""
        return {HEIGHT, NORMAL} <= {plane.name for plane in modality.planes}

    def fit(self, real: Tensor) -> None:
        """Find how steep a unit of height is in an exemplar, `1 channels y x`, and whether its maps agree."""
        rises, slopes = (
            self._rises(real[:, self.height], (False, False)),
            ops.slopes_of(real[:, self.normal], self.flipped, axis=1),
        )
        inner = (..., slice(1, -1), slice(1, -1))
        rises, slopes = rises[inner].double(), slopes[inner].double()
        steep = float((rises * slopes).sum() / rises.square().sum().clamp(min=1e-12))
        own, other = (_directions(each) for each in (steep * rises, slopes))
        angle = math.degrees(float((own * other).sum(1).clamp(-1, 1).acos().median()))
        share = min(1.0, max(0.0, (_DISAGREES - angle) / (_DISAGREES - _AGREES)))
        self.steep.fill_(steep if steep > 0 else 1.0)
        self.weight.fill_(share if steep > 0 else 0.0)

    def forward(self, x: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """wrapped: the axes on which the textures are a torus."""
        if not torch.compiler.is_exporting() and not float(self.weight):
            return x
        height, normal = x[:, self.height], x[:, self.normal]
        seen = torch.cat((height, ops.slopes_of(normal, self.flipped, axis=1) / self.steep), 1)
        joined = fourier.convolve(seen, _kernel(), wrapped).clamp(-1, 1)
        turned = ops.normals_of(self.steep * self._rises(joined, wrapped), self.flipped, axis=1)
        for part, old, new in ((self.height, height, joined), (self.normal, normal, turned)):
            before, _, after = x.tensor_split((part.start, part.stop), 1)
            x = torch.cat((before, torch.lerp(old, new, self.weight), after), 1)
        return x

    @staticmethod
    def _rises(height: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b 2 y x`: how much a height, `b 1 y x`, rises downwards and to the right, by central differences."""
        padded = ops.pad(height, (1, 1), wrapped)
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        right = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        return torch.cat((down, right), 1) / 2


def _directions(slopes: Tensor) -> Tensor:
    """`b 2 y x` -> `b 3 y x`, of length one."""
    return F.normalize(torch.cat((slopes, torch.ones_like(slopes[:, :1])), 1), dim=1)


@lru_cache(1)
def _kernel() -> Tensor:
    """`1 3 y x`: the height of least squares, |rises - slopes|^2 + _PRIOR |height - prior|^2, from prior and slopes."""
    size = 8 * _REACH
    frequency = 2 * math.pi * torch.fft.fftfreq(size, dtype=torch.float64)
    down, right = torch.sin(frequency)[:, None].expand(size, size), torch.sin(frequency).expand(size, size)
    power = _PRIOR + down**2 + right**2
    # A kernel is correlated with what it filters: its transform is conjugate, so that slopes count with +i sin.
    responses = torch.stack((_PRIOR / power + 0j, 1j * down / power, 1j * right / power))
    kernel = torch.fft.fftshift(torch.fft.ifft2(responses).real, (1, 2))
    middle = slice(size // 2 - _REACH, size // 2 + _REACH + 1)
    kernel = kernel[:, middle, middle]
    kernel[0] /= kernel[0].sum()
    found: Tensor = kernel[None].float()
    return found
