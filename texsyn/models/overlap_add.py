"""What becomes of the margins of a transposed convolution: the end of each axis circular, reflected or cropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from texsyn.core import ops

Margins = tuple[tuple[int, int, str], ...]  # per axis: positions before and after, and "circular", "reflect" or "crop"


class _OverlapAdd(torch.autograd.Function):
    """Cut off the margins that a transposed convolution without padding has around its grid, and add them inside.

    circular: on the opposite side. reflect: mirrored, on their own side. crop: nowhere.
    """

    @staticmethod
    def forward(ctx: Any, out: Tensor, margins: Margins) -> Tensor:
        ctx.margins = margins
        if torch.compiler.is_exporting():
            return _in_graph(out, margins)
        for axis, (before, after, mode) in enumerate(margins, start=2):
            size = out.shape[axis] - before - after
            left, right = out.narrow(axis, 0, before), out.narrow(axis, before + size, after)
            if mode == "circular":
                out.narrow(axis, size, before).add_(left)
                out.narrow(axis, before, after).add_(right)
            elif mode == "reflect":
                out.narrow(axis, before, before).add_(left.flip(axis))
                out.narrow(axis, before + size - after, after).add_(right.flip(axis))
            out = out.narrow(axis, before, size)
        return out.clone(memory_format=ops.memory_format(len(margins)))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rank = len(ctx.margins)
        sizes = [n + before + after for n, (before, after, _) in zip(gradient.shape[2:], ctx.margins, strict=True)]
        full = torch.empty(
            (*gradient.shape[:2], *sizes),
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=ops.memory_format(rank),
        )
        _inside(full, ctx.margins, 0).copy_(gradient)
        for axis, (before, after, mode) in enumerate(ctx.margins):
            # Axes before this one have their margins already; of those after it, only the inside is filled.
            part = _inside(full, ctx.margins, axis + 1)
            size = gradient.shape[axis + 2]
            left, right = part.narrow(axis + 2, 0, before), part.narrow(axis + 2, before + size, after)
            if mode == "crop":
                left.zero_()
                right.zero_()
            elif mode == "circular":
                left.copy_(part.narrow(axis + 2, size, before))
                right.copy_(part.narrow(axis + 2, before, after))
            else:
                left.copy_(part.narrow(axis + 2, before, before).flip(axis + 2))
                right.copy_(part.narrow(axis + 2, before + size - after, after).flip(axis + 2))
        return full, None


def _in_graph(out: Tensor, margins: Margins) -> Tensor:
    """Likewise for an exported graph, in which adding in place transposes the whole several times."""
    for axis, (before, after, mode) in enumerate(margins, start=2):
        size = out.shape[axis] - before - after
        left, inside, right = (
            out.narrow(axis, *part) for part in ((0, before), (before, size), (before + size, after))
        )
        if mode == "circular":
            inside = _added(inside, axis, size - before, left)
            inside = _added(inside, axis, 0, right)
        elif mode == "reflect":
            inside = _added(inside, axis, 0, left.flip(axis))
            inside = _added(inside, axis, size - after, right.flip(axis))
        out = inside
    return out


def _added(x: Tensor, axis: int, start: int, values: Tensor) -> Tensor:
    """`x` with `values` added from position `start` of an axis on."""
    count, size = values.shape[axis], x.shape[axis]
    parts = (x.narrow(axis, 0, start), x.narrow(axis, start, count) + values)
    return torch.cat((*parts, x.narrow(axis, start + count, size - start - count)), axis) if count else x


def _inside(full: Tensor, margins: Margins, first: int) -> Tensor:
    """`full` without the margins of the axes from `first` on."""
    for axis, (before, after, _) in list(enumerate(margins))[first:]:
        full = full.narrow(axis + 2, before, full.shape[axis + 2] - before - after)
    return full


overlap_add: Callable[..., Tensor] = _OverlapAdd.apply
