"""A texture's model: the trio of networks, the prior of latent fields, and the corrections of samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design, LevelDesign
from texsyn.core.errors import TexsynError
from texsyn.core.modality import Modality
from texsyn.models import precision
from texsyn.models.colour_balance import ColourBalance
from texsyn.models.corrections import Correction
from texsyn.models.level import Level
from texsyn.models.mixture_prior import MixturePrior
from texsyn.models.trio import Trio

_MAX_POSITIONS = 4_000_000  # of a texture that the networks take in one piece


class Triangle(Trio):
    """Generator, energy and posterior of one texture, and the running average of the generator, which samples it."""

    motif: Tensor

    def __init__(self, modality: Modality, design: Design, seed: int = 0, levels: Sequence[LevelDesign] = ()) -> None:
        """levels: what adds detail to textures, the lowest first, as many as the modality has factors."""
        super().__init__(modality, design)
        if modality.period:  # the mean over all periods of the exemplar, `channels *period`; 1 pixel along other axes
            self.register_buffer("motif", torch.zeros(modality.channels, *(max(1, n) for n in modality.period)))
        # Draws latent fields; None where these are drawn from N(0, I).
        traced, mixture = bool(levels), design.latent_prior == "mixture"
        self.mixture_prior = MixturePrior(modality, design, traced) if mixture else None
        corrected = bool(design.equaliser or design.colour_transfer or design.deflicker or design.subband_matching)
        # One for each exemplar, or none.
        self.corrections = nn.ModuleList(Correction(modality, design) for _ in range(design.exemplars * corrected))
        self.levels = nn.ModuleList()
        for n, level in enumerate(levels):
            below, axes = math.prod(modality.factors[:n]), len(modality.axes)
            sizes = [level.sizes[first : first + axes] for first in range(0, len(level.sizes), axes)]
            self.levels.append(Level(replace(modality, factors=()), level.networks, sizes, below))
        if self.device.type != "meta":
            self.initialise(torch.Generator().manual_seed(seed))

    def initialise(self, random: torch.Generator) -> None:
        super().initialise(random)
        for level in self.detail:
            level.initialise(random)

    @property
    def detail(self) -> list[Level]:
        """The levels above the base, the lowest first."""
        return [level for level in self.levels if isinstance(level, Level)]

    @property
    def trios(self) -> list[Trio]:
        """The base and the levels above it, in the order in which they are trained."""
        return [self, *self.detail]

    def leave_out_inference(self) -> None:
        """Of the levels, too."""
        super().leave_out_inference()
        for level in self.detail:
            level.leave_out_inference()

    @property
    def texture_stride(self) -> tuple[int, ...]:
        """Pixels (frames) of a texture, with all levels, for each latent position of the base, per axis."""
        return tuple(n * self.modality.enlargement for n in self.stride)

    @property
    def phases(self) -> tuple[int, ...]:
        """Per axis: latent positions after which a regular pattern repeats; 1 where there is none."""
        return self.modality.phases(self.stride)

    def torus_shape(self, size: Sequence[int]) -> tuple[int, ...]:
        """Channels and grid of the latent field of a torus of at least `size` pixels of the base, in whole periods."""
        channels, *cells = self.latent_shape(tuple(size))
        return (channels, *(-(-n // phases) * phases for n, phases in zip(cells, self.phases, strict=True)))

    @property
    def raster(self) -> list[int]:
        """Per axis: crops that the networks learn from start at multiples of this."""
        return self.modality.raster(self.stride)

    def balance_colours(self, pixels: Sequence[Tensor], most: float) -> None:
        """Fit what posterior and energy see to the colours of exemplars, `channels *axes` each."""
        for network in (self.posterior, self.energy):
            if isinstance(network.colours, ColourBalance):
                network.colours.fit(pixels, most)

    def fitted(self, x: Tensor) -> Tensor:
        """A texture, `channels *axes`, as all networks together see it: in whole blocks of what levels enlarge.

        A regular pattern is resampled, so that its period is a whole number of pixels.
        """
        regular = bool(self.modality.period)
        x = ops.resize(x, self.fitted_size(x.shape[1:])) if regular else ops.whole_blocks(x, self.modality.enlargement)
        return ops.unit_vectors(x, self.modality.vectors)

    def fitted_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Pixels per axis of `fitted` for a texture of `size`."""
        enlargement = self.modality.enlargement
        if not self.modality.period:
            return tuple(n // enlargement * enlargement for n in size)
        return tuple(n * enlargement for n in self.modality.network_size(size))

    def scaled(self, x: Tensor) -> Tensor:
        """`fitted`, as the base's networks see it."""
        return ops.unit_vectors(self.reduced(self.fitted(x)[None], 0)[0], self.modality.vectors)

    def check(self, x: Tensor) -> None:
        """Raise TexsynError (exit 3) unless the networks can take the texture `x`, `channels *axes`."""
        modality = self.modality
        if x.dim() != 1 + len(modality.axes) or x.shape[0] != modality.channels:
            raise TexsynError(
                f"this run is of a {modality.name} with {modality.channels} channel(s), which does not fit "
                f"values of shape {tuple(x.shape)}"
            )
        for size, same, own in zip(x.shape[1:], modality.stationary, modality.window, strict=True):
            if not same and size != own:
                raise TexsynError(f"this {modality.name} has a fixed size of {own} pixels, so it cannot take {size}")
        if x[0].numel() > _MAX_POSITIONS:
            size_text = " x ".join(map(str, x.shape[:0:-1]))
            raise TexsynError(f"{size_text} is too large for the networks in one piece: crop it or reduce it")

    def labels(self, exemplars: Sequence[int]) -> Tensor | None:
        """`b labels`: the global latent of textures like these exemplars; None where the model has only one."""
        if not self.design.labels:
            return None
        return torch.eye(self.design.labels, device=self.device)[list(exemplars)]

    def in_turn(self, count: int, first: int = 0) -> list[int]:
        """Classes for so many samples of a collection, one after the other; of other kinds the first exemplar."""
        return [(first + n) % self.design.exemplars if self.modality.collection else 0 for n in range(count)]

    def draw_latents(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None = None,
        origin: Sequence[int] | None = None,
        whole: Sequence[int] | None = None,
    ) -> Tensor:
        """Latent fields from p(z) as a function of standard normal noise; `b latent_channels+labels *latent_grid` both.

        Labels stay as they are. wrapped: the axes on which `noise` is a torus; by default all stationary ones.
        origin: the place of its first position in the whole field, per axis. whole: positions of the whole field.
        """
        if self.mixture_prior is None:
            return noise
        drawn: Tensor = self.mixture_prior(noise, wrapped, origin=origin, whole=whole)
        return drawn

    def trace_latents(
        self,
        noise: Tensor,
        wrapped: Sequence[bool] | None = None,
        origin: Sequence[int] | None = None,
        whole: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """`draw_latents`, and where in the exemplars positions are from: see `MixturePrior.trace`; None for N(0, I)."""
        if self.mixture_prior is None:
            return noise, None
        return self.mixture_prior.trace(noise, wrapped, origin, whole=whole)

    def reduced(self, x: Tensor, level: int) -> Tensor:
        """Textures, `b channels *grid`, as they are with so many levels; 0 for the base."""
        factors = self.modality.factors[level:]
        return ops.block_mean(x, (math.prod(factors),) * len(self.modality.axes))

    def total_energy(self, x: Tensor, labels: Tensor | None, wrapped: Sequence[bool] = ()) -> Tensor:
        """f of textures, `b channels *grid`, in nats: that of the base, and of each level given what lies below it.

        x: as `fitted` gives it. wrapped: the axes on which it is a torus.
        """
        total: Tensor = self.energy(self.reduced(x, 0), labels, wrapped)
        for number, level in enumerate(self.detail, start=1):
            added, below = level.split(self.reduced(x, number), wrapped or (False,) * len(self.modality.axes))
            total = total + level.energy(added, None, wrapped, below.enlarged)
        return total

    def cascade(self, z: Tensor, sources: Tensor | None, noises: Sequence[Tensor]) -> Tensor:
        """Samples on a torus, with as many levels as there are `noises`, `b latent_channels *latent_grid` of each.

        z: of the base, as for `synthesize`. sources: of `trace_latents`.
        """
        for trio in self.trios[: 1 + len(noises)]:
            trio.generator_ema.eval()
        x = self.synthesize(z)
        for level, noise in zip(self.detail, noises, strict=False):
            x = level.synthesize(level.latents(sources, noise), x, self.modality.stationary)
        return x

    def complete_latents(self, noise: Tensor, z: Tensor, known: Tensor) -> tuple[Tensor, Tensor | None]:
        """Latent fields that equal `z` where `known`, drawn elsewhere, as a function of `noise`; no axis wraps.

        All are `b latent_channels *latent_grid`; noise and z with labels as further channels, which stay. Also returns
        where what is drawn is from, as `trace_latents` does; None where there are no levels that need it.
        """
        latents, labels = z.tensor_split([known.shape[1]], 1)
        if self.mixture_prior is None:
            return torch.cat((torch.where(known, latents, noise[:, : known.shape[1]]), labels), 1), None
        no_wrap = (False,) * len(self.modality.axes)
        if self.mixture_prior.traced:
            return self.mixture_prior.trace(noise, no_wrap, None, latents, known)
        return self.mixture_prior(noise, no_wrap, latents, known), None

    def synthesize(self, z: Tensor, wrapped: Sequence[bool] | None = None) -> Tensor:
        """Samples: averaged generator, then corrections. `b latent_channels+labels *latent_grid` -> [-1, 1].

        wrapped: the axes on which `z` is a torus; by default all stationary ones. Normals have length one.
        """
        corrected = self._corrected(z, self.modality.stationary if wrapped is None else wrapped)
        return ops.unit_vectors(corrected, self.modality.vectors, axis=1)

    def _corrected(self, z: Tensor, wrapped: Sequence[bool]) -> Tensor:
        with precision.autocast(self.design.precision, z.device):
            generated: Tensor = self.generator_ema(z, wrapped)
        if len(self.corrections) < 2:
            for correction in self.corrections:
                generated = correction(generated, wrapped)
            return generated
        # Between exemplars, a mixture of what their corrections give.
        shares = ops.upsample(z[:, -self.design.labels :], self.stride, wrapped)
        total = torch.zeros_like(generated)
        for number, correction in enumerate(self.corrections):
            share = shares[:, number : number + 1]
            # The corrections of an exemplar with no share take time for nothing. A graph is for all shares.
            if torch.compiler.is_exporting() or bool((share != 0).any()):
                total = total + share * correction(generated, wrapped)
        return total
