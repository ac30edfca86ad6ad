"""What a trained model can do besides sampling: python tests/benchmarks/abilities.py [SECTION...]

Sections: large, occlusions, hidden-clips, reconstruction, morph, export. Uses only the shipped exemplars, and writes
its tables into ABILITIES.md beside this file; a section that is run again replaces its old table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from PIL import Image
from quality import patch_match
from report import VIDEOS, best_time, table, time_command, train, write_sections

import texsyn
from texsyn.media import inpaint, writing
from texsyn.media.exemplar import Exemplar
from texsyn.metrics import video
from texsyn.metrics.scoring import score_stills, still_for_scoring, to_numpy
from texsyn.runs.fitting import fit_run
from texsyn.synthesis import inversion, onnx_export

HERE = Path(__file__).parent


# ------------------------------------------------------------ large samples


def large(options: argparse.Namespace) -> str:
    """Time and peak memory of textures larger than memory, against other ways to fill as many pixels."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {exemplar: briefly_trained(folder, exemplar) for exemplar in ("beans.png", "water.mp4")}
        rows = large_commands(runs, folder) + large_calls(runs["beans.png"].triangle(), folder)
    return "Start-up and model included where a command is named.\n\n" + table(
        ["what", "seconds", "megapixels a second", "peak memory, GB"], rows
    )


def briefly_trained(folder: Path, name: str) -> texsyn.Run:
    """A run after one step: speed does not depend on the weights."""
    exemplar = texsyn.read(VIDEOS / name)
    recipe = texsyn.recipe_for("fast", exemplar.modality, steps=1)
    run = texsyn.Run.create(folder / name, exemplar, recipe, "fast")
    for _ in fit_run(run, run.fresh(), exemplar, recipe, print):
        pass
    return run


def large_commands(runs: dict[str, texsyn.Run], folder: Path) -> list[list[object]]:
    sizes = (("beans.png", "--size", f"{n}x{n}", ".png", n**2) for n in (1024, 4096, 16384))
    lengths = (("water.mp4", "--frames", str(n), ".mp4", n * 64 * 64) for n in (1000, 10000))
    rows: list[list[object]] = []
    for name, option, value, ending, pixels in (*sizes, *lengths):
        out = folder / f"out{ending}"
        taken, memory = time_command("sample", str(runs[name].path), option, value, "-o", str(out), "--force")
        rows.append(
            [f"`texsyn sample {option} {value}`", f"{taken:.1f}", f"{pixels / taken / 1e6:.2f}", f"{memory:.2f}"]
        )
    return rows


def large_calls(triangle: texsyn.Triangle, folder: Path) -> list[list[object]]:
    """Parts of `texsyn sample`, and other ways, alone."""
    whole, exemplar = texsyn.sample(triangle, size=(4096, 4096))[0], still_for_scoring(VIDEOS / "beans.png")

    def at_once() -> None:
        with torch.inference_mode():
            triangle.synthesize(triangle.labelled(torch.randn(1, *triangle.latent_shape((2048, 2048))), None))

    def in_bands() -> None:
        for _ in texsyn.bands(triangle, size=(2048, 2048)):
            pass

    def png() -> None:
        writing.write(whole, folder / "out.png", force=True)

    def pillow() -> None:
        Image.fromarray(writing.to_uint8(whole)[0]).save(folder / "out.png")

    calls: list[tuple[str, Callable[[], object], int]] = [
        ("bands alone, 2048 x 2048, no file", in_bands, 2048**2),
        ("the generator in one piece, 2048 x 2048, no file", at_once, 2048**2),
        ("our PNG encoder alone, 4096 x 4096", png, 4096**2),
        ("Pillow's PNG encoder alone, 4096 x 4096", pillow, 4096**2),
        ("G'MIC `syntexturize_matchpatch`, 1024 x 1024", lambda: patch_match(exemplar, 0, 1024), 1024**2),
    ]
    times = [(name, best_time(call, 2), pixels) for name, call, pixels in calls]
    return [[name, f"{taken:.1f}", f"{pixels / taken / 1e6:.2f}", ""] for name, taken, pixels in times]


# ------------------------------------------------------------ masked stills


def boxes(random: np.random.Generator, count: int, side: int, size: int) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    for y, x in random.integers(0, size - side + 1, (count, 2)):
        mask[y : y + side, x : x + side] = True
    return mask


def masks(size: int) -> dict[str, np.ndarray]:
    """The paper's masks, and its blocks scaled from 64 to 224 pixels."""
    random = np.random.default_rng(0)
    return {
        "salt and pepper 50 %": random.random((size, size)) < 0.5,
        "salt and pepper 70 %": random.random((size, size)) < 0.7,
        "ten 10 x 10": boxes(random, 10, 10, size),
        "one 20 x 20": boxes(random, 1, 20, size),
        "one 30 x 30": boxes(random, 1, 30, size),
        "ten 35 x 35": boxes(random, 10, 35, size),
        "one 70 x 70": boxes(random, 1, 70, size),
        "one 105 x 105": boxes(random, 1, 105, size),
    }


def completions(exemplar: Exemplar, mask: np.ndarray, options: argparse.Namespace) -> dict[str, torch.Tensor]:
    """By method: an exemplar with masked pixels completed. Models are trained on the visible ones."""
    truth, missing = exemplar.pixels, torch.from_numpy(mask[None].astype(np.float32))
    blank = torch.where(missing > 0, torch.zeros_like(truth), truth)
    masked = Exemplar(inpaint.fill(truth, missing), exemplar.modality, mask=missing)
    completed = {}
    for objective, name in (("triangle", "triangle"), ("vae", "VAE")):
        triangle, _ = train(masked, options.steps, objective)
        for refine, suffix in ((0, ""), (options.refine, ", refined")):
            completed[name + suffix] = inversion.complete(triangle, blank, missing, refine=refine, seed=None)
    image = np.ascontiguousarray(writing.to_uint8(blank)[0])
    image = np.repeat(image, 3, -1) if image.shape[-1] == 1 else image
    telea = cv2.inpaint(image, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    completed["OpenCV Telea"] = torch.from_numpy(telea).permute(2, 0, 1)[: len(truth)] / 127.5 - 1
    completed["smooth continuation"] = masked.pixels
    return completed


def occlusions(options: argparse.Namespace) -> str:
    """The paper's masks, and its blocks scaled from 64 to 224 pixels: trained on visible pixels, then completed."""
    rows: list[list[object]] = []
    for name in options.stills:
        exemplar = texsyn.read(VIDEOS / f"{name}.png")
        truth, strips = exemplar.pixels, []
        for title, mask in masks(exemplar.size[0]).items():
            completed = completions(exemplar, mask, options)
            errors = [float((each - truth).abs()[:, mask].mean()) / 2 for each in completed.values()]
            rows.append([name, title, *(f"{error:.4f}" for error in errors)])
            print(rows[-1], flush=True)
            blank = truth * ~torch.from_numpy(mask)
            shown = (completed[method] for method in ("triangle, refined", "VAE, refined", "OpenCV Telea"))
            strips.append(torch.cat((blank, *shown, truth), -1))
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            writing.write(torch.cat(strips, -2), options.pictures / f"occlusions-{name}.png", force=True)
    note = (
        f"Trained for {options.steps} steps on visible pixels, then completed (refined: {options.refine} steps). Mean "
        "absolute error of masked values, as a share of their range; a blur scores well, so look at the images "
        "(`--pictures FOLDER`), too.\n\n"
    )
    return note + table(["exemplar", "mask", *completed], rows)


# ------------------------------------------------------------ masked clips


def in_time(clip: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Each masked value interpolated between the visible ones before and after it."""
    out, frames = clip.clone(), np.arange(clip.shape[1])
    for y in range(clip.shape[2]):
        for x in range(clip.shape[3]):
            visible = mask[0, :, y, x].numpy() == 0
            if visible.all() or not visible.any():
                continue
            for c in range(len(clip)):
                line = clip[c, :, y, x].numpy()
                out[c, :, y, x] = torch.from_numpy(np.interp(frames, frames[visible], line[visible]).astype(np.float32))
    return out


def hidden_clips(options: argparse.Namespace) -> str:
    """A masked region that moves from frame to frame, and half of the frames masked."""
    rows = []
    for name in options.clips:
        exemplar = texsyn.read(VIDEOS / f"{name}.mp4", frames="0:64")
        truth, random = exemplar.pixels, np.random.default_rng(0)
        region = np.stack([boxes(random, 1, 26, 64) for _ in range(truth.shape[1])])
        half = np.zeros(region.shape, bool)
        half[random.permutation(len(half))[: len(half) // 2]] = True
        for title, mask in (("a region of 16 %", region), ("half of the frames", half)):
            missing = torch.from_numpy(mask[None].astype(np.float32))
            masked = Exemplar(inpaint.fill(truth, missing), exemplar.modality, fps=exemplar.fps, mask=missing)
            triangle, _ = train(masked, options.clip_steps)
            methods = {
                "triangle": inversion.complete(triangle, truth, missing, refine=0, seed=None),
                "triangle, refined": inversion.complete(triangle, truth, missing, refine=options.refine, seed=None),
                "linear in time": in_time(truth, missing),
            }
            original = to_numpy(truth)
            for method, completed in methods.items():
                found = to_numpy(completed)
                error = float((completed - truth).abs()[:, torch.from_numpy(mask)].mean()) / 2
                lsd, lbp = video.log_spectral_distance(found, original), video.lbp_divergence(found, original)
                rows.append([name, title, method, f"{error:.4f}", f"{255 * error:.2f}", f"{lsd:.2f}", f"{lbp:.4f}"])
                print(rows[-1], flush=True)
    note = (
        f"64 frames, trained for {options.clip_steps} steps. Visible pixels are unchanged in every row, so LSD and LBP "
        "against the original depend only on the masked ones. A smooth guess has the smallest error and the largest "
        "LBP.\n\n"
    )
    return note + table(["exemplar", "mask", "method", "error", "in 255", "LSD, dB", "LBP, bits"], rows)


# ------------------------------------------------------------ reconstruction


def reconstruction(options: argparse.Namespace) -> str:
    """A model trained on the left half of a photo decodes both halves; the right half it never saw."""
    rows = []
    for name in ("gravel", "grass"):
        whole = texsyn.read(VIDEOS / f"{name}.png", side=0)
        seen, unseen = whole.pixels[..., :256].contiguous(), whole.pixels[..., 256:].contiguous()
        exemplar = Exemplar(seen, whole.modality)
        for objective in ("triangle", "vae"):
            triangle, _ = train(exemplar, options.steps, objective)
            for refine in (0, options.refine):
                errors = [
                    float((inversion.reconstruct(triangle, x, refine=refine) - x).square().mean()) / 4
                    for x in (seen, unseen)
                ]
                variance = float(seen.var()) / 4
                rows.append(
                    [name, objective, refine, *(f"{e:.5f}" for e in errors), *(f"{e / variance:.2f}" for e in errors)]
                )
                print(rows[-1], flush=True)
    note = (
        f"Squared error of values in [0, 1], and as a share of the exemplar's variance; {options.steps} steps on "
        "256 x 512 pixels at full size; the other half is unseen.\n\n"
    )
    names = ["exemplar", "objective", "refining steps", "seen", "unseen", "seen / variance", "unseen / variance"]
    return note + table(names, rows)


# ------------------------------------------------------------ morphs


def morph(options: argparse.Namespace) -> str:
    """One model of two exemplars: metrics at both ends, and how even the way between them is."""
    names = ("beans", "pebbles")
    exemplars = texsyn.together(*(texsyn.read(VIDEOS / f"{name}.png") for name in names))
    triangle, _ = train(exemplars, options.pair_steps)
    rows = []
    for number, name in enumerate(names):
        original = still_for_scoring(VIDEOS / f"{name}.png")
        samples = [to_numpy(s) for s in texsyn.sample(triangle, count=3, size=(224, 224), exemplar=number)]
        card = score_stills(samples, original)
        shown = ("ps", "swd", "sharp", "vcf", "diversity")
        rows.append(
            [
                name,
                *(f"{card.metrics[k]:.3f}" for k in shown),
                f"{card.reference['ps']:.3f}",
                f"{card.reference['swd']:.3f}",
            ]
        )
    ways = []
    pairs = {
        "seed 0 to seed 1 of one exemplar": (texsyn.End(0, 0), texsyn.End(1, 0)),
        "one exemplar to the other, seed 0": (texsyn.End(0, 0), texsyn.End(0, 1)),
        "one exemplar to the other, seed 0 to seed 1": (texsyn.End(0, 0), texsyn.End(1, 1)),
    }
    for title, (start, end) in pairs.items():
        frames = torch.cat(list(texsyn.morph(triangle, start, end, frames=32, loop=False, size=(224, 224))), 1)
        steps = (frames[:, 1:] - frames[:, :-1]).square().mean((0, 2, 3)).sqrt()
        contrast = frames.std((0, 2, 3))
        ways.append(
            [
                title,
                f"{float(steps.max() / steps.mean()):.2f}",
                f"{float(contrast.min() / contrast[[0, -1]].mean()):.2f}",
            ]
        )
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
        path = texsyn.morph(triangle, texsyn.End(0, 0), texsyn.End(0, 1), frames=5, loop=False, size=(224, 224))
        strip = torch.cat([frame[:, 0] for frame in path], -1)
        blend = torch.cat(list(texsyn.across(triangle, texsyn.End(0, 0), texsyn.End(0, 1), size=(1120, 224))), 1)
        writing.write(torch.cat((strip, blend), -2), options.pictures / "morph.png", force=True)
    head = ["end", "PS", "SWD", "sharp", "VCF", "diversity", "PS floor", "SWD floor"]
    return (
        f"Both in one model, {options.pair_steps} steps; seeds 0, 1, 2.\n\n"
        + table(head, rows)
        + "\n32 frames: the largest step over the mean one; the least contrast on the way over that of the ends.\n\n"
        + table(["way", "largest / mean step", "least contrast"], ways)
    )


# ------------------------------------------------------------ export


def export(options: argparse.Namespace) -> str:
    """Size of the file and time of a 512 x 512 texture without torch, on the CPU."""
    rows = []
    for name in ("beans.png", "fire.mp4"):
        exemplar = texsyn.read(VIDEOS / name)
        triangle, _ = train(exemplar, 1)
        moving = exemplar.modality.moving
        size = (64, 64, 64) if moving else (512, 512)
        z = torch.randn(1, *triangle.latent_shape(size))
        with torch.inference_mode():
            expected = triangle.synthesize(z)
            plain = best_time(lambda z=z, triangle=triangle: triangle.synthesize(z), 5)
        for half in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                onnx_export.export(triangle, path, half=half)
                session = onnxruntime.InferenceSession(path)
                (found,) = session.run(None, {"z": z.numpy()})
                taken = best_time(lambda session=session, z=z: session.run(None, {"z": z.numpy()}), 5)
                megabytes = path.stat().st_size / 1e6
            rows.append(
                [
                    exemplar.modality.name,
                    " x ".join(map(str, size[::-1])),
                    "16 bits" if half else "32 bits",
                    f"{megabytes:.1f}",
                    f"{1000 * taken:.0f}",
                    f"{1000 * plain:.0f}",
                    f"{float(np.abs(found - expected.numpy()).max()):.1e}",
                ]
            )
    head = ["kind", "texture", "weights", "file, MB", "onnxruntime, ms", "torch, ms", "largest difference in [-1, 1]"]
    return table(head, rows)


SECTIONS = {
    "large": large,
    "occlusions": occlusions,
    "hidden-clips": hidden_clips,
    "reconstruction": reconstruction,
    "morph": morph,
    "export": export,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400, help="of each fit to a masked still, or to half a photo")
    parser.add_argument("--clip-steps", type=int, default=400)
    parser.add_argument("--refine", type=int, default=100, help="steps of descent on the latent field, where refined")
    parser.add_argument("--pair-steps", type=int, default=3000)
    parser.add_argument("--stills", nargs="*", default=["pebbles"])
    parser.add_argument("--clips", nargs="*", default=["water"])
    parser.add_argument("--pictures", type=Path, help="folder for images to look at")
    write_sections(parser, SECTIONS, HERE / "ABILITIES.md", "What a trained model can do, by `abilities.py`")


if __name__ == "__main__":
    main()
