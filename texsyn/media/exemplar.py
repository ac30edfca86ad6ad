"""What is learnt from: one exemplar, several together, windows cut from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from texsyn.core.errors import TexsynError
from texsyn.core.modality import Modality

Place = tuple[int, tuple[slice, ...]]  # an exemplar's number, and a window of `channels *axes`


def random_places(
    sizes: Sequence[Sequence[int]],
    window: Sequence[int],
    first: int,
    count: int,
    random: Any,
    raster: Sequence[int] | None = None,
) -> list[Place]:
    """`count` windows at uniformly random places of exemplars of these sizes, taken in turn from number `first` on.

    raster: per axis, of what a window begins at a multiple; everywhere, where there is none.
    """
    raster = raster or [1] * len(window)
    found: list[Place] = []
    for index in range(first, first + count):
        size = sizes[index % len(sizes)]
        starts = [
            step * int(torch.randint((n - w) // step + 1, (), generator=random))
            for n, w, step in zip(size, window, raster, strict=True)
        ]
        cut = (slice(None), *(slice(s, s + w) for s, w in zip(starts, window, strict=True)))
        found.append((index % len(sizes), cut))
    return found


def crops(
    pixels: Tensor, window: tuple[int, ...], count: int, generator: torch.Generator, raster: Sequence[int] | None = None
) -> Tensor:
    """`c *axes` -> `count c *window`, at uniformly random places."""
    return torch.stack(
        [pixels[place] for _, place in random_places([pixels.shape[1:]], window, 0, count, generator, raster)]
    )


@dataclass(frozen=True)
class Exemplar:
    """What is learnt from: `pixels` is `channels *axes` in [-1, 1], on the scale at which it is learnt."""

    pixels: Tensor = field(repr=False)
    modality: Modality
    fps: float = 0.0  # 0 for stills
    facts: dict[str, Any] = field(default_factory=dict)  # JSON: name, sha256, size and frames as read
    held: Tensor | None = field(default=None, repr=False)  # frames of a clip left out, to judge against
    mask: Tensor | None = field(default=None, repr=False)  # `1 *axes`, 1 where pixels are missing (a mere guess)

    @property
    def size(self) -> tuple[int, ...]:
        """(Frames and) pixels per axis."""
        return tuple(self.pixels.shape[1:])

    @property
    def name(self) -> str:
        """Of the file, without its ending."""
        return str(self.facts.get("name", ""))


def remarks(exemplar: Exemplar) -> list[str]:
    """What may make an exemplar hard to learn, each in one sentence; none where nothing was found."""
    pixels, found = exemplar.pixels, []
    light = pixels[: exemplar.modality.planes[0].channels].mean(0)
    light = light.mean(0) if exemplar.modality.moving else light
    rows, columns = (torch.linspace(-1, 1, n) for n in light.shape)
    slopes = [
        float((light * ramp).mean() / ramp.square().mean())
        for ramp in (rows[:, None].expand_as(light), columns.expand_as(light))
    ]
    explained = sum(slope**2 for slope in slopes) / 3 / max(float(light.var()), 1e-9)
    if all(exemplar.modality.stationary) and explained > 0.3:
        found.append(
            f"Brightness changes from one side to the other ({100 * explained:.0f} % of the contrast): new textures "
            "will mix light and dark parts. Even lighting, or a crop, is learnt better."
        )
    if exemplar.modality.moving and float((pixels[:, 1:] - pixels[:, :-1]).abs().mean()) < 0.004:
        found.append("Next to nothing moves in this clip: a still would be learnt faster.")
    small = min(exemplar.size[-2:])
    if not exemplar.modality.moving and small < 128:
        found.append(
            f"The exemplar is small ({small} pixels): there is little to learn from, and samples may look alike."
        )
    if float(pixels.std()) < 0.02:
        found.append("The exemplar has next to no contrast.")
    return found


def together(*exemplars: Exemplar) -> tuple[Exemplar, ...]:
    """Several exemplars as one model learns them: of one kind and one training window, all grey or all in colour.

    Raises TexsynError (exit 3) when they are of different kinds.
    """
    first, *others = exemplars
    for other in others:
        if other.modality.name != first.modality.name:
            raise TexsynError(
                f"{other.name} is a {other.modality.name}, but {first.name} is a {first.modality.name}: "
                "one model learns one kind"
            )
    widest = max(exemplars, key=lambda each: each.modality.channels).modality
    rows = [each.modality for each in exemplars]
    window, size = (tuple(map(min, zip(*(getattr(row, of) for row in rows), strict=True))) for of in ("window", "size"))
    for axis, same in enumerate(widest.stationary):
        if not same and any(row.window[axis] != window[axis] for row in rows):
            raise TexsynError("clips that one model learns must be learnt at one size: see --side")
    shared = replace(widest, window=window, size=size)

    def coloured(tensor: Tensor) -> Tensor:
        return tensor.expand(shared.channels, *tensor.shape[1:]).contiguous()

    return tuple(
        replace(
            each,
            pixels=coloured(each.pixels),
            held=None if each.held is None else coloured(each.held),
            modality=shared,
        )
        for each in exemplars
    )


OneOrMore = Exemplar | Sequence[Exemplar]  # one, or several of one kind: see `media.together`


def as_tuple(exemplar: OneOrMore) -> tuple[Exemplar, ...]:
    """One exemplar or several, as a tuple."""
    return (exemplar,) if isinstance(exemplar, Exemplar) else tuple(exemplar)
