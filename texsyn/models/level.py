"""A level: what adds the detail of a larger texture to a coarser one.

The exemplar x is reduced to y, the mean over blocks, and y is enlarged again to u. What is lost, r = (x - u) / rho with
rho its deviation, is the level's texture, and the same five terms hold for it given y: generator g(z, y), posterior
q(z|r, u), energy f(r, u) (compare "Deep Generative Image Models using a Laplacian Pyramid", Denton et al. 2015). A
sample is u + rho g(z, y) with y a sample of what lies below.

Latents of a sample follow those of the base: where this takes a position from a place of the exemplar, the level takes
its latents from the same place, so that shapes and their finest detail come from one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.architecture import Design, LevelDesign
from texsyn.core.modality import Modality
from texsyn.core.recipes import Objective
from texsyn.models import precision
from texsyn.models.corrections import Correction
from texsyn.models.trio import Below, Gaussian, Passes, Trio, draw_code, encodes

LEAST_DEVIATION = 1e-3  # of what is added
_BANDWIDTH = 0.05  # of a Gaussian beside its posterior's, as a part of the variance of codes


@dataclass(frozen=True)
class Codes:
    """What the posterior tells of whole exemplars."""

    means: list[Tensor]  # of each exemplar, `latent_channels *size` of it below the level
    variance: Tensor  # `latent_channels`: averaged over all positions


class Level(Trio):
    """Generator, energy and posterior of one level, and the codes of the exemplars."""

    deviation: Tensor
    variance: Tensor

    def __init__(self, modality: Modality, design: Design, sizes: Sequence[Sequence[int]], factor: int) -> None:
        """sizes: of the exemplars below this level, in pixels per axis. factor: such pixels for each of the base."""
        super().__init__(modality, design)
        self.stored_design = LevelDesign(design, tuple(n for size in sizes for n in size))
        self.exemplars, self.factor = len(sizes), factor
        self.correction = Correction(modality, design)
        # 0 before training: nothing is added then.
        self.register_buffer("deviation", torch.zeros(modality.channels, *(1,) * len(modality.axes)))
        self.register_buffer("variance", torch.ones(design.latent_channels))  # of the posterior, averaged
        for number, size in enumerate(sizes):
            self.register_buffer(f"codes_{number}", torch.zeros(design.latent_channels, *size))

    @property
    def codes(self) -> Codes:
        """Those that samples are drawn from; they share memory with the level."""
        return Codes([getattr(self, f"codes_{number}") for number in range(self.exemplars)], self.variance)

    def enlarge(self, coarse: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """`b channels *grid` below this level -> at its own size."""
        return ops.upsample(coarse, self.stride, wrapped)

    def below(self, own: Tensor, wrapped: Sequence[bool]) -> Below:
        """What the level adds to in textures, `b channels *grid`."""
        coarse = ops.block_mean(own, self.stride)
        return Below(coarse, self.enlarge(coarse, wrapped))

    def split(self, own: Tensor, wrapped: Sequence[bool]) -> tuple[Tensor, Below]:
        """Textures, `b channels *grid`, as what the level adds, in deviations, and what it adds to."""
        below = self.below(own, wrapped)
        return (own - below.enlarged) / self.deviation.clamp(min=LEAST_DEVIATION), below

    def latents(self, sources: Tensor | None, noise: Tensor, codes: Codes | None = None) -> Tensor:
        """Latent fields, `b latent_channels *grid`, whose positions come from places of the exemplars.

        sources: `b 1+axes *n`, for blocks of positions the number of the exemplar and the place of the block's middle,
        per axis in positions of the base's exemplar; None for fields from N(0, I). noise: `b latent_channels *grid`,
        standard normal. codes: by default those of `codes`.
        """
        if sources is None:
            return noise
        codes = codes or self.codes
        blocks = [whole // n for whole, n in zip(noise.shape[2:], sources.shape[2:], strict=True)]
        whole = ops.repeat(sources, blocks)
        drawn = noise.new_zeros(noise.shape)
        for number, each in enumerate(codes.means):
            flat = torch.zeros(whole.shape[0], *whole.shape[2:], dtype=torch.long, device=whole.device)
            for axis, (size, block) in enumerate(zip(each.shape[1:], blocks, strict=True)):
                flat = flat * size + self._places(whole[:, 1 + axis], axis, size, block)
            found = each.flatten(1)[:, flat].movedim(0, 1)
            spread = codes.variance + _BANDWIDTH * each.flatten(1).var(1)
            found = found + spread.sqrt().view(-1, *(1,) * len(blocks)) * noise
            drawn = torch.where(whole[:, :1] == number, found, drawn)
        return drawn

    def synthesize(self, z: Tensor, coarse: Tensor, wrapped: Sequence[bool], corrected: bool = True) -> Tensor:
        """Samples in [-1, 1], with detail added to coarser ones. wrapped: the axes on which both are a torus.

        corrected: as samples are; else as the generator makes them.
        """
        enlarged = self.enlarge(coarse, wrapped)
        if not torch.compiler.is_exporting() and not self.deviation.any():
            return ops.unit_vectors(enlarged, self.modality.vectors, axis=1)
        with precision.autocast(self.design.precision, z.device):
            detail: Tensor = self.generator_ema(z, wrapped, coarse)
        fine = (enlarged + self.deviation * detail).clamp(-1, 1)
        if corrected:
            fine = self.correction(fine, wrapped)
        return ops.unit_vectors(fine, self.modality.vectors, axis=1)

    def _places(self, middle: Tensor, axis: int, size: int, block: int) -> Tensor:
        """Positions along an axis of an exemplar below this level; of blocks' middles, for each position of a block."""
        shape = [1] * middle.dim()
        shape[1 + axis] = -1
        within = (torch.arange(middle.shape[1 + axis], device=middle.device) % block).view(shape)
        place = (middle + 0.5) * self.factor - 0.5 + within - (block - 1) / 2
        return ops.reflected(place.round().long(), size)

    def _passes(
        self,
        x: Tensor,
        z: Tensor,
        noise: Tensor,
        objective: Objective,
        labels: Tensor | None,
        below: Below | None,
    ) -> Passes:
        """Codes and draws are decoded in one pass, with the same statistics: both are pieces of larger textures."""
        assert below is not None
        count, inputs = len(x), [z]
        of_data: Gaussian | None = None
        of_generated: Gaussian | None = None
        if encodes(objective):
            mean, log_variance = self.posterior(x, below.enlarged[:count])
            of_data = mean, log_variance
            inputs.insert(0, draw_code(mean, log_variance, noise, objective))
        coarse = below.coarse if of_data else below.coarse[count:]
        out = self.generator(torch.cat(inputs), (False,) * len(self.modality.axes), coarse)
        generated = out[-len(z) :]
        if objective.latent:
            seen = generated if objective.latent_trains_generator else generated.detach()
            of_generated = self.posterior(seen, below.enlarged[count:])
        return Passes(generated, out[:count] if of_data and objective.reconstruction else None, of_data, of_generated)
