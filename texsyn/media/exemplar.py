"""What training takes: one exemplar, several together, and crops of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from texsyn.core import ops
from texsyn.core.errors import TexsynError
from texsyn.core.modality import Modality
from texsyn.media.pictures import Pictures

_UNEVEN = 0.3  # share of the contrast that a slope of brightness explains
_MOVES = 0.004  # mean absolute difference of frames, in [-1, 1]
_SMALL = 128  # pixels of the shorter side
_FLAT = 0.02  # standard deviation, in [-1, 1]


@dataclass(frozen=True)
class Exemplar:
    """A texture to train from: `pixels` is `channels *axes` in [-1, 1], at training scale."""

    pixels: Tensor = field(repr=False)
    modality: Modality
    fps: float = 0.0  # 0 for stills
    facts: dict[str, Any] = field(default_factory=dict)  # JSON: name, sha256, size and frames as read
    held: Tensor | None = field(default=None, repr=False)  # frames held out of training, to score against
    mask: Tensor | None = field(default=None, repr=False)  # `1 *axes`, 1 where pixels are missing and only a guess
    # Of a collection: what it is trained on, and what is held out. `pixels` and `held` are sheets of the first ones.
    pictures: Pictures | None = field(default=None, repr=False)
    held_pictures: Pictures | None = field(default=None, repr=False)

    @property
    def size(self) -> tuple[int, ...]:
        """(Frames and) pixels per axis."""
        return tuple(self.pixels.shape[1:])

    def estimated(self, estimate: Tensor | None) -> Tensor:
        """The pixels, where masked those of an estimate of the whole at any scale; None leaves them as they are."""
        if estimate is None or self.mask is None:
            return self.pixels
        return torch.where(self.mask > 0, ops.resize(estimate.to(self.pixels), self.size), self.pixels)

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return str(self.facts.get("name", ""))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of a collection's classes; () where it has none."""
        return tuple(self.facts.get("classes", ()))


OneOrMore = Exemplar | Sequence[Exemplar]  # one, or several of one kind: see `together`


def as_tuple(exemplar: OneOrMore) -> tuple[Exemplar, ...]:
    """One exemplar or several, as a tuple."""
    return (exemplar,) if isinstance(exemplar, Exemplar) else tuple(exemplar)


def conditions(exemplars: Sequence[Exemplar]) -> int:
    """How many things a model can be asked for: the classes of a collection, or exemplars."""
    return len(exemplars[0].classes) or len(exemplars)


def together(*exemplars: Exemplar) -> tuple[Exemplar, ...]:
    """Several exemplars for one model: with one training window, all grey or all in colour.

    Raises TexsynError (exit 3) for different kinds, or different sizes along axes where the size is fixed.
    """
    first, *others = exemplars
    for other in others:
        if other.modality.name != first.modality.name:
            raise TexsynError(
                f"{other.name} is a {other.modality.name}, but {first.name} is a {first.modality.name}: "
                "one model is trained on one kind"
            )
    shared = _shared_modality([each.modality for each in exemplars])
    return tuple(
        replace(
            each,
            pixels=_with_channels(each.pixels, shared.channels),
            held=None if each.held is None else _with_channels(each.held, shared.channels),
            modality=shared,
        )
        for each in exemplars
    )


def _shared_modality(modalities: Sequence[Modality]) -> Modality:
    """The most channels, and along each axis the smallest window and size."""
    widest = max(modalities, key=lambda each: each.channels)
    window = tuple(map(min, zip(*(each.window for each in modalities), strict=True)))
    size = tuple(map(min, zip(*(each.size for each in modalities), strict=True)))
    for axis, same in enumerate(widest.stationary):
        if not same and any(each.window[axis] != window[axis] for each in modalities):
            raise TexsynError("clips for one model must be of one size: see --side")
    return replace(widest, window=window, size=size)


def _with_channels(tensor: Tensor, channels: int) -> Tensor:
    return tensor.expand(channels, *tensor.shape[1:]).contiguous()


# ------------------------------------------------------------ crops

Place = tuple[int, tuple[slice, ...]]  # an exemplar's number, and a crop of `channels *axes`


def random_places(
    sizes: Sequence[Sequence[int]],
    window: Sequence[int],
    first: int,
    count: int,
    random: torch.Generator,
    raster: Sequence[int] | None = None,
) -> list[Place]:
    """`count` crops at uniformly random places of exemplars of these sizes, taken in turn from number `first` on.

    raster: per axis, crops start at multiples of this; None for anywhere.
    """
    raster = raster or [1] * len(window)
    places: list[Place] = []
    for index in range(first, first + count):
        size = sizes[index % len(sizes)]
        starts = [
            step * int(torch.randint((n - w) // step + 1, (), generator=random))
            for n, w, step in zip(size, window, raster, strict=True)
        ]
        crop = (slice(None), *(slice(s, s + w) for s, w in zip(starts, window, strict=True)))
        places.append((index % len(sizes), crop))
    return places


def crops(
    pixels: Tensor, window: tuple[int, ...], count: int, generator: torch.Generator, raster: Sequence[int] | None = None
) -> Tensor:
    """`c *axes` -> `count c *window`, at uniformly random places."""
    return torch.stack(
        [pixels[place] for _, place in random_places([pixels.shape[1:]], window, 0, count, generator, raster)]
    )


# ------------------------------------------------------------ remarks


def remarks(exemplar: Exemplar) -> list[str]:
    """What may make an exemplar hard to train from, each in one sentence; empty if nothing does."""
    pixels, modality, lines = exemplar.pixels, exemplar.modality, []
    uneven, smallest = _uneven_light(exemplar), min(exemplar.size[-2:])
    if all(modality.stationary) and uneven > _UNEVEN:
        lines.append(
            f"Brightness changes from one side to the other ({100 * uneven:.0f} % of the contrast): samples will mix "
            "light and dark parts. Even lighting, or a crop, gives better results."
        )
    if modality.moving and float((pixels[:, 1:] - pixels[:, :-1]).abs().mean()) < _MOVES:
        lines.append("Almost nothing moves in this clip: a still trains faster.")
    if not modality.moving and smallest < _SMALL:
        lines.append(f"The exemplar is small ({smallest} pixels): samples may look alike.")
    if float(pixels.std()) < _FLAT:
        lines.append("The exemplar has almost no contrast.")
    return lines


def _uneven_light(exemplar: Exemplar) -> float:
    """Share of the variance of brightness that slopes along the two axes explain."""
    light = exemplar.pixels[: exemplar.modality.planes[0].channels].mean(0)
    light = light.mean(0) if exemplar.modality.moving else light
    rows, columns = (torch.linspace(-1, 1, n) for n in light.shape)
    ramps = rows[:, None].expand_as(light), columns.expand_as(light)
    slopes = [float((light * ramp).mean() / ramp.square().mean()) for ramp in ramps]
    return sum(slope**2 for slope in slopes) / 3 / max(float(light.var()), 1e-9)
