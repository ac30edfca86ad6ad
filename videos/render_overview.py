"""Render README's images from trained runs: python videos/render_overview.py RUN... [--out FOLDER]

Stills go into samples.jpg: for each run the exemplar as trained on, and beside it one sample of seed 0 that tiles. The
first clip goes into samples.gif: the exemplar's frames, and beside them one sample of seed 0 that loops. No picking.
A caption with the steps of each run is printed.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import texsyn

WIDTH = 336  # pixels of a still's sample; its height is the exemplar's
COLUMNS = 2  # pairs in a row
INNER, OUTER = 4, 16  # pixels between exemplar and sample, and between pairs
FRAMES = 64
MAX_JPEG = 500_000  # bytes


def pair(run):
    """Exemplar and sample, `t h w 3` each, uint8."""
    exemplar = run.exemplars()[0]
    moving, height = exemplar.modality.moving, exemplar.size[-2]
    frames, size = (FRAMES, None) if moving else (None, (WIDTH * height // 224, height))
    sample = texsyn.sample(run.triangle(), seed=0, size=size, frames=frames)[0]
    images = [to_frames(each) for each in (exemplar.pixels, sample)]
    return [each[: min(map(len, images))] for each in images]


def to_frames(texture):
    """`channels (t) h w` in [-1, 1] -> `t h w 3`, uint8; of a material its colours."""
    texture = texture[:3] if texture.shape[0] >= 3 else texture[:1].expand(3, *texture.shape[1:])
    texture = texture[:, None] if texture.dim() == 3 else texture
    return ((texture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).numpy()


def join(images, gap, axis):
    """Arrays beside one another, or below, with white between."""
    shape = list(images[0].shape)
    shape[axis] = gap
    white = np.full(shape, 255, np.uint8)
    parts = [part for image in images for part in (white, image)]
    return np.concatenate(parts[1:], axis)


def grid(pairs):
    """Pairs of stills, `h w 3` each after joining, in rows; a last row that is not full ends in white."""
    tiles = [join(each, INNER, 2)[0] for each in pairs]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [join(tiles[start : start + COLUMNS], OUTER, 1) for start in range(0, len(tiles), COLUMNS)]
    return Image.fromarray(join(rows, OUTER, 0))


def write_jpeg(image, path):
    """The best quality that keeps to MAX_JPEG."""
    for quality in (95, 92, 90, 87, 84, 80, 75, 70):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        if buffer.tell() <= MAX_JPEG:
            break
    path.write_bytes(buffer.getvalue())


def write_gif(frames, fps, path):
    """A looping GIF; each frame has 256 colours of its own."""
    images = [Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames]
    delay = max(2, round(100 / fps)) * 10  # whole hundredths of a second
    images[0].save(path, "GIF", save_all=True, append_images=images[1:], duration=delay, loop=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="(default videos/)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = [texsyn.Run.open(path) for path in options.runs]
    stills = [run for run in runs if not run.modality.moving]
    clips = [run for run in runs if run.modality.moving]
    if stills:
        write_jpeg(grid([pair(run) for run in stills]), options.out / "samples.jpg")
    if clips:
        frames = join(pair(clips[0]), INNER, 2)
        write_gif(frames, clips[0].fps, options.out / "samples.gif")
    steps = [f"{run.names()[0]} {texsyn.status(run).step:,}" for run in [*stills, *clips[:1]]]
    print(f"Left the exemplar, right one sample, no picking, seed 0. Steps: {', '.join(steps)}.")


if __name__ == "__main__":
    main()
