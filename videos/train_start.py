"""Learn weights to begin training with from rendered textures: python videos/train_start.py STATE [--minutes M]

Each round fits one texture of `families.py`, or with --clips one clip of `moving.py`, from the weights learnt so far,
and moves these a part of the way to where that fit ended (Reptile; Nichol, Achiam, Schulman 2018): what many textures
share stays, what is of one texture averages out. Colours do not enter: weights are turned into a texture's colours
before its fit and back after it. Round n takes the texture of seed n. Several processes may work on one STATE, and
rounds may be added at any time; a new STATE goes on from the weights that the package has, after the rounds that
start-still.jsonl (start-clip.jsonl) lists. STATE.log gets a line for each round, with its seconds
of processor time. --ship puts the weights into the package, in 8 bits, and the lines into that list.
"""

import argparse
import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import families
import moving
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import texsyn
from texsyn.core.modality import CLIP, STILL, Modality
from texsyn.core.recipes import Recipe, recipe_for
from texsyn.media.exemplar import Exemplar
from texsyn.models.colour_frame import ColourFrame
from texsyn.models.initial_weights import compress, decompress, file, stored
from texsyn.models.triangle import Triangle
from texsyn.training import loop
from texsyn.training.state import NETWORKS, init_state

FIRST, LEAST, HALVED = 0.5, 0.1, 60  # part of the way: at first, at least, and the rounds after which it is half
HERE = Path(__file__).parent


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """No other process reads or writes the state meanwhile."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read(path: Path) -> tuple[dict[str, Tensor], int]:
    """Weights, and how many rounds they have seen."""
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, int(file.metadata()["rounds"])  # noqa: SIM118


def shipped(modality: Modality) -> tuple[dict[str, Tensor], int]:
    """The same of the package; none where it has no weights for this kind."""
    blob, rounds = stored(modality), rounds_of(modality)
    return (decompress(blob), len(rounds.read_text().splitlines())) if blob else ({}, 0)


def newest(path: Path, modality: Modality) -> tuple[dict[str, Tensor], int]:
    """The same of the state, or of the package where there is no state yet."""
    return read(path) if path.exists() else shipped(modality)


def rounds_of(modality: Modality) -> Path:
    return HERE / f"start-{modality.name}.jsonl"


def write(path: Path, weights: dict[str, Tensor], rounds: int) -> None:
    part = path.with_suffix(".part")
    save_file({name: value.contiguous() for name, value in weights.items()}, part, {"rounds": str(rounds)})
    part.rename(path)


def weights_of(triangle: Triangle) -> dict[str, Tensor]:
    """Every weight of the three networks, by name."""
    named = triangle.named_parameters()
    return {name: value.detach().clone() for name, value in named if name.split(".")[0] in NETWORKS}


def exemplar(seed: int, modality: Modality) -> Exemplar:
    """The texture of a seed. Stills are turned and mirrored: rows of some families are learnt as lines of all else."""
    pixels = torch.from_numpy((moving if modality.moving else families).render(seed)).movedim(-1, 0)
    if not modality.moving:
        pixels = torch.rot90(pixels, seed % 4, (1, 2))
        pixels = pixels.flip(2) if seed // 4 % 2 else pixels
    return Exemplar((pixels / 127.5 - 1).contiguous(), modality)


def fit(weights: dict[str, Tensor], texture: Exemplar, recipe: Recipe) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The weights after a fit that begins with these, or with fresh ones, and its last terms."""
    triangle, frame = texsyn.create(texture, recipe), ColourFrame.of([texture.pixels])
    if weights:
        triangle.load_state_dict(frame.turn(weights), strict=False)
        triangle.start_average()
    terms: dict[str, float] = {}
    state = init_state(triangle, recipe, (texture,))
    data = loop.Data.of((texture,), state.pixels((texture,)), triangle.modality, recipe)
    while loop.progress(state, recipe) < 1:
        terms, skipped = loop.train_step(state, data, recipe)
        if skipped:
            raise RuntimeError(skipped)
    return frame.turn_back(weights_of(triangle)), terms


def claim(path: Path, modality: Modality) -> tuple[dict[str, Tensor], int]:
    """The newest weights, and the number of a round that no other process has."""
    claimed = path.with_suffix(".next")
    with locked(path):
        weights, rounds = newest(path, modality)
        number = max(rounds, int(claimed.read_text()) if claimed.exists() else 0)
        claimed.write_text(str(number + 1))
    return weights, number


def train(path: Path, minutes: float, steps: int, modality: Modality) -> None:
    """Rounds for so many minutes, one at least."""
    end = time.monotonic() + 60 * minutes
    recipe = recipe_for("fast", modality, steps=steps, start="noise")
    begun = False
    while not begun or time.monotonic() < end:
        begun = True
        before, number = claim(path, modality)
        start = time.process_time()
        try:
            after, terms = fit(before, exemplar(number, modality), replace(recipe, seed=number))
        except RuntimeError as error:
            print(f"round {number} is left out: {error}", flush=True)
            continue
        with locked(path):
            weights, rounds = newest(path, modality)
            part = max(LEAST, FIRST / (1 + rounds / HALVED))
            moved = {
                name: value + part * (after[name] - before.get(name, value))
                for name, value in (weights or after).items()
            }
            write(path, moved, rounds + 1)
            seconds = round(time.process_time() - start, 1)
            row = {"round": rounds, "seed": number, "steps": steps, "part": round(part, 3), "seconds": seconds}
            with path.with_suffix(".log").open("a") as log:
                log.write(json.dumps({**row, **{name: round(value) for name, value in terms.items()}}) + "\n")


def ship(path: Path, modality: Modality) -> None:
    file(modality).write_bytes(compress(read(path)[0]))
    with rounds_of(modality).open("a") as rounds:
        rounds.write(path.with_suffix(".log").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path)
    parser.add_argument("--clips", action="store_true")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=300, help="of each round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ship", action="store_true", help="put the weights into the package and learn nothing")
    options = parser.parse_args()
    modality = CLIP if options.clips else STILL
    texsyn.tune()
    torch.set_num_threads(options.threads)
    if options.ship:
        ship(options.state, modality)
    else:
        train(options.state, options.minutes, options.steps, modality)


if __name__ == "__main__":
    main()
