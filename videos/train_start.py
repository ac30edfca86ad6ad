"""Learn weights to begin training with from rendered textures: python videos/train_start.py STATE [--minutes M]

Each round fits one texture of `families.py` for a few steps, from the weights learnt so far, and moves these a part of
the way to where that fit ended (Reptile; Nichol, Achiam, Schulman 2018): what many textures share stays, what is of one
texture averages out. Round n takes the texture of seed n. Several processes may work on one STATE, and rounds may be
added at any time. STATE.log gets a line for each round; --export FILE writes the weights in 16 bits.
"""

import argparse
import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from families import render
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import texsyn
from texsyn.core.modality import STILL
from texsyn.core.recipes import Recipe, recipe_for
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import Triangle
from texsyn.training import loop
from texsyn.training.state import init_state

NETWORKS = ("generator", "posterior", "energy", "flow")
FIRST, LEAST, HALVED = 0.5, 0.1, 100  # part of the way: at first, at least, and the rounds after which it is half


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """No other process reads or writes the state meanwhile."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read(path: Path) -> tuple[dict[str, Tensor], int]:
    """Weights, and how many rounds they have seen; none where there is no state yet."""
    if not path.exists():
        return {}, 0
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}, int(file.metadata()["rounds"])  # noqa: SIM118


def write(path: Path, weights: dict[str, Tensor], rounds: int) -> None:
    part = path.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in weights.items()}, part, {"rounds": str(rounds)})
    part.rename(path)


def weights_of(triangle: Triangle) -> dict[str, Tensor]:
    """Every weight of the networks that are trained, by name."""
    named = triangle.named_parameters()
    return {name: value.detach().clone() for name, value in named if name.split(".")[0] in NETWORKS}


def texture(seed: int) -> Exemplar:
    pixels = torch.from_numpy(render(seed)).permute(2, 0, 1) / 127.5 - 1
    return Exemplar(pixels.contiguous(), STILL)


def fit(weights: dict[str, Tensor], exemplar: Exemplar, recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The weights after a fit that begins with these, and its last terms."""
    triangle = texsyn.create(exemplar, recipe)
    triangle.load_state_dict(weights, strict=False)
    triangle.start_averages()
    terms: dict[str, float] = {}
    state = init_state(triangle, recipe, (exemplar,))
    data = loop.Data.of((exemplar,), state.pixels((exemplar,)))
    while loop.progress(state, recipe) < 1:
        terms, skipped = loop.train_step(state, data, recipe)
        if skipped:
            raise RuntimeError(skipped)
    return weights_of(triangle), terms


def train(path: Path, minutes: float, steps: int) -> None:
    end = time.monotonic() + 60 * minutes
    recipe = recipe_for("fast", STILL, steps=steps, latent_prior="flow")
    claimed = path.with_suffix(".next")
    while time.monotonic() < end:
        with locked(path):
            before, rounds = read(path)
            number = max(rounds, int(claimed.read_text()) if claimed.exists() else 0)
            claimed.write_text(str(number + 1))
        exemplar = texture(number)
        before = before or weights_of(texsyn.create(exemplar, recipe))
        start = time.monotonic()
        after, terms = fit(before, exemplar, replace(recipe, seed=number))
        with locked(path):
            newest, rounds = read(path)
            newest = newest or before
            part = max(LEAST, FIRST / (1 + rounds / HALVED))
            write(
                path, {name: value + part * (after[name] - before[name]) for name, value in newest.items()}, rounds + 1
            )
            row = {
                "round": rounds,
                "seed": number,
                "part": round(part, 3),
                "seconds": round(time.monotonic() - start, 1),
            }
            with path.with_suffix(".log").open("a") as log:
                log.write(json.dumps({**row, **{name: round(value) for name, value in terms.items()}}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=100, help="of each round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--export", type=Path, help="write the weights in 16 bits and learn nothing")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.export:
        weights, rounds = read(options.state)
        write(options.export, {name: value.half() for name, value in weights.items()}, rounds)
    else:
        train(options.state, options.minutes, options.steps)


if __name__ == "__main__":
    main()
