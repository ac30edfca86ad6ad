"""Where the pieces of a drawn latent field meet: along seams on which they agree.

A draw of the mixture prior takes each cell (a position of the coarsest latent field) from a place in a code. Here each
is the middle of a piece that reaches half a cell further on all sides. Where pieces overlap, each position of the
finest field takes one of them, so that what neighbours take from different pieces differs least: the seams of
"Graphcut textures" (Kwatra et al. 2003), in the latent field instead of in pixels, and by rounds of min-sum belief
propagation, which depend only on what is nearby.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from texsyn.core import ops
from texsyn.core.architecture import LatentField

_ROUNDS = 12  # of belief propagation
_AVOIDED = 1e5  # cost of a position outside the exemplar
_FORBIDDEN = 1e6  # cost of another piece where a cell's own is given
_EASED = 0.4  # of a step of the coarsest field across a seam, taken away on each side
_OWN = 0.5  # votes that a cell's own piece has beyond those of its fine positions


@dataclass(frozen=True)
class Pieces:
    """For each cell of a field, the place in the bank's codes that it is taken from."""

    code: Tensor  # `b *cells`; 1 along fixed axes
    places: tuple[Tensor, ...]  # per axis `b *cells`: the cell of that code


@dataclass(frozen=True)
class Seams:
    """How pieces are joined.

    folded: cells along each fixed axis, which are values here; 1 for stationary axes. eased: whether the coarsest field
    steps less across seams than codes do; not where steps belong to the place in a period, or to time.
    """

    fields: tuple[LatentField, ...]
    stationary: tuple[bool, ...]
    folded: tuple[int, ...]
    eased: bool = False

    @property
    def axes(self) -> list[int]:
        """The axes along which pieces overlap."""
        return [axis for axis, n in enumerate(self.fine) if n > 1]

    @property
    def reach(self) -> tuple[int, ...]:
        """Per axis: cells beyond which a piece has no influence."""
        return tuple(-(-_ROUNDS // n) + 2 if n > 1 else 0 for n in self.fine)

    def choose(
        self,
        means: Tensor,
        scale: Tensor,
        outside: Tensor,
        pieces: Pieces,
        wrapped: Sequence[bool],
        given: Tensor | None = None,
    ) -> Tensor:
        """`b *positions` of the finest field: the number of the piece that each takes, among those of the 3 x 3 cells.

        Cells are counted in the order of a flattened array, so the number in the middle is a position's own cell.
        means: the codes, `n latent_channels *latent_grid`. scale: what their differences are multiplied by, broadcast
        to them. outside: `n *positions` of the codes, the share of each that is avoided. given: `b *cells`, true where
        a cell keeps its own piece.
        """
        if not self.axes:  # pieces do not overlap
            return torch.zeros_like(pieces.code)
        fine, axes, table = self.fine, self.axes, self._table(means * scale)
        bank, cells = table.shape[:-1], _cells(pieces, self.fine)
        lower = [
            cell - (2 * (_positions(cell, axis) % fine[axis]) < fine[axis]).long() for axis, cell in enumerate(cells)
        ]
        sources, numbers = [], []
        for more in product((0, 1), repeat=len(axes)):
            theirs = list(cells)
            for axis, n in zip(axes, more, strict=True):
                theirs[axis] = lower[axis] + n
            sources.append(_source(pieces, theirs, fine, bank, wrapped))
            numbers.append(_ravel([theirs[axis] - cells[axis] + 1 for axis in axes], [3] * len(axes)))
        number, rows = torch.stack(numbers), table.flatten(0, -2)
        source = torch.stack(sources)
        own = _AVOIDED * outside.flatten()[source]
        if given is not None:
            own = own + _FORBIDDEN * (number != self._kinds // 2) * _look(given, cells)
        joins = {axis: _joins(rows, source, bank, axis, wrapped[axis]) for axis in axes}
        return number.gather(0, _propagate(own, joins).argmin(0, keepdim=True))[0]

    def join(self, means: Tensor, pieces: Pieces, chosen: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """What the chosen pieces give of the codes: `b latent_channels *latent_grid`."""
        found = []
        for field, part in zip(self.fields, self._split(means), strict=True):
            values = self._follow(self._grid(field), part, pieces, chosen, wrapped)
            found.append(ops.space_to_depth(ops.depth_to_space(values, self._whole(field)), field.grid))
        return torch.cat(found, 1)

    def follow(self, values: Tensor, pieces: Pieces, chosen: Tensor, wrapped: Sequence[bool]) -> Tensor:
        """What they give of other values of codes, `n c *positions` of the finest field: `b c *positions`."""
        return self._follow(self.fine, values, pieces, chosen, wrapped)

    def undivided(self, bank: Sequence[int], pieces: Pieces, chosen: Tensor) -> Tensor:
        """`b *positions` of a torus's finest field: true where no seam is beside a position, nor at a corner of it.

        bank: `n *positions` of the codes.
        """
        cells = self._numbered(pieces, self.fine, chosen)
        source = _source(pieces, cells, self.fine, bank, [True] * len(self.fine))
        whole = torch.ones_like(source, dtype=torch.bool)
        strides = [math.prod(bank[axis + 2 :]) for axis in self.axes]
        for offsets in product((-1, 0, 1), repeat=len(self.axes)):
            beside = source.roll(offsets, [axis + 1 for axis in self.axes])
            whole &= source == beside + sum(n * stride for n, stride in zip(offsets, strides, strict=True))
        return whole

    @property
    def fine(self) -> tuple[int, ...]:
        """Positions of the finest field for one cell, per axis."""
        return tuple(max(each) for each in zip(*map(self._grid, self.fields), strict=True))

    @property
    def _kinds(self) -> int:
        """How many cells a cell's values can come from: its neighbours along `axes`, and in the middle itself."""
        return int(3 ** len(self.axes))

    def _grid(self, field: LatentField) -> tuple[int, ...]:
        """Positions of a field for one cell, per axis; 1 on fixed axes."""
        return tuple(n if same else 1 for n, same in zip(field.grid, self.stationary, strict=True))

    def _whole(self, field: LatentField) -> list[int]:
        """Positions of a field on fixed axes; 1 on others."""
        sizes = zip(field.grid, self.folded, self.stationary, strict=True)
        return [1 if same else n * cells for n, cells, same in sizes]

    def _split(self, means: Tensor) -> list[Tensor]:
        """Each field of the codes on its own grid, `n values *positions`; positions on fixed axes are values."""
        parts = zip(self.fields, torch.split(means, [each.packed for each in self.fields], 1), strict=True)
        return [ops.space_to_depth(ops.depth_to_space(part, each.grid), self._whole(each)) for each, part in parts]

    def _table(self, means: Tensor) -> Tensor:
        """`n *positions values`: all fields on the finest grid, where a coarse value counts as much as a fine one."""
        parts = []
        for field, part in zip(self.fields, self._split(means), strict=True):
            repeats = [n // g for n, g in zip(self.fine, self._grid(field), strict=True)]
            parts.append(ops.repeat(part, repeats) / math.sqrt(math.prod(repeats)))
        return torch.cat(parts, 1).movedim(1, -1).contiguous()

    def _follow(
        self, grid: Sequence[int], part: Tensor, pieces: Pieces, chosen: Tensor, wrapped: Sequence[bool]
    ) -> Tensor:
        """Values of codes, `n c *positions` with a `grid` for each cell -> `b c *positions`.

        Each is from the piece that most of its fine positions take.
        """
        block = [n // g for n, g in zip(self.fine, grid, strict=True)]
        votes = F.one_hot(chosen, self._kinds).to(part.dtype).movedim(-1, 1)
        own = F.one_hot(torch.tensor(self._kinds // 2, device=part.device), self._kinds).to(part.dtype)
        shares = ops.block_mean(votes, block) + (_OWN / math.prod(block)) * own.view(-1, *(1,) * len(grid))
        cells = self._numbered(pieces, grid, shares.argmax(1))
        source = _source(pieces, cells, grid, (len(part), *part.shape[2:]), wrapped)
        values = part.movedim(1, -1).flatten(0, -2)[source].movedim(-1, 1)
        if self.eased and math.prod(grid) == 1 and grid != self.fine:
            values = self._ease(values, source, part.shape[2:], wrapped)
        return values

    def _ease(self, values: Tensor, source: Tensor, bank: Sequence[int], wrapped: Sequence[bool]) -> Tensor:
        """Values of a field, `b c *positions`, that change less across seams: a step is seen as a line there.

        source: where they are from in a bank of so many positions.
        """
        for axis in self.axes:
            place = torch.arange(source.shape[axis + 1], device=source.device)
            seam = source.index_select(axis + 1, place.roll(-1)) != source + math.prod(bank[axis + 1 :])
            if not wrapped[axis]:  # nothing is beyond the last position
                seam = seam & (_positions(source, axis) < source.shape[axis + 1] - 1)
            step = values.index_select(axis + 2, place.roll(-1)) - values
            step = torch.where(seam[:, None], _EASED * step, 0.0)
            values = values + step - step.index_select(axis + 2, place.roll(1))
        return values

    def _numbered(self, pieces: Pieces, grid: Sequence[int], number: Tensor) -> list[Tensor]:
        """Per axis, `b *positions` of a field with a `grid` for each cell: the cell of the piece of that number."""
        cells = _cells(pieces, grid)
        for place, axis in enumerate(reversed(self.axes)):
            cells[axis] = cells[axis] + number // 3**place % 3 - 1
        return cells


def _positions(like: Tensor, axis: int) -> Tensor:
    """0, 1, ... along an axis of `like`, `b *positions`; 1 long along the others."""
    sizes = [1] * like.dim()
    sizes[axis + 1] = like.shape[axis + 1]
    return torch.arange(like.shape[axis + 1], device=like.device).view(sizes)


def _cells(pieces: Pieces, grid: Sequence[int]) -> list[Tensor]:
    """Per axis, `b *positions`: the cell of each position of a field with `grid` positions for a cell."""
    sizes = [n * g for n, g in zip(pieces.code.shape[1:], grid, strict=True)]
    like = pieces.code.new_zeros(1).expand(pieces.code.shape[0], *sizes)
    return [(_positions(like, axis) // g).expand_as(like) for axis, g in enumerate(grid)]


def _ravel(indices: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    flat = indices[0]
    for index, size in zip(indices[1:], sizes[1:], strict=True):
        flat = flat * size + index
    return flat


def _look(values: Tensor, cells: Sequence[Tensor]) -> Tensor:
    """`b *cells` -> the value at `cells`, `b *positions` per axis."""
    flat = _ravel(cells, values.shape[1:])
    return values.flatten(1).gather(1, flat.flatten(1)).view(flat.shape)


def _source(
    pieces: Pieces, cells: Sequence[Tensor], grid: Sequence[int], bank: Sequence[int], wrapped: Sequence[bool]
) -> Tensor:
    """Where each position finds its values in a bank, flat, if it takes the piece of `cells` (per axis `b *positions`).

    Beyond the end of an axis that is not wrapped, the last cell's.
    """
    counts = pieces.code.shape[1:]
    within, of_piece = [], []
    for cell, count, circular in zip(cells, counts, wrapped, strict=True):
        inside = cell.clamp(0, count - 1)
        if circular:  # pieces are of the next cells at most
            inside = torch.where(cell < 0, cell + count, torch.where(cell < count, cell, cell - count))
        within.append(inside)
        of_piece.append(cell if circular else inside)
    index = _look(pieces.code, within)
    for axis, (place, cell, n) in enumerate(zip(pieces.places, of_piece, grid, strict=True)):
        theirs = _look(place, within)
        index = index * bank[axis + 1] + (theirs - cell) * n + _positions(cell, axis)
    return index


def _joins(rows: Tensor, sources: Tensor, bank: Sequence[int], axis: int, circular: bool) -> Tensor:
    """`k k b *positions`: what it costs if a position takes one piece and the next along `axis` another.

    It is how much both pieces differ at both positions.
    """
    step, dim = math.prod(bank[axis + 2 :]), axis + 1
    following = sources.roll(-1, dim + 1)
    there, back = rows[following], rows[following - step]
    # One piece after the other: the values of all of them, twice, would be most of what sampling takes in memory.
    costs = [(rows[each] - back).square().sum(-1) + (rows[each + step] - there).square().sum(-1) for each in sources]
    cost = torch.stack(costs)
    if not circular:  # the last position has no next one
        last = _positions(sources[0], axis) == sources.shape[dim + 1] - 1
        cost = torch.where(last, 0.0, cost)
    return cost


def _propagate(own: Tensor, joins: Mapping[int, Tensor]) -> Tensor:
    """By min-sum belief propagation, `k b *positions`: the least cost of all if a position takes each of k pieces."""
    from_before = {axis: torch.zeros_like(own) for axis in joins}
    from_after = {axis: torch.zeros_like(own) for axis in joins}
    # Look-ups are one node of an exported graph each, rolls many.
    places = {axis: torch.arange(own.shape[axis + 2], device=own.device) for axis in joins}
    for _ in range(_ROUNDS):
        for axis, cost in joins.items():  # one axis after the other, since all at once would oscillate
            total, dim = own + sum((*from_before.values(), *from_after.values())), axis + 2
            onward = ((total - from_after[axis])[:, None] + cost).amin(0)
            back = (total - from_before[axis]).index_select(dim, places[axis].roll(-1))[None] + cost
            from_before[axis] = _reduced(onward).index_select(dim, places[axis].roll(1))
            from_after[axis] = _reduced(back.amin(1))
    return own + sum((*from_before.values(), *from_after.values()))


def _reduced(message: Tensor) -> Tensor:
    """Less what is the same for all pieces: such parts would grow with the rounds."""
    return message - message.amin(0, keepdim=True)
