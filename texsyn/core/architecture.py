"""What the networks are made of: layers, latent fields, and the designs of each kind of texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod
from operator import mul

from texsyn.core.ranges import between, count, one_of

PRECISIONS = ("auto", "float32", "bfloat16")
NORMALISATIONS = ("batch", "none")
LATENT_PRIORS = ("normal", "mixture")


@dataclass(frozen=True)
class Layer:
    """One convolution (transposed in the generator)."""

    channels: int = field(metadata=between(0, 4096))
    kernel: tuple[int, ...] = field(metadata=between(1, 64, per_axis=True))
    stride: tuple[int, ...] = field(metadata=between(1, 64, per_axis=True))  # up in the generator, down elsewhere
    padded: bool = True  # False: only at positions where the whole kernel fits


@dataclass(frozen=True)
class LatentField:
    """One latent field of a design."""

    channels: int
    grid: tuple[int, ...]  # its positions for each position of the coarsest field, per axis
    shared: bool = False  # one value for a whole frame

    @property
    def packed(self) -> int:
        """Channels that it takes when space_to_depth brings it to the grid of the coarsest field."""
        return self.channels * prod(self.grid)


@dataclass(frozen=True)
class Design:
    """Sizes of the three networks, and their switches."""

    # channels of the latent field and of each finer one
    latents: tuple[int, ...] = field(metadata=between(1, 4096, **count(1, 16)))
    generator: tuple[Layer, ...] = field(metadata=count(1, 16))  # the last has 0 channels: the modality's planes decide
    posterior: tuple[Layer, ...] = field(metadata=count(1, 16))  # without the heads for mean and log variance
    heads: Layer  # `channels` is ignored: the latent fields decide
    energy: tuple[Layer, ...] = field(metadata=count(1, 16))
    # channels of latents that a whole frame shares, joined after each hidden layer
    frame_latents: tuple[int, ...] = field(default=(), metadata=between(1, 4096, **count(0, 16)))
    # energies, each with its own weights, on the texture halved 0, 1, ... times; their sum counts
    energy_scales: int = field(default=1, metadata=between(1, 8))
    # trained maps on the fixed axes, joined to the latent field
    constant_channels: int = field(default=0, metadata=between(0, 4096))
    # of a level: the networks also see the coarser texture that they add detail to, and the generator's output is what
    # is added, in deviations of what is to be added
    conditional: bool = False
    coordinates: bool = False  # the energy's input has the coordinates along the fixed axes as channels
    normalisation: str = field(default="batch", metadata=one_of(NORMALISATIONS))  # of the generator
    # largest output of the generator's rectifiers; 0: no bound. Without one, a code between those that it has seen can
    # make a few features so large that a coloured streak is drawn.
    activation_bound: float = field(default=0.0, metadata=between(0, 100))
    balanced_colours: bool = False  # posterior, energy and reconstruction see principal colours of more even contrast
    energy_mean: bool = True  # mean over positions times the number of values, instead of the paper's sum
    energy_rectified: bool = True  # leaky ReLU after the energy's last filters
    energy_signed: bool = False  # half of the energy's last filters count with a negative sign
    # b in b tanh(v / b) for the posterior's log variances v; 0: no bound
    log_variance_bound: float = field(default=6.0, metadata=between(0, 100))
    reflect_edges: bool = False  # transposed convolutions reflect at the ends of unwrapped axes; the paper's crop
    residual: bool = False  # layers of the generator that keep channels and size add to what they are given
    blur_upsampling: bool = False  # hidden layers of the generator average neighbours, against checkerboards
    # kernel size of the filter that matches the exemplar's spectrum; (): none
    equaliser: tuple[int, ...] = field(default=(), metadata=between(1, 31, per_axis=True, optional=True))
    # exemplars of one model; with several, a global latent gives the share of each
    exemplars: int = field(default=1, metadata=between(1, 1000))
    colour_transfer: bool = False  # match the mean and covariance of colours
    deflicker: bool = False  # samples stand still where the exemplar does
    subband_matching: int = field(default=0, metadata=between(0, 5))  # bands of detail (of a clip, in time); 0: none
    # from which latent fields are drawn: N(0, I), or the mixture of posteriors of the exemplars
    latent_prior: str = field(default="normal", metadata=one_of(LATENT_PRIORS))
    codes: int = field(default=16, metadata=between(1, 256))  # of the mixture prior, for each exemplar
    precision: str = field(default="float32", metadata=one_of(PRECISIONS))  # of sampling; auto: the faster one

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels (frames) for each position of the latent field, per axis."""
        return tuple(prod(each) for each in zip(*(layer.stride for layer in self.generator), strict=True))

    @property
    def latent_grids(self) -> tuple[tuple[int, ...], ...]:
        """Per latent field: its positions for each position of the coarsest one, per axis."""
        grids = [(1,) * len(self.stride)]
        for layer in self.generator[: len(self.latents) - 1]:
            grids.append(tuple(n * f for n, f in zip(grids[-1], layer.stride, strict=True)))
        return tuple(grids)

    @property
    def frame_latent_grids(self) -> tuple[tuple[int, ...], ...]:
        """Per latent shared by a frame: its positions for each position of the coarsest field; 1 along the frame."""
        times = accumulate((layer.stride[0] for layer in self.generator[: len(self.frame_latents)]), mul)
        return tuple((n, *(1,) * (len(self.stride) - 1)) for n in times)

    @property
    def fields(self) -> tuple[LatentField, ...]:
        """All latent fields, in the order of their channels."""
        finer = zip(self.latents, self.latent_grids, strict=True)
        frames = zip(self.frame_latents, self.frame_latent_grids, strict=True)
        return (*(LatentField(*each) for each in finer), *(LatentField(*each, shared=True) for each in frames))

    @property
    def labels(self) -> int:
        """Channels of the global latent: one for each exemplar, where there are several."""
        return self.exemplars if self.exemplars > 1 else 0

    @property
    def latent_channels(self) -> int:
        """Channels of all latent fields, brought to the grid of the coarsest by space_to_depth."""
        return sum(each.packed for each in self.fields)

    def positions(self, size: Sequence[int], halvings: Sequence[int]) -> list[int]:
        """Per axis: positions of the energy's last layer on a texture of `size` halved so often; 0: it does not fit."""
        counts = []
        for axis, (n, times) in enumerate(zip(size, halvings, strict=True)):
            n //= 2**times
            for layer in self.energy:
                kernel, stride = layer.kernel[axis], layer.stride[axis]
                n = n // stride if layer.padded else max(0, n - kernel + stride) // stride
            counts.append(n)
        return counts


@dataclass(frozen=True)
class LevelDesign:
    """Networks of a level, which adds detail to a coarser texture."""

    networks: Design
    # of the exemplars below the level, one after the other: pixels per axis
    sizes: tuple[int, ...] = field(metadata=between(1, 65536, **count(2, 3000)))


def _square(size: int) -> tuple[int, int]:
    return size, size


def _cube(size: int) -> tuple[int, int, int]:
    return size, size, size


def _stack(channels: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[Layer, ...]:
    return tuple(Layer(c, kernel, stride) for c in channels)


def _unpadded(axes: int, *rows: tuple[int, int, int]) -> tuple[Layer, ...]:
    """Layers without padding, from rows of channels, kernel and stride, which are the same along all axes."""
    return tuple(Layer(c, (kernel,) * axes, (stride,) * axes, padded=False) for c, kernel, stride in rows)


def still_paper() -> Design:
    """The paper's networks for stills."""
    return Design(
        latents=(5,),
        generator=_stack((512, 512, 256, 128, 0), _square(4), _square(2)),
        posterior=_stack((128, 256, 512, 512), _square(4), _square(2)),
        heads=Layer(0, _square(4), _square(2)),
        energy=_unpadded(2, (100, 7, 2), (70, 7, 2), (30, 5, 1)),
    )


def clip_paper() -> Design:
    """The paper's networks for clips."""
    return Design(
        latents=(10,),
        generator=(
            Layer(512, (1, 4, 4), (1, 4, 4)),
            Layer(256, _cube(5), _cube(2)),
            *_stack((128, 64, 0), _cube(4), _cube(2)),
        ),
        posterior=_stack((64, 128, 256, 512), _cube(4), _cube(2)),
        heads=Layer(0, (1, 4, 4), (1, 4, 4)),
        energy=(*_stack((64, 128), _cube(4), _cube(2)), Layer(128, (4, 16, 16), (2, 1, 1), padded=False)),
    )


def still_local() -> Design:
    """Our networks for stills: the energy sees small patches at two scales."""
    return Design(
        latents=(5, 4, 4),  # strides 32, 16 and 8: one field cannot carry fine textures
        # The last layer has stride 1: an upsampling layer as the last leaves a weave on smooth surfaces.
        generator=(*_stack((256, 256, 128, 64, 32), _square(4), _square(2)), Layer(0, _square(3), _square(1))),
        posterior=_stack((64, 128, 256, 256), _square(4), _square(2)),
        heads=Layer(0, _square(4), _square(2)),
        energy=_unpadded(2, (96, 7, 2), (128, 5, 2), (64, 5, 1)),
        energy_scales=2,
        activation_bound=3.0,
        reflect_edges=True,
        blur_upsampling=True,
        equaliser=(15, 15),
        colour_transfer=True,
        subband_matching=2,
    )


def still_level(factor: int) -> Design:
    """A level above stills of `local`: adds the detail of textures `factor` (2 or 4) times as large."""
    doublings = factor.bit_length() - 1
    return Design(
        latents=(8,),
        generator=(
            *_stack((64,) * 5, _square(3), _square(1)),
            *_stack((48, 32)[2 - doublings :], _square(4), _square(2)),
            Layer(0, _square(3), _square(1)),
        ),
        posterior=(*_stack((48, 96)[2 - doublings :], _square(4), _square(2)), Layer(96, _square(3), _square(1))),
        heads=Layer(0, _square(3), _square(1)),
        energy=_unpadded(2, (96, 7, 2), (128, 5, 2), (64, 5, 1)),
        energy_scales=2,
        conditional=True,
        residual=True,
        activation_bound=3.0,
        reflect_edges=True,
        blur_upsampling=True,
        equaliser=(15, 15),
        subband_matching=2,
    )


def clip_local() -> Design:
    """Our networks for clips."""
    return Design(
        latents=(8,),
        frame_latents=(4, 4, 4),
        generator=(Layer(256, (3, 4, 4), (1, 2, 2)), *_stack((128, 64, 0), _cube(4), _cube(2))),
        posterior=(*_stack((48, 96, 192), _cube(4), _cube(2)), Layer(192, (3, 4, 4), (1, 2, 2))),
        heads=Layer(0, _cube(3), _cube(1)),
        energy=_unpadded(3, (48, 4, 2), (96, 4, 2), (64, 3, 1)),
        energy_scales=2,
        constant_channels=8,
        coordinates=True,
        reflect_edges=True,
        equaliser=(7, 15, 15),
        deflicker=True,
        subband_matching=3,
    )


def objects(side: int, latent: int) -> Design:
    """The paper's object networks for 32 pixels; each doubling takes one layer more, 28 pixels one less."""
    doubling = _square(4), _square(2)
    first = _square(7 if side == 28 else 4)  # pixels of the first layer's output for the one latent position
    doublings = (side // first[0]).bit_length() - 1
    widths = tuple(max(32, 512 >> n) for n in range(doublings))
    down = tuple(min(512, 64 << n) for n in range(doublings + (side > 28)))
    last = _square(7 if side == 28 else 2)  # positions that remain after `down`
    return Design(
        latents=(latent,),
        generator=(Layer(512, first, first), *_stack(widths, *doubling), Layer(0, _square(3), _square(1))),
        posterior=_stack(down, *doubling),
        heads=Layer(0, last, last),
        energy=(*_stack((*down[:-1], min(256, down[-1])), *doubling), Layer(1, last, last, padded=False)),
        reflect_edges=True,
    )
