"""Quality of samples after a budget: python tests/benchmarks/quality.py FOLDER [--minutes M] [--recipe NAME]

FOLDER holds exemplars: images, clips, or folders with `exemplar.png` and published samples `authors_*.jpg` beside it.
A model of each is trained, sampled with seeds 0, 1, 2 (tiling, looping, no picking) and scored. Simple methods are
scored beside it: random phase for stills, a linear dynamic system and random phase for clips, and G'MIC's patch match
where the Python package `gmic` is installed. Appends to QUALITY.md beside this file; --montage writes images, which
show the exemplars.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import report
import torch
from PIL import Image

import texsyn
from texsyn.core.errors import TexsynError
from texsyn.media import decoding
from texsyn.metrics.card import CLIP_METRICS, STILL_METRICS, Card
from texsyn.metrics.extras import with_critic, with_repetition
from texsyn.metrics.scoring import frames_for_scoring, score_clips, score_stills, still_for_scoring, to_numpy

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)


def exemplars(folder: Path) -> Iterator[tuple[str, Path, list[Path]]]:
    """Name, exemplar, published samples."""
    for path in sorted(folder.iterdir()):
        if (path / "exemplar.png").exists():
            yield path.name, path / "exemplar.png", sorted(path.glob("authors_*"))
        elif path.is_file() and path.suffix in (".png", ".jpg", ".avi", ".mp4", ".gif", ".webm"):
            yield path.stem, path, []


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "texsyn", *words], check=True, stdout=subprocess.PIPE)


def fit_and_sample(
    exemplar: Path, moving: bool, options: argparse.Namespace, folder: Path
) -> tuple[list[Path], int, float]:
    """Samples of seeds 0, 1, 2 by the command line; steps and minutes of the fit. An existing run is not repeated."""
    run = folder / "run"
    if not (run / "model").exists():
        frames = ["--frames", "0:-32"] if moving else ["--levels", "0"]  # at 224 pixels
        budget = ["--steps", str(options.steps)] if options.steps else ["--minutes", str(options.minutes)]
        fixed = ["--recipe", options.recipe, "--no-card", "--quiet"]
        command("fit", str(exemplar), "--out", str(run), *frames, *budget, *fixed)
    end = texsyn.Run.open(run).events()[-1]
    samples = []
    for seed in SEEDS:
        target = folder / f"seed-{seed}{'' if moving else '.png'}"
        shape = ["--frames", "32", "--format", "frames"] if moving else ["--size", "224x224"]
        command("sample", str(run), "--seed", str(seed), "-o", str(target), "--force", *shape)
        samples.append(target)
    return samples, end["step"], end["seconds"] / 60


def random_phase(texture: np.ndarray, seed: int) -> np.ndarray:
    """The same spectrum with the phases of noise, over all axes but the channels."""
    axes = tuple(range(texture.ndim - 1))
    noise = np.fft.fftn(np.random.default_rng(seed).standard_normal(texture.shape[:-1]))
    mean = texture.mean(axes)
    spectrum = np.fft.fftn(texture - mean, axes=axes) * (noise / np.maximum(abs(noise), 1e-12))[..., None]
    return np.clip(np.fft.ifftn(spectrum, axes=axes).real + mean, 0, 1).astype(np.float32)


def linear_system(train: np.ndarray, seed: int, frames: int = 32, states: int = 20) -> np.ndarray:
    """A linear dynamic system (Doretto et al. 2003): principal frames with a linear recurrence of their weights."""
    flat = train.reshape(len(train), -1).T
    mean = flat.mean(1, keepdims=True)
    basis, scale, right = np.linalg.svd(flat - mean, full_matrices=False)
    basis, path = basis[:, :states], (scale[:, None] * right)[:states]
    step = path[:, 1:] @ np.linalg.pinv(path[:, :-1])
    step *= min(1.0, 0.999 / max(abs(np.linalg.eigvals(step))))
    noise = np.linalg.cholesky(np.cov(path[:, 1:] - step @ path[:, :-1]) + 1e-9 * np.eye(len(path)))
    random, state, out = np.random.default_rng(seed), path[:, 0], []
    for moment in range(frames + 50):
        state = step @ state + noise @ random.standard_normal(len(state))
        if moment >= 50:
            out.append((basis @ state + mean[:, 0]).reshape(train.shape[1:]))
    return np.clip(np.stack(out), 0, 1).astype(np.float32)


def patch_match(exemplar: np.ndarray, seed: int, side: int = 0) -> np.ndarray | None:
    """G'MIC's syntexturize_matchpatch, None without the package; of the exemplar's size, or `side` squared."""
    try:
        import gmic
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.png", Path(folder) / "out.png"
        Image.fromarray((exemplar * 255).round().astype(np.uint8)).save(source)
        height, width = (side, side) if side else exemplar.shape[:2]
        gmic.run(f"srand {seed} input {source} syntexturize_matchpatch {width},{height} output {target}")
        return still_for_scoring(target, side or height)


def rows(
    name: str, exemplar: Path, published: list[Path], options: argparse.Namespace, folder: Path
) -> list[list[str]]:
    """One line of the table for each method, the exemplar's reference last."""
    moving = decoding.sniff(exemplar) == "clip"
    samples, steps, minutes = fit_and_sample(exemplar, moving, options, folder)
    read = frames_for_scoring if moving else still_for_scoring
    original = read(exemplar)
    ours = f"texsyn {options.recipe}, {minutes:.1f} min, {steps} steps"
    methods = {ours: [read(path) for path in samples]}
    methods |= variants(folder / "run", moving)
    if published:
        methods["the paper's authors"] = [read(path) for path in published]
    methods |= simple_methods(original[:32] if moving else original, moving)
    table, reference = [], dict.fromkeys(CLIP_METRICS if moving else STILL_METRICS, math.nan)
    for method, textures in methods.items():
        try:
            card = score(textures, original, moving)
        except TexsynError as error:
            print(f"{name}, {method}: {error}", file=sys.stderr)
            continue
        if not moving:
            large = large_texture(method, ours, folder / "run", original)
            card = card if large is None else with_repetition(card, large, original)
        reference |= {key: value for key, value in card.reference.items() if not math.isnan(value)}
        table.append([name, method, *(f"{value:.3f}" for value in card.metrics.values())])
    label = "held-out frames" if moving else "half against half"
    table.append([name, label, *(f"{reference[key]:.3f}" for key in (CLIP_METRICS if moving else STILL_METRICS))])
    if options.montage:
        montage(original, methods, options.montage / f"{name}.png", moving)
    return table


def score(textures: list[np.ndarray], original: np.ndarray, moving: bool) -> Card:
    """Of clips the last 32 frames against the exemplar's first 32, with its last 32 as the reference."""
    if moving:
        return score_clips([clip[-32:] for clip in textures], original[:32], original[-32:], textures)
    return with_critic(score_stills(textures, original), textures, original)


def large_texture(method: str, ours: str, run: Path, original: np.ndarray) -> np.ndarray | None:
    """What a method makes of 2048 x 2048 pixels, where it can."""
    if method == ours:
        return to_numpy(texsyn.sample(texsyn.load(run), size=(2048, 2048))[0])
    return patch_match(original, 0, 2048) if method.startswith("G'MIC") else None


def simple_methods(exemplar: np.ndarray, moving: bool) -> dict[str, list[np.ndarray]]:
    methods = {"random phase": [random_phase(exemplar, seed) for seed in SEEDS]}
    if moving:
        return methods | {"linear dynamic system": [linear_system(exemplar, seed) for seed in SEEDS]}
    matched = [patch_match(exemplar, seed) for seed in SEEDS]
    return methods if matched[0] is None else methods | {"G'MIC patch match": matched}


def variants(run: Path, moving: bool) -> dict[str, list[np.ndarray]]:
    """Samples without corrections, and of a clip the last 32 of 128 frames."""
    triangle = texsyn.load(run)

    def samples(frames: int | None) -> list[np.ndarray]:
        textures = (texsyn.sample(triangle, seed=seed, frames=frames)[0] for seed in SEEDS)
        # Eight bits, as in a file.
        return [((to_numpy(each) * 255).round() / 255).astype(np.float32) for each in textures]

    longer = {"the same, last 32 of 128 frames": samples(128)} if moving else {}
    triangle.corrections = torch.nn.ModuleList()
    return {**longer, "the triangle alone, uncorrected": samples(32 if moving else None)}


def montage(original: np.ndarray, methods: dict[str, list[np.ndarray]], path: Path, moving: bool) -> None:
    """A row for each method: the exemplar, then its samples; a clip is shown by eight frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    strips = []
    for found in methods.values():
        shown = [np.concatenate(list(clip[-32::4]), 1) for clip in found[:2]] if moving else [original, *found]
        strips.append(np.concatenate(shown, 0 if moving else 1))
    Image.fromarray((np.concatenate(strips) * 255).round().astype(np.uint8)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--steps", type=int, help="a budget of steps instead, for a machine with other load")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--only", nargs="*", help="names of exemplars")
    parser.add_argument("--out", type=Path, default=HERE / "QUALITY.md")
    parser.add_argument("--keep", type=Path, help="folder for runs and samples; existing runs are not repeated")
    parser.add_argument("--montage", type=Path, help="folder for montages, which show the exemplars")
    options = parser.parse_args()
    tables: dict[bool, list[list[str]]] = {False: [], True: []}
    for name, exemplar, published in exemplars(options.folder):
        if options.only and name not in options.only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = rows(name, exemplar, published, options, (options.keep or Path(folder)) / name)
        tables[decoding.sniff(exemplar) == "clip"] += found
        for row in found:
            print(" | ".join(row), flush=True)
    if not any(tables.values()):
        raise SystemExit(f"{options.folder} holds no exemplar" + (f" of {options.only}" if options.only else ""))
    write(tables, options)


def write(tables: dict[bool, list[list[str]]], options: argparse.Namespace) -> None:
    """Append the tables, of stills and of clips, to the report."""
    budget = f"--steps {options.steps}" if options.steps else f"--minutes {options.minutes:g}"
    call = f"python tests/benchmarks/quality.py FOLDER {budget} --recipe {options.recipe}"
    lines = [f"\n## `{call}`\n\n{report.machine()}\n"]
    for moving, table in tables.items():
        names = list(CLIP_METRICS if moving else STILL_METRICS)
        if table:
            lines += [f"| exemplar | method | {' | '.join(names)} |", "|" + "---|" * (len(names) + 2)]
            lines += [f"| {' | '.join(row)} |" for row in table] + [""]
    with options.out.open("a") as file:
        file.write("\n".join(lines))


if __name__ == "__main__":
    main()
