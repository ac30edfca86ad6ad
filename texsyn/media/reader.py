"""Files to exemplars, on the scale at which they are learnt.

Inside, a texture is a float tensor `channels *axes` in [-1, 1]; axes are (t,) y, x.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor

from texsyn.core.errors import Exit, TexsynError, short
from texsyn.core.files import digest, existing
from texsyn.core.modality import MODALITIES, Modality, Plane
from texsyn.media import decoding, inpaint
from texsyn.media.exemplar import Exemplar, together

SMALLEST = 64  # pixels a still must have on both sides
_LEAST_SIDE = 32  # pixels to which the shorter side is reduced
COLOUR = (Plane("colour"),)


def read(
    *paths: str | Path,
    kind: str | None = None,
    frames: str | slice | None = None,
    side: int | None = None,
    mask: str | Path | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> Exemplar:
    """Read an exemplar: one still, one clip (a file or a folder of frames), or a material's maps in the table's order.

    kind: a row of `MODALITIES`; found from the file when None. frames: which frames of a clip to learn from, "A:B" as
    in Python. side: pixels of the shorter side after reduction; None takes the kind's own, 0 keeps the file's.
    mask: a picture (or, for a clip, a clip) of the exemplar's size, white where it is missing; transparent pixels of
    the exemplar are missing too. What is missing is never looked at. crop: left, top, width and height in pixels of the
    part that is learnt.
    Raises TexsynError (exit 3) for anything that cannot be read rightly.
    """
    if not paths:
        raise TexsynError("no exemplar named")
    files = [existing(Path(path)) for path in paths]
    modality = _kind(files, kind)
    if side and side < _LEAST_SIDE:
        raise TexsynError(f"--side must be 0 or at least {_LEAST_SIDE}, but is {side}", Exit.USAGE)
    pixels, missing, fps = _read_files(files, modality, frames is not None)
    missing = _marked(missing, mask, pixels, files[0])
    if crop is not None:
        pixels, missing = _cropped(pixels, crop), None if missing is None else _cropped(missing, crop)
    whole, read_size = len(pixels), pixels.shape[1:3]
    if min(read_size) < SMALLEST:
        cut = "" if crop is None else "what --crop leaves of "
        raise TexsynError(
            f"{cut}{files[0].name} is {read_size[1]} x {read_size[0]}, but a {modality.name} needs at least "
            f"{SMALLEST} x {SMALLEST}"
        )
    held = None
    if modality.moving:
        used = frame_slice(frames, whole)
        left_out = np.delete(np.arange(whole), used)[-modality.window[0] :]
        if len(left_out) == modality.window[0] and missing is None:
            held = centre_square(pixels[left_out])
        pixels = centre_square(pixels[used])
        missing = None if missing is None else centre_square(missing[used])
    if missing is not None:
        decoding.check_missing(missing, files[0].name)
        pixels = _without(pixels, missing)
    if modality.planes == COLOUR and bool((pixels[..., :1] == pixels).all()):
        pixels, modality = pixels[..., :1], replace(modality, planes=(Plane("colour", 1),))
    tensor, hidden = _tensors(pixels, missing, modality, side)
    apart = None if held is None else _tensors(held[..., : pixels.shape[-1]], None, modality, side)[0]
    facts = {
        "name": short(files[0].stem),
        "sha256": digest(files),
        "width": int(read_size[1]),
        "height": int(read_size[0]),
        **({"frames": whole, "used_frames": int(tensor.shape[1])} if modality.moving else {}),
        **({} if hidden is None else {"missing": round(float(hidden.mean()), 4)}),
    }
    return _with_window(Exemplar(tensor, modality, fps, facts, apart, hidden), files[0].name)


def read_like(
    first: Exemplar, *paths: str | Path, frames: str | slice | None = None, mask: str | Path | None = None
) -> Exemplar:
    """Read another picture or clip of a texture on the scale at which an exemplar, `first`, was learnt.

    frames and mask as `read` takes them. Raises TexsynError (exit 3) for one of another kind, too.
    """
    files = [existing(Path(path)) for path in paths]
    modality = first.modality
    moving = decoding.sniff(files[0]) == "clip"
    if moving != modality.moving or len(files) != len(modality.planes):
        raise TexsynError(
            f"{short(files[0].name)} is a {'clip' if moving else 'still'} in {len(files)} file(s), but this run is of "
            f"a {modality.name}, {len(modality.planes)} file(s)"
        )
    pixels, missing, fps = _read_files(files, modality, frames is not None)
    missing = _marked(missing, mask, pixels, files[0])
    if moving:
        used = frame_slice(frames, len(pixels))
        pixels, missing = pixels[used], None if missing is None else missing[used]
    if not all(modality.stationary):
        pixels, missing = centre_square(pixels), None if missing is None else centre_square(missing)
        side = modality.window[-1]
    else:
        # An exemplar that no file was read for was learnt as it is.
        height, width = first.size[-2:]
        learnt = min(height, width) / min(first.facts.get("width", width), first.facts.get("height", height))
        side = max(1, round(min(pixels.shape[1:3]) * learnt))
    if missing is not None:
        pixels = _without(pixels, missing)
    if pixels.shape[-1] != modality.channels:
        if not bool((pixels[..., :1] == pixels).all()):
            raise TexsynError(f"{short(files[0].name)} is in colour, but this run is of a grey {modality.name}")
        pixels = pixels[..., :1]
    tensor, hidden = _tensors(pixels, missing, modality, side)
    return Exemplar(tensor, modality, fps, {"name": short(files[0].stem)}, None, hidden)


def _cropped(pixels: np.ndarray, crop: tuple[int, int, int, int]) -> np.ndarray:
    left, top, width, height = crop
    if not (0 <= left < left + width <= pixels.shape[2] and 0 <= top < top + height <= pixels.shape[1]):
        raise TexsynError(
            f"--crop {width}x{height}+{left}+{top} does not lie within {pixels.shape[2]} x {pixels.shape[1]} pixels"
        )
    return pixels[:, top : top + height, left : left + width]


def _marked(missing: np.ndarray | None, mask: str | Path | None, pixels: np.ndarray, file: Path) -> np.ndarray | None:
    """What is missing, `t h w`, with what a mask marks."""
    if mask is None:
        return missing
    marked = decoding.read_mask(existing(Path(mask)), pixels.shape[:3], file.name)
    decoding.check_missing(marked, Path(mask).name)
    return marked if missing is None else missing | marked


def _tensors(
    pixels: np.ndarray, missing: np.ndarray | None, modality: Modality, side: int | None
) -> tuple[Tensor, Tensor | None]:
    """`t h w c` -> `channels *axes` in [-1, 1] on the scale of learning, and what is hidden of it, `1 *axes`."""
    tensor, hidden = _reduce(pixels, modality, side), None
    if missing is not None:
        hidden = (_reduce(missing[..., None].astype(np.float32), modality, side, Resampling.BOX) > 0.5).float()
        tensor = inpaint.fill(tensor, hidden)
    if not modality.moving:
        tensor, hidden = tensor[:, 0], None if hidden is None else hidden[:, 0]
    return tensor * 2 - 1, hidden


def read_all(paths: Sequence[str | Path], **how: Any) -> tuple[Exemplar, ...]:
    """The exemplars that several files are: a colour and a normal map are one material, all else is one file each.

    `how` is what `read` takes. Raises TexsynError as `read` and `together` do; exit 3 for a mask with several.
    """
    files = [Path(path) for path in paths]
    if len(files) < 2 or how.get("kind") == "material" or (how.get("kind") is None and _is_material(files)):
        return (read(*files, **how),)
    if how.get("mask") is not None:
        raise TexsynError("--mask goes with one exemplar; transparent pixels are missing in each of several")
    found = together(*(read(file, **how) for file in files))
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise TexsynError(f"exemplars are told apart by their names, but these are {', '.join(names)}")
    return found


def _is_material(files: list[Path]) -> bool:
    """Whether the second of two files is a map of normals: vectors of length one that look out of the picture."""
    if len(files) != 2 or any(decoding.sniff(existing(file)) == "clip" for file in files):
        return False
    vectors = decoding.read_still(files[1])[0] * 2 - 1
    length = np.linalg.norm(vectors, axis=-1)
    return bool(np.abs(length - 1).mean() < 0.1 and vectors[..., 2].mean() > 0.5)


def _read_files(files: list[Path], modality: Modality, cut: bool) -> tuple[np.ndarray, np.ndarray | None, float]:
    """`t h w channels`, what is missing of it (`t h w`), and frames per second (0 for stills)."""
    if modality.moving:
        (pixels, missing), fps = decoding.read_clip(files[0])
        return pixels, missing, fps
    if cut:
        raise TexsynError(f"--frames is for clips, but {files[0].name} is read as a {modality.name}")
    pictures = [decoding.read_still(file) for file in files]
    maps = [colours for colours, _ in pictures]
    for file, each in zip(files[1:], maps[1:], strict=True):
        if each.shape[:2] != maps[0].shape[:2]:
            raise TexsynError(
                f"{file.name} is {decoding.size_of(each)}, but {files[0].name} is {decoding.size_of(maps[0])}: "
                "maps must agree"
            )
    gone = [missing for _, missing in pictures if missing is not None]
    return np.concatenate(maps, -1)[None], np.any(gone, 0)[None] if gone else None, 0.0


def _without(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """`t h w c` with what is missing continued from what is there, frame by frame; a frame all missing is black."""
    filled = np.array(pixels)
    for frame, hole in zip(filled, missing, strict=True):
        if hole.all():
            frame[:] = 0
        elif hole.any():
            planes = torch.from_numpy(np.moveaxis(frame, -1, 0).astype(np.float32))
            guess = np.moveaxis(inpaint.fill(planes, torch.from_numpy(hole[None].astype(np.float32))).numpy(), 0, -1)
            frame[hole] = guess[hole]
    return filled


def _kind(files: list[Path], kind: str | None) -> Modality:
    if kind is not None and kind not in MODALITIES:
        raise TexsynError(f"{kind!r} is not a kind of texture: {', '.join(MODALITIES)}")
    if kind is None:
        kind = "material" if len(files) > 1 else decoding.sniff(files[0])
    modality = MODALITIES[kind]
    if len(files) != len(modality.planes):
        names = " and ".join(plane.name for plane in modality.planes)
        raise TexsynError(f"a {kind} is {len(modality.planes)} file(s) ({names}), but {len(files)} were named")
    return modality


def frame_slice(frames: str | slice | None, count: int) -> slice:
    """A:B as a slice of `count` frames. Raises TexsynError (exit 3) when it leaves nothing."""
    if frames is None or isinstance(frames, slice):
        return frames or slice(None)
    match = re.fullmatch(r"(-?\d*):(-?\d*)", frames.strip())
    if not match:
        raise TexsynError(f"--frames {frames!r} is not of the form A:B, such as 0:-32")
    first, last = (int(part) if part not in ("", "-") else None for part in match.groups())
    if not range(count)[first:last]:
        raise TexsynError(f"--frames {frames} leaves nothing of {count} frames")
    return slice(first, last)


def centre_square(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[:, top : top + side, left : left + side]


def _reduce(frames: np.ndarray, modality: Modality, side: int | None, method: Resampling | None = None) -> Tensor:
    """`t h w c` -> `c t h w` in [0, 1]: the shorter side reduced to `side`, and moving pictures by area."""
    side = modality.side if side is None else side
    height, width = frames.shape[1:3]
    placed = not all(modality.stationary)  # its networks are as large as the picture
    if not side or (min(height, width) <= side and not placed):
        side = min(height, width)
    if placed and min(height, width) < side:
        raise TexsynError(f"the clip is {width} x {height}, but a clip needs at least {side} x {side}")
    scale = side / min(height, width)
    goal = (round(height * scale), round(width * scale))
    method = method or (Resampling.BOX if modality.moving else Resampling.LANCZOS)

    def small(plane: np.ndarray) -> np.ndarray:
        exact = np.ascontiguousarray(to_unit_range(plane))
        return exact if goal == (height, width) else np.asarray(Image.fromarray(exact).resize(goal[::-1], method))

    # Plane by plane: as floats a long clip would not fit in memory before it is reduced.
    planes = np.stack([[small(frame[..., c]) for frame in frames] for c in range(frames.shape[-1])])
    return torch.from_numpy(planes).clamp(0, 1)


def to_unit_range(values: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], from that or from uint8."""
    return values.astype(np.float32) / 255 if values.dtype == np.uint8 else values


def _with_window(exemplar: Exemplar, name: str) -> Exemplar:
    """Fit the kind's training window to this exemplar: smaller for a small still, wider for a larger clip."""
    modality, size = exemplar.modality, exemplar.size
    strides = modality.designs["local"].stride
    if modality.moving and size[0] < modality.window[0]:
        raise TexsynError(f"{short(name)} has {size[0]} frame(s) to learn from, but a clip needs {modality.window[0]}")
    window = tuple(
        min(wanted, have) // stride * stride if same else have
        for wanted, have, stride, same in zip(modality.window, size, strides, modality.stationary, strict=True)
    )
    for have, stride, same in zip(size, strides, modality.stationary, strict=True):
        if not same and have % stride:
            raise TexsynError(f"--side must be a multiple of {stride} for a {modality.name}, but is {have}")
    own = tuple(
        min(have, wanted) // stride * stride if axis == "t" else have // stride * stride if same else have
        for axis, have, wanted, stride, same in zip(
            modality.axes, size, modality.size, strides, modality.stationary, strict=True
        )
    )
    return replace(exemplar, modality=replace(modality, window=window, size=own))
