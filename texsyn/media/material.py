"""Sets of maps: which file holds which map of a material, by their names or as a person says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import existing
from texsyn.core.formats import STILL_ENDINGS
from texsyn.core.maps import (
    CHANNELS,
    COLOUR,
    DOWN,
    HEIGHT,
    MAPS,
    NORMAL,
    PACKED,
    UNUSED,
    UP,
    Plane,
)
from texsyn.core.text import short
from texsyn.media import decoding
from texsyn.media.frames import Frames, size_text
from texsyn.media.scaling import resized

_LONGEST = 3  # parts of a name that one word may have: Base_Color, nor_gl
_RESOLUTION = re.compile(r"\d+k|\d{3,5}|\d{3,5}x\d{3,5}", re.IGNORECASE)  # parts that say nothing about the set
_RATIO = 0.01  # part by which width over height of maps may differ
_SPREAD = 0.2  # mean difference from length one that the vectors of a file may have
_UNUSED, _PACKED = "unused", "packed"


@dataclass(frozen=True)
class Source:
    """Where a plane comes from."""

    plane: Plane
    file: Path
    channel: int | None = None  # of a file that holds several maps
    directed: bool = True  # where it holds normals, its name says which way their y points


@dataclass(frozen=True)
class _Name:
    """What the name of a file says."""

    file: Path
    kind: str  # of `MAPS`, or one of the two above
    ending: str  # the part that says so, with what separates it from the rest
    rest: str  # the name of the set
    flipped: bool | None  # of normals; None where it does not say


def title(files: Sequence[Path]) -> str:
    """The name of an exemplar in these files: of a set, what its files' names share."""
    return (_shared(files, [_parse(file) for file in files]) if len(files) > 1 else "") or files[0].stem


def find(files: Sequence[Path], must: bool = False) -> tuple[Source, ...]:
    """The maps of one material in a folder, or in several files, colour first; () where they are something else.

    must: they are a material, whatever their names. Raises TexsynError (exit 3) for a set that is not clear.
    """
    if len(files) == 1 and existing(files[0]).is_dir():
        inside = sorted(file for file in files[0].iterdir() if _is_still(file))
        names = [_parse(file) for file in inside]
        if must or len({name.kind for name in names if name is not None and name.kind in (*MAPS, _PACKED)}) > 1:
            return _sources(inside, names, files[0].name)
        return ()
    names = [_parse(existing(file)) for file in files]
    if len(files) > 1 and _shared(files, names) is not None:
        return _sources(files, names, title(files))
    if len(files) == 2 and (must or _is_normal(files[1])):
        return (Source(Plane(COLOUR), files[0]), Source(Plane(NORMAL), files[1]))
    if must:
        raise _unclear([file for file, name in zip(files, names, strict=True) if name is None] or files)
    return ()


def by_hand(maps: Mapping[str, str | Path]) -> tuple[Source, ...]:
    """The maps that a person names, such as {"colour": "a.png", "normal-dx": "b.png", "orm": "c.png"}.

    Raises TexsynError: exit 2 for a name that is no map, exit 3 for a file that is missing.
    """
    names = []
    for word, file in maps.items():
        kind, flipped = _kind(re.sub("[-_. ]", "", word.lower()))
        if kind is None or kind == _UNUSED:
            known = ", ".join((*MAPS, "normal-dx", "orm"))
            raise TexsynError(f"--maps {word}: there is no such map, but {known}", Exit.USAGE)
        names.append(_Name(existing(Path(file)), kind, "-orm" if kind == _PACKED else f"-{kind}", "", flipped))
    return _sources([name.file for name in names], names, "the set")


def parse_maps(words: Sequence[str]) -> dict[str, str]:
    """`colour=a.png,height=b.png` as a dictionary. Raises TexsynError (exit 2)."""
    found: dict[str, str] = {}
    for word in (part for text in words for part in re.split(r",(?=[a-zA-Z_-]+=)", text)):
        name, equals, file = word.partition("=")
        if not (equals and name and file):
            raise TexsynError(f"--maps {word!r} is not MAP=FILE, such as height=rock.png", Exit.USAGE)
        if name in found:
            raise TexsynError(f"--maps names {name} twice", Exit.USAGE)
        found[name] = file
    return found


def sets(files: Sequence[Path]) -> dict[Path, tuple[Path, ...]]:
    """Of many files, those that belong to sets of maps: for each one the files of its set."""
    by_rest: dict[str, list[Path]] = {}
    for file in filter(_is_still, files):
        name = _parse(file)
        by_rest.setdefault(_pieces_joined(file) if name is None else name.rest, []).append(file)
    found: dict[Path, tuple[Path, ...]] = {}
    for group in by_rest.values():
        names = [_parse(file) for file in group]
        kinds = {name.kind for name in names if name is not None}
        if len(group) > 1 and kinds - {COLOUR, _UNUSED} and _shared(group, names) is not None:
            found |= {file: tuple(group) for file in group}
    return found


# ------------------------------------------------------------ names


def _is_still(path: Path) -> bool:
    return path.suffix.lower() in STILL_ENDINGS and not path.name.startswith(".")


def _shared(files: Sequence[Path], names: Sequence[_Name | None]) -> str | None:
    """The name of the set that files of these names are; None where they are no set.

    A file that is named as the set alone, such as rock.png beside rock-normal.png, holds its colour.
    """
    rests = {name.rest for name in names if name is not None}
    if len(rests) != 1:
        return None
    (rest,) = rests
    plain = [file for file, name in zip(files, names, strict=True) if name is None]
    has_colour = any(name is not None and name.kind == COLOUR for name in names)
    if not plain or (len(plain) == 1 and not has_colour and _pieces_joined(plain[0]) == rest):
        return rest
    return None


def _pieces_joined(file: Path) -> str:
    """A stem as the rest of a name that says which map it is."""
    return "_".join(text for text in re.findall(r"[^-_. ]+", file.stem) if not _RESOLUTION.fullmatch(text))


def _parse(file: Path) -> _Name | None:
    """What a file's name says; None where it names no map. The last and longest word counts."""
    pieces = [(match.group(), match.start()) for match in re.finditer(r"[^-_. ]+", file.stem)]
    for last in range(len(pieces), 0, -1):
        for first in range(max(0, last - _LONGEST), last):
            words = [text for text, _ in pieces[first:last]]
            kind, flipped = _kind("".join(words).lower())
            if kind is None:
                continue
            start, stop = pieces[first][1], pieces[last - 1][1] + len(words[-1])
            ending = file.stem[max(0, start - 1) : stop] if first else f"_{file.stem[start:stop]}"
            rest = [text for text, _ in (*pieces[:first], *pieces[last:]) if not _RESOLUTION.fullmatch(text)]
            return _Name(file, kind, ending, "_".join(rest), flipped)
    return None


def _kind(word: str) -> tuple[str | None, bool | None]:
    """The map that a word stands for, and whether its y points down, where it says so."""
    for ends, flipped in ((UP, False), (DOWN, True), (("",), None)):
        for end in ends:
            bare = word.removesuffix(end)
            if bare in MAPS[NORMAL].words and word.endswith(end):
                return NORMAL, flipped
    if word in UNUSED:
        return _UNUSED, None
    if word in PACKED:
        return _PACKED, None
    return next((name for name, row in MAPS.items() if word in row.words), None), None


def _sources(files: Sequence[Path], names: Sequence[_Name | None], what: str) -> tuple[Source, ...]:
    """The planes of a set; raises TexsynError (exit 3) where it is not clear, or has no colour."""
    if _shared(files, names) is not None:
        names = [name or _Name(file, COLOUR, "", "", None) for file, name in zip(files, names, strict=True)]
    known = [name for name in names if name is not None]
    rests = {name.rest for name in known}
    unknown = [
        file
        for file, name in zip(files, names, strict=True)
        # Vendors lay a picture of the material beside its maps.
        if name is None and not any(rest.startswith(file.stem) for rest in rests)
    ]
    if unknown:
        raise _unclear(unknown)
    chosen: dict[str, Source] = {}
    for name in _without_second_normals(known):
        if name.kind in MAPS:
            if name.kind in chosen:
                both = f"{short(chosen[name.kind].file.name)} and {short(name.file.name)}"
                raise TexsynError(f"{both} are both a map of {name.kind}: leave one out, or name maps with --maps")
            channels = MAPS[name.kind].channels
            plane = Plane(name.kind, channels, name.ending, flipped=bool(name.flipped))
            chosen[name.kind] = Source(plane, name.file, directed=name.flipped is not None)
    for name in known:
        if name.kind == _PACKED:
            for channel, kind in enumerate(CHANNELS):  # maps with files of their own come first
                chosen.setdefault(kind, Source(Plane(kind, 1, name.ending, packed=True), name.file, channel))
    if COLOUR not in chosen:
        raise TexsynError(f"{short(what)} has no map of colour: name maps with --maps colour=FILE,...")
    if len(chosen) == 1:
        raise TexsynError(f"{short(what)} has one map, colour: a material has at least two")
    return tuple(chosen[kind] for kind in MAPS if kind in chosen)


def _without_second_normals(names: Sequence[_Name]) -> list[_Name]:
    """Of the same normals for OpenGL and for DirectX, which vendors ship together, those for OpenGL."""
    normals = [name for name in names if name.kind == NORMAL]
    if {name.flipped for name in normals} == {False, True} and len(normals) == 2:
        up, down = sorted(normals, key=lambda name: bool(name.flipped))
        first, second = (_read_vectors(name.file) for name in (up, down))
        if first.shape == second.shape:
            second = np.stack((second[..., 0], 1 - second[..., 1], second[..., 2]), -1)
            if float(np.abs(first - second).mean()) < 0.02:
                return [name for name in names if name is not down]
    return list(names)


def _unclear(files: Sequence[Path]) -> TexsynError:
    listed = ", ".join(short(file.name) for file in files[:5]) + (" and others" if len(files) > 5 else "")
    return TexsynError(
        f"which map is {listed}? Name maps with --maps colour=FILE,normal=FILE,...: {', '.join(MAPS)}, orm"
    )


# ------------------------------------------------------------ values


def decode(sources: Sequence[Source]) -> tuple[Frames, tuple[Plane, ...]]:
    """The planes as channels of one frame, all of the smallest one's size, and the planes with their ranges.

    Raises TexsynError (exit 3) for files that cannot be read, differ in their ratio of sides, or hold no normals.
    """
    files: dict[Path, Frames] = {}
    parts, planes, mask = [], [], None
    for source in sources:
        if source.file not in files:
            read = decoding.read_map if source.plane.map.linear else decoding.read_still
            files[source.file] = read(source.file)
        frames = files[source.file]
        mask = frames.mask if mask is None else mask  # of the colours: maps have none
        values, plane = _values(source, frames.colours)
        parts.append(values)
        planes.append(plane)
    _check_ratios(sources, parts)
    height, width = min((part.shape[1:3] for part in parts), key=lambda size: size[0] * size[1])
    if mask is not None and mask.shape[1:] != (height, width):
        mask = resized(mask.astype(np.float32)[..., None], height, width)[..., 0] > 0
    parts = [part if part.shape[1:3] == (height, width) else resized(part, height, width) for part in parts]
    planes = _directed(sources, parts, planes)
    return Frames(np.concatenate([part.clip(0, 1) for part in parts], -1), mask), tuple(planes)


def _values(source: Source, colours: np.ndarray) -> tuple[np.ndarray, Plane]:
    """`1 h w channels` of a plane in [0, 1]."""
    plane = source.plane
    if plane.map.vectors:
        colours = _as_colours(colours)
        spread, towards = _lengths(colours)
        if spread > _SPREAD or towards <= 0:
            raise TexsynError(
                f"{short(source.file.name)} is no map of normals: its values are no vectors of length one"
            )
        return colours, plane
    if not plane.map.linear:
        return colours, plane
    values = colours[..., [source.channel or 0]]
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:  # of a format that holds any number
        values = (values - low) / max(high - low, 1e-12)
        plane = replace(plane, low=low, high=high)
    return values.astype(np.float32), plane


def _check_ratios(sources: Sequence[Source], parts: Sequence[np.ndarray]) -> None:
    first, others = parts[0], zip(sources[1:], parts[1:], strict=True)
    for source, part in others:
        ratio = (part.shape[2] / part.shape[1]) / (first.shape[2] / first.shape[1])
        if abs(ratio - 1) > _RATIO:
            raise TexsynError(
                f"{short(source.file.name)} is {size_text(part)}, but {short(sources[0].file.name)} is "
                f"{size_text(first)}: maps of a material have one ratio of sides"
            )


def _lengths(colours: np.ndarray) -> tuple[float, float]:
    """Of vectors as colours: the mean difference of their lengths from one, and the mean of z."""
    vectors = colours * 2 - 1
    length = np.linalg.norm(vectors, axis=-1)
    return float(np.abs(length - 1).mean()), float(vectors[..., 2].mean())


def _is_normal(file: Path) -> bool:
    """Whether a file holds vectors of length one that point out of the image."""
    if decoding.sniff(existing(file)) == "clip":
        return False
    spread, towards = _lengths(_read_vectors(file))
    return spread < _SPREAD / 2 and towards > 0.5


def _read_vectors(file: Path) -> np.ndarray:
    return _as_colours(decoding.read_map(file).colours)


def _as_colours(values: np.ndarray) -> np.ndarray:
    """Vectors as colours in [0, 1]; some EXR files hold the vectors themselves."""
    return (values + 1) / 2 if values.min() < -0.01 else values


def _directed(sources: Sequence[Source], parts: Sequence[np.ndarray], planes: list[Plane]) -> list[Plane]:
    """The planes; where a name does not say which way y of normals points, the map of height does."""
    values = {plane.name: part[0] for plane, part in zip(planes, parts, strict=True)}
    if NORMAL not in values or HEIGHT not in values:
        return planes
    slope = np.gradient(values[HEIGHT][..., 0], axis=0)  # rising downwards
    down = float(((values[NORMAL][..., 1] * 2 - 1) * slope).mean()) < 0  # normals point away from what rises
    return [
        replace(plane, flipped=down) if plane.name == NORMAL and not source.directed else plane
        for source, plane in zip(sources, planes, strict=True)
    ]
