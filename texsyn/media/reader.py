"""Files to exemplars at training scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from texsyn.core.errors import Exit, TexsynError
from texsyn.core.files import digest, existing
from texsyn.core.maps import COLOUR, Plane
from texsyn.core.modality import MATERIAL, MODALITIES, Modality
from texsyn.core.text import short
from texsyn.media import decoding, masks, material, scale
from texsyn.media.exemplar import Exemplar, together
from texsyn.media.frames import Box, Frames, centre_square, crop_to, frame_slice, size_text
from texsyn.media.metadata import read_metadata
from texsyn.media.scaling import fit_window, reduced_size, to_tensors

SMALLEST = 64  # pixels that an exemplar needs on both sides
_LARGEST_SIDE = 2048  # likewise, with levels above it
_LEAST_SIDE = 32  # pixels to which the shorter side may be reduced
_PICTURE = (Plane(COLOUR),)
Maps = Mapping[str, str | Path]  # files of a material, by what they hold


def read(
    *paths: str | Path,
    kind: str | None = None,
    frames: str | slice | None = None,
    side: int | None = None,
    mask: str | Path | None = None,
    crop: Box | None = None,
    maps: Maps | None = None,
    levels: int | None = None,
) -> Exemplar:
    """Read an exemplar: one still, one clip, or the maps of a material.

    A clip is a video, a GIF, an animated PNG or WebP (at their frame rates), or a folder of images (25 frames per
    second, in natural order). A TIFF of several pages is refused. A material is a folder, or several files, whose names
    tell the maps (see `core.maps`), or, whatever their names, a picture and its normals; all maps are brought to the
    size of the smallest.

    maps: says by hand which file is which, such as {"colour": "a.png", "height": "b.png"}, in place of paths.
    kind: a row of `MODALITIES`; None finds it from the files. frames: which frames of a clip to train from, "A:B" as in
    Python. side: pixels of the shorter side after reduction; None takes the kind's own, 0 keeps the file's size.
    mask: an image (or, for a clip, a clip) of the exemplar's size, white where pixels are masked; transparent pixels of
    the exemplar are masked, too. Masked pixels do not influence the result: a smooth guess replaces them.
    crop: the part to train from.
    levels: of a still or a material, at most so many levels of detail above the base, each for two or four times its
    size, as many as the exemplar is large enough for; then `side` keeps up to 2048 pixels by default. None chooses: a
    still of 448 pixels or more without a mask is learnt at its own size where no `side` is given, with as
    many levels as what it shows is large.
    Raises TexsynError: exit 3 for anything that cannot be read as asked, exit 2 for a side that is too small, or for
    levels that the kind does not have.
    """
    named = [Path(path) for path in paths]
    sources = _find_maps(named, kind or (MATERIAL.name if len(named) > 1 else None), maps)
    files = [source.file for source in sources] or [existing(path) for path in named]
    modality = MATERIAL if sources else _find_kind(files, kind)
    if side and side < _LEAST_SIDE:
        raise TexsynError(f"--side must be 0 or at least {_LEAST_SIDE}, but is {side}", Exit.USAGE)
    name = files[0].name
    whole, modality = _decode(files, modality, frames, sources)
    whole = masks.add_mask(whole, mask, name)
    if crop is not None:
        whole = whole.apply(partial(crop_to, box=crop))
    _check_smallest(whole, modality, f"{'' if crop is None else 'what --crop leaves of '}{short(name)}")
    used, held = _split(whole, frames, modality)
    if used.mask is not None:
        masks.check_mask(used.mask, name)
        used = masks.fill_masked(used)
    if modality.planes == _PICTURE and _is_grey(used):
        used, modality = _first_channel(used), replace(modality, planes=(Plane(COLOUR, 1),))
        held = None if held is None else _first_channel(held)
    if levels and not modality.is_stationary_still:
        raise TexsynError(f"--levels is for stills and materials, not for a {modality.name}", Exit.USAGE)
    elements: dict[str, Any] = {}
    if levels is None and side is None:
        side, modality, elements = _choose_scale(used, modality)
    elif levels:
        side = _LARGEST_SIDE if side is None else side
        modality = replace(modality, factors=scale.factors(min(reduced_size(used, modality, side)), levels))
    pixels, small_mask = to_tensors(used, modality, side)
    held_pixels = None if held is None else to_tensors(held, modality, side)[0]
    facts = {
        "name": short(material.title(named or files)),
        "sha256": digest(named or files),
        "width": whole.size[2],
        "height": whole.size[1],
        **({"frames": whole.size[0], "used_frames": used.size[0]} if modality.moving else {}),
        **elements,
        **({} if small_mask is None else {"masked": round(float(small_mask.mean()), 4)}),
    }
    return fit_window(Exemplar(pixels, modality, whole.fps, facts, held_pixels, small_mask), name)


def read_like(
    first: Exemplar, *paths: str | Path, frames: str | slice | None = None, mask: str | Path | None = None
) -> Exemplar:
    """Read another image or clip of a texture at the scale at which an exemplar, `first`, was read.

    What texsyn made from that exemplar has that scale already. frames and mask: as for `read`. Raises TexsynError
    (exit 3), also for another kind or a colour image where `first` is grey.
    """
    modality = first.modality
    sources = _find_maps([Path(path) for path in paths], "material" if len(modality.planes) > 1 else None, None)
    files = [source.file for source in sources] or [existing(Path(path)) for path in paths]
    _check_same_kind(files, modality, sources)
    given, _modality = _decode(files, modality, frames, sources)
    given = masks.add_mask(given, mask, files[0].name)
    if modality.moving:
        given = given.apply(lambda array: array[frame_slice(frames, len(array))])
    if not all(modality.stationary):
        given = given.apply(centre_square)
    given = masks.fill_masked(given)
    if given.colours.shape[-1] != modality.channels:
        if not _is_grey(given):
            raise TexsynError(f"{short(files[0].name)} is in colour, but this run is of a grey {modality.name}")
        given = _first_channel(given)
    side = min(given.size[1:]) if _is_made_from(first, files[0]) else _side_like(first, given)
    pixels, small_mask = to_tensors(given, modality, side)
    return Exemplar(pixels, modality, given.fps, {"name": short(files[0].stem)}, None, small_mask)


def read_all(paths: Sequence[str | Path], maps: Maps | None = None, **options: Any) -> tuple[Exemplar, ...]:
    """Read several files or folders: the maps of one material, or one exemplar for each.

    maps and options: of `read`. Raises TexsynError (exit 3) as `read` and `together` do, and for a mask of several
    exemplars; exit 2 where both paths and maps are given.
    """
    files, kind = [Path(path) for path in paths], options.get("kind")
    if maps and files:
        name = short(files[0].name)
        raise TexsynError(f"--maps names all files of a material, so {name} is one too many", Exit.USAGE)
    one = kind in MODALITIES and len(MODALITIES[kind].planes) > 1
    if maps or one or len(files) < 2 or _find_maps(files, kind, None):
        return (read(*files, maps=maps, **options),)
    if options.get("mask") is not None:
        raise TexsynError("--mask goes with one exemplar; of several, transparent pixels are masked")
    options["levels"] = options.get("levels") or 0  # they must be of one scale
    exemplars = together(*(read(file, **options) for file in files))
    names = [each.name for each in exemplars]
    if len(set(names)) < len(names):
        raise TexsynError(f"exemplars are told apart by their names, but these are {', '.join(names)}")
    return exemplars


# ------------------------------------------------------------ kinds


def _find_maps(files: list[Path], kind: str | None, maps: Maps | None) -> tuple[material.Source, ...]:
    """The maps of one material in these files; () where they are something else."""
    if maps:
        if kind not in (None, MATERIAL.name):
            raise TexsynError(f"--maps names the files of a material, not of a {kind}", Exit.USAGE)
        return material.by_hand(maps)
    if not files or kind not in (None, MATERIAL.name):
        return ()
    return material.find(files, must=kind is not None and (len(files) > 1 or files[0].is_dir()))


def _find_kind(files: list[Path], kind: str | None) -> Modality:
    """The kind of one file, or of a folder of frames."""
    if not files:
        raise TexsynError("no exemplar named")
    if kind is not None and kind not in MODALITIES:
        raise TexsynError(f"{kind!r} is not a kind of texture: {', '.join(MODALITIES)}")
    modality = MODALITIES[kind or decoding.sniff(files[0])]
    if modality.name == MATERIAL.name:
        raise TexsynError(f"{short(files[0].name)} is one file, but a material has at least two maps")
    if len(files) != len(modality.planes):
        names = " and ".join(plane.name for plane in modality.planes)
        raise TexsynError(f"a {modality.name} is {len(modality.planes)} file(s) ({names}), but {len(files)} were named")
    return modality


def _check_same_kind(files: list[Path], modality: Modality, sources: Sequence[material.Source]) -> None:
    if sources or len(modality.planes) > 1:
        found, wanted = ([plane.name for plane in planes] for planes in ([s.plane for s in sources], modality.planes))
        if found != wanted:
            raise TexsynError(
                f"this run is of a {modality.name} with {', '.join(wanted)}, but {short(files[0].name)} "
                + (f"comes with {', '.join(found)}" if found else "is one file")
            )
        return
    kind = decoding.sniff(files[0])
    if (kind == "clip") != modality.moving or len(files) != 1:
        raise TexsynError(
            f"{short(files[0].name)} is a {kind} in {len(files)} file(s), but this run is of a {modality.name}, 1 file"
        )


# ------------------------------------------------------------ steps


def _decode(
    files: list[Path], modality: Modality, frames: str | slice | None, sources: Sequence[material.Source]
) -> tuple[Frames, Modality]:
    """A clip's frames, or a still's planes as channels of one frame; and the kind with these planes."""
    if modality.moving:
        return decoding.read_clip(files[0]), modality
    if frames is not None:
        raise TexsynError(f"--frames is for clips, but {short(files[0].name)} is read as a {modality.name}")
    if sources:
        decoded, planes = material.decode(sources)
        return decoded, replace(modality, planes=planes)
    maps = [decoding.read_still(file) for file in files]
    for file, each in zip(files[1:], maps[1:], strict=True):
        if each.size != maps[0].size:
            raise TexsynError(
                f"{short(file.name)} is {size_text(each.colours)}, but {short(files[0].name)} is "
                f"{size_text(maps[0].colours)}: maps must agree"
            )
    known = [each.mask for each in maps if each.mask is not None]
    return Frames(np.concatenate([each.colours for each in maps], -1), np.any(known, 0) if known else None), modality


def _check_smallest(frames: Frames, modality: Modality, what: str) -> None:
    if min(frames.size[1:]) < SMALLEST:
        raise TexsynError(
            f"{what} is {size_text(frames.colours)}, but a {modality.name} needs at least {SMALLEST} x {SMALLEST}"
        )


def _split(whole: Frames, frames: str | slice | None, modality: Modality) -> tuple[Frames, Frames | None]:
    """The frames to train from, and the last ones left out, to score against; of clips, the centre square."""
    if not modality.moving:
        return whole, None
    count, wanted = whole.size[0], modality.window[0]
    used = frame_slice(frames, count)
    left_out = np.delete(np.arange(count), used)[-wanted:]
    held = None
    if len(left_out) == wanted and whole.mask is None:
        held = whole.apply(lambda array: centre_square(array[left_out]))
    return whole.apply(lambda array: centre_square(array[used])), held


def _choose_scale(used: Frames, modality: Modality) -> tuple[int | None, Modality, dict[str, Any]]:
    """The side to which a still is reduced, its kind with the levels above a base, and how large its elements are.

    Small stills, those with masked parts, and clips have the kind's side and no levels.
    """
    if not modality.is_stationary_still or used.mask is not None:
        return None, modality, {}
    shorter = min(reduced_size(used, modality, _LARGEST_SIDE))
    if shorter < scale.LEAST_LARGE:
        return None, modality, {}
    colours = to_tensors(used, modality, None)[0][: modality.planes[0].channels]
    length = scale.correlation_length(colours) * shorter / min(colours.shape[1:])
    found = scale.by_length(shorter, length)
    return _LARGEST_SIDE, replace(modality, factors=found), {"elements": round(2 * length)}


def _is_grey(frames: Frames) -> bool:
    return bool((frames.colours[..., :1] == frames.colours).all())


def _first_channel(frames: Frames) -> Frames:
    return replace(frames, colours=frames.colours[..., :1])


def _is_made_from(first: Exemplar, file: Path) -> bool:
    """Whether texsyn made a file with a model of this exemplar."""
    made = read_metadata(file) if file.is_file() else None
    hashes = (made or {}).get("exemplar_sha256")
    own = first.facts.get("sha256")
    return own is not None and own in (hashes if isinstance(hashes, list) else [hashes])


def _side_like(first: Exemplar, given: Frames) -> int:
    """Pixels of the shorter side that bring `given` to the scale of `first`."""
    if not all(first.modality.stationary):
        return first.modality.window[-1]
    height, width = first.size[-2:]
    # An exemplar that was not read from a file was used at its own scale.
    scale: float = min(height, width) / min(first.facts.get("width", width), first.facts.get("height", height))
    return max(1, round(min(given.size[1:]) * scale))
