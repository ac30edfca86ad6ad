"""What networks are made of: layers, latent fields and the designs of each kind of texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul


@dataclass(frozen=True)
class Layer:
    """One (transposed) convolution: `stride` is its stride, up in the generator and down elsewhere."""

    channels: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padded: bool = True  # False: only positions where the whole kernel fits


@dataclass(frozen=True)
class LatentField:
    """One latent field of a design."""

    channels: int
    grid: tuple[int, ...]  # its positions for each position of the coarsest field, per axis
    shared: bool = False  # by a whole frame

    @property
    def packed(self) -> int:
        """Channels that it takes when its positions are folded into those of the coarsest field."""
        return self.channels * prod(self.grid)


@dataclass(frozen=True)
class Design:
    """Sizes of the three networks, and the parts of them that can be switched."""

    latents: tuple[int, ...]  # channels of the latent field, and of finer ones that enter before the layers after it
    generator: tuple[Layer, ...]  # without the last layer's planes, which the modality knows
    posterior: tuple[Layer, ...]  # without the heads for mean and log variance
    heads: Layer  # `channels` is ignored: it is the latent's
    energy: tuple[Layer, ...]
    frame_latents: tuple[int, ...] = ()  # channels of latents that a whole frame shares, joined after each hidden layer
    energy_scales: int = 1  # copies of the energy with own weights on ever halved textures, added
    constant_channels: int = 0  # learnt maps on the fixed axes, joined to the latent field
    coordinates: bool = False  # the energy's input carries the coordinates along the fixed axes
    normalisation: str = "batch"  # of the generator: batch or none
    energy_mean: bool = True  # mean over positions times the number of values, instead of the paper's sum
    energy_rectified: bool = True  # leaky ReLU after the energy's last filters
    energy_signed: bool = False  # half of the energy's last filters count against a texture
    log_variance_bound: float = 6.0  # b in b tanh(v / b) for the posterior's log variances; 0 leaves them free
    reflect_edges: bool = False  # the generator reflects what leaves an unwrapped axis; the paper's drops it
    blur_upsampling: bool = False  # hidden layers of the generator average neighbours, so that strides leave no raster
    equaliser: tuple[int, ...] = ()  # size of the filter that brings samples to the exemplar's spectrum; () is none
    exemplars: int = 1  # that one model learns; with more, a global latent says which of them a texture is like
    colour_transfer: bool = False  # samples get the exemplar's mean and covariance of colours
    deflicker: bool = False  # where the exemplar stands still, samples do
    subband_matching: int = 0  # bands of detail (of a clip, in time) matched to the exemplar's; 0 is none
    precision: str = "float32"  # of what is sampled: float32, bfloat16, or auto for what is quicker on the machine

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels (frames) that one position of the latent field makes, per axis."""
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
        """Per latent that frames share: its moments, along the first axis, for each position of the coarsest field."""
        times = accumulate((layer.stride[0] for layer in self.generator[: len(self.frame_latents)]), mul)
        return tuple((n, *(1,) * (len(self.stride) - 1)) for n in times)

    @property
    def fields(self) -> tuple[LatentField, ...]:
        """All latent fields, in the order of their channels."""
        places = zip(self.latents, self.latent_grids, strict=True)
        frames = zip(self.frame_latents, self.frame_latent_grids, strict=True)
        return (*(LatentField(*each) for each in places), *(LatentField(*each, shared=True) for each in frames))

    @property
    def labels(self) -> int:
        """Channels of the global latent: a share of each exemplar, where there are several."""
        return self.exemplars if self.exemplars > 1 else 0

    @property
    def latent_channels(self) -> int:
        """Channels of all latent fields, those with more positions folded into the positions of the coarsest."""
        return sum(each.packed for each in self.fields)

    def positions(self, size: Sequence[int], halvings: Sequence[int]) -> list[int]:
        """Per axis: how many positions the energy's last filters have on `size` that was halved so often; 0 is none."""
        left = []
        for axis, (n, times) in enumerate(zip(size, halvings, strict=True)):
            n //= 2**times
            for layer in self.energy:
                kernel, stride = layer.kernel[axis], layer.stride[axis]
                n = n // stride if layer.padded else max(0, n - kernel + stride) // stride
            left.append(n)
        return left


def _stack(channels: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...]) -> tuple[Layer, ...]:
    return tuple(Layer(c, kernel, stride) for c in channels)


def square(size: int) -> tuple[int, int]:
    return size, size


def _cube(size: int) -> tuple[int, int, int]:
    return size, size, size


def still_paper() -> Design:
    return Design(
        latents=(5,),
        generator=_stack((512, 512, 256, 128, 0), square(4), square(2)),
        posterior=_stack((128, 256, 512, 512), square(4), square(2)),
        heads=Layer(0, square(4), square(2)),
        energy=(
            Layer(100, square(7), square(2), padded=False),
            Layer(70, square(7), square(2), padded=False),
            Layer(30, square(5), square(1), padded=False),
        ),
    )


def clip_paper() -> Design:
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
    return Design(
        latents=(5, 4, 4),  # of 32, 16 and 8 pixels: fine textures need more than one field can say
        # The last layer works among pixels: strides alone leave cloth on what is smooth.
        generator=(*_stack((256, 256, 128, 64, 32), square(4), square(2)), Layer(0, square(3), square(1))),
        posterior=_stack((64, 128, 256, 256), square(4), square(2)),
        heads=Layer(0, square(4), square(2)),
        energy=(
            Layer(96, square(7), square(2), padded=False),
            Layer(128, square(5), square(2), padded=False),
            Layer(64, square(5), square(1), padded=False),
        ),
        energy_scales=2,
        reflect_edges=True,
        blur_upsampling=True,
        equaliser=(15, 15),
        colour_transfer=True,
        subband_matching=2,
    )


def clip_local() -> Design:
    return Design(
        latents=(8,),
        frame_latents=(4, 4, 4),
        generator=(Layer(256, (3, 4, 4), (1, 2, 2)), *_stack((128, 64, 0), _cube(4), _cube(2))),
        posterior=(*_stack((48, 96, 192), _cube(4), _cube(2)), Layer(192, (3, 4, 4), (1, 2, 2))),
        heads=Layer(0, _cube(3), _cube(1)),
        energy=(
            Layer(48, _cube(4), _cube(2), padded=False),
            Layer(96, _cube(4), _cube(2), padded=False),
            Layer(64, _cube(3), _cube(1), padded=False),
        ),
        energy_scales=2,
        constant_channels=8,
        coordinates=True,
        reflect_edges=True,
        equaliser=(7, 15, 15),
        deflicker=True,
        subband_matching=3,
    )


def objects(side: int, latent: int) -> Design:
    """The paper's object networks for 32 pixels; a layer more for 64, and for 28 one less below 7."""
    doubled = square(4), square(2)
    first = square(7 if side == 28 else 4)  # what one latent position makes at once
    widths = {28: (512, 256), 32: (512, 256, 128), 64: (512, 256, 128, 64)}[side]
    down = {28: (64, 128), 32: (64, 128, 256, 512), 64: (64, 128, 256, 512, 512)}[side]
    last = square(7 if side == 28 else 2)  # what is left then
    return Design(
        latents=(latent,),
        generator=(Layer(512, first, first), *_stack(widths, *doubled), Layer(0, square(3), square(1))),
        posterior=_stack(down, *doubled),
        heads=Layer(0, last, last),
        energy=(*_stack((*down[:-1], min(256, down[-1])), *doubled), Layer(1, last, last, padded=False)),
        reflect_edges=True,
    )
