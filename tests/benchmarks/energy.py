"""What the energy can be trusted with: python tests/benchmarks/energy.py [SECTION...] [--steps N]

Sections: defects, order, best, langevin, landscape, pair, objects. Uses shipped exemplars and images of scikit-learn
and scikit-image, and writes its tables into ENERGY.md beside this file; a section that is run again replaces its old
table. Models are kept in --keep.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from energy_defects import defects
from energy_halves import model
from energy_landscape import landscape, objects, pair
from report import VIDEOS, table, write_sections
from torch import Tensor

import texsyn
from texsyn.metrics.scoring import score_stills, to_numpy

HERE = Path(__file__).parent
STEPS = (
    (0, 0.02, 0.0),
    (10, 0.02, 0.0),
    (30, 0.02, 0.0),
    (30, 0.05, 0.0),
    (30, 0.02, 1.0),
)  # number, size, temperature


def order(options: argparse.Namespace) -> str:
    """The energy, in nats for each value, of textures that should be ranked high and of others that should not."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, unseen = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        random = torch.Generator().manual_seed(0)
        noise = torch.randn(unseen.shape, generator=random) * unseen.std() + unseen.mean((1, 2), keepdim=True)
        other = next(each for each in ("leaves", "pebbles", "gravel") if each != name)
        foreign = texsyn.read(VIDEOS / f"{other}.png", side=0).pixels[..., : unseen.shape[-1]]
        kinds = {
            "seen half": seen.pixels,
            "unseen half": unseen,
            "a sample": texsyn.sample(triangle, size=size)[0],
            "unseen, blurred": F.avg_pool2d(unseen[None], 5, 1, 2, count_include_pad=False)[0],
            "noise of its contrast": noise.clamp(-1, 1),
            "its mean colour": unseen.mean((1, 2), keepdim=True).expand_as(unseen).contiguous(),
            "another texture": foreign[:1] if len(unseen) == 1 else foreign.expand(3, -1, -1).contiguous(),
        }
        rows.append([name, *(f"{texsyn.energy(triangle, each):.3f}" for each in kinds.values())])
        print(rows[-1], flush=True)
    note = f"Models of {options.steps} steps, trained on the left halves.\n\n"
    return note + table(["exemplar", *kinds], rows)


def card(samples: list[Tensor], original: Tensor) -> list[str]:
    found = score_stills([to_numpy(each) for each in samples], to_numpy(original))
    return [f"{found.metrics[name]:.3f}" for name in ("ps", "swd", "sharp", "vcf", "diversity")]


def best(options: argparse.Namespace) -> str:
    """Whether samples of more energy are better: metrics of the upper, the middle and the lower third of 18."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, _ = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        samples = [texsyn.sample(triangle, seed=seed, size=size)[0] for seed in range(18)]
        samples.sort(key=lambda each: -texsyn.energy(triangle, each))
        for title, part in (("most energy", samples[:6]), ("middle", samples[6:12]), ("least energy", samples[12:])):
            rows.append([name, title, *card(part, seen.pixels)])
            print(rows[-1], flush=True)
    return table(["exemplar", "six samples of 18", "PS", "SWD", "sharp", "VCF", "diversity"], rows)


def langevin(options: argparse.Namespace) -> str:
    """How Langevin steps after sampling change the metrics: `texsyn sample --langevin N`."""
    rows: list[list[object]] = []
    for name in options.stills:
        triangle, seen, _ = model(name, options)
        size = tuple(seen.pixels.shape[:0:-1])
        samples = [texsyn.sample(triangle, seed=seed, size=size)[0] for seed in (0, 1, 2)]
        for steps, each, temperature in STEPS:
            refined = [
                texsyn.langevin(triangle, x, steps=steps, size=each, temperature=temperature, seed=seed)
                for seed, x in enumerate(samples)
            ]
            energy = float(np.mean([texsyn.energy(triangle, x) for x in refined]))
            rows.append([name, steps, each, temperature, f"{energy:.3f}", *card(refined, seen.pixels)])
            print(rows[-1], flush=True)
    head = ["exemplar", "steps", "size", "temperature", "energy", "PS", "SWD", "sharp", "VCF", "diversity"]
    return "The command uses size 0.02 and temperature 0.\n\n" + table(head, rows)


SECTIONS = {
    "defects": defects,
    "order": order,
    "best": best,
    "langevin": langevin,
    "landscape": landscape,
    "pair": pair,
    "objects": objects,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="of each fit")
    parser.add_argument("--object-steps", type=int, default=1200, help="of each fit to a collection")
    parser.add_argument("--stills", nargs="*", default=["gravel", "brick", "wicker", "leaves"])
    parser.add_argument("--each", type=int, default=6, help="defects of each kind")
    parser.add_argument("--pictures", type=Path, help="folder for images to look at")
    parser.add_argument("--keep", type=Path, help="folder for models; existing ones are not trained again")
    write_sections(parser, SECTIONS, HERE / "ENERGY.md", "The energy, by `energy.py`")


if __name__ == "__main__":
    main()
