"""Recipes: everything a fit depends on besides its exemplar, and the networks that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from texsyn.core.architecture import Design
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.modality import Modality


@dataclass(frozen=True)
class Objective:
    """Which terms are used, how much of each, and what each may change; as it stands, the divergence triangle."""

    reconstruction: float = 1.0  # weight
    prior: float = 1.0  # weight
    energy: float = 1.0  # weight of both energy terms in the generator's descent
    latent: float = 1.0  # weight
    reconstruction_trains_posterior: bool = True
    latent_trains_generator: bool = True
    sigma: float = 0.3  # s, standard deviation of p(x|z) per pixel value, in units of the range [-1, 1]
    gradient_penalty: float = 0.02  # weight of the zero-centred gradient penalty on f, per squared nat and pixel value


TRIANGLE = Objective()
VAE = Objective(energy=0.0, latent=0.0, gradient_penalty=0.0)  # variational auto-encoder: min KL(Q||P)
ACD = Objective(reconstruction=0.0, prior=0.0)  # adversarial contrastive divergence: no data is encoded
WAKE_SLEEP = Objective(  # min_theta KL(Q||P), min_phi KL(P||Q)
    prior=0.0, energy=0.0, gradient_penalty=0.0, reconstruction_trains_posterior=False, latent_trains_generator=False
)
OBJECTIVES = {"triangle": TRIANGLE, "vae": VAE, "acd": ACD, "wake-sleep": WAKE_SLEEP}


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Recipe(Objective):
    """Everything a fit depends on besides its exemplar. Command-line flags and app controls derive from the fields."""

    architecture: str = _option("local", "sizes of the networks: local or paper")
    normalisation: str = _option("batch", "of the generator: batch or none")
    width_multiplier: float = _option(1.0, "multiplies the channels of generator and posterior")
    energy_mean: bool = _option(True, "energy as mean over positions instead of the paper's sum")
    energy_rectified: bool = _option(True, "leaky ReLU after the energy's last filters")
    energy_signed: bool = _option(True, "half of the energy's last filters count against a texture")
    log_variance_bound: float = _option(6.0, "bound of the posterior's log variances; 0 leaves them free")
    steps: int = _option(4000, "steps of learning, unless a time budget ends it")
    minutes: float = _option(0.0, "time budget in minutes; 0 is none")
    seed: int = _option(0, "of weights, crops and noise")
    batch_size: int = _option(2, "textures a step, of data and of made ones each")
    learning_rate: float = _option(3e-4, "Adam's learning rate")
    beta1: float = _option(0.5, "Adam's decay of the mean")
    beta2: float = _option(0.99, "Adam's decay of the square")
    weight_decay: float = _option(0.0, "Adam's weight decay")
    lr_decay_fraction: float = _option(0.3, "last share of the run over which the rate falls to zero")
    ema_decay: float = _option(0.97, "decay of the running average of the generator; 0 takes the last weights")
    penalty_interval: int = _option(2, "steps from one gradient penalty to the next")
    gradient_norm_target: float = _option(
        20.0, "squared gradient norm that the penalty is adapted to; 0: fixed penalty"
    )
    checkpoint_interval: int = _option(100, "steps from one checkpoint to the next")
    equaliser_gain: float = _option(
        1.0, "largest gain of the filter that matches the exemplar's spectrum; 0: no filter"
    )
    colour_transfer: bool = _option(True, "match the mean and covariance of a still's colours")
    deflicker: bool = _option(True, "keep still what stands still in a clip's exemplar")
    subband_matching: bool = _option(True, "match the histograms of fine detail (of clips, in time)")
    precision: str = _option("auto", "of learning and sampling: auto, float32 or bfloat16")


RECIPES: dict[str, Recipe] = {
    "fast": Recipe(),
    "best": Recipe(steps=16000),
    "paper": Recipe(
        architecture="paper",
        energy_signed=False,
        steps=8000,
        weight_decay=5e-4,
        lr_decay_fraction=0.0,
        gradient_norm_target=0.0,
        equaliser_gain=0.0,
        colour_transfer=False,
        deflicker=False,
        subband_matching=False,
    ),
}


def recipe_for(name: str, modality: Modality, **changes: Any) -> Recipe:
    """The named recipe with `changes` to its fields. Raises TexsynError (exit 2) for an unknown name or a bad value."""
    if name not in RECIPES:
        raise TexsynError(f"{name!r} is not a recipe: {', '.join(RECIPES)}", Exit.USAGE)
    recipe = replace(RECIPES[name], **{**_BY_KIND.get((name, _sort(modality)), {}), **changes})
    check_recipe(recipe)
    return recipe


def _sort(modality: Modality) -> str:
    return "clip" if modality.moving else "objects" if modality.collection else "still"


# A clip's window holds 2.6 times a still's values, so it takes fewer steps; and with a weaker penalty it shakes.
# Pictures of objects are small, and all different: more of them make a step.
_BY_KIND: dict[tuple[str, str], dict[str, Any]] = {
    ("fast", "clip"): {"steps": 1200, "equaliser_gain": 2.0, "gradient_norm_target": 0.0, "energy_signed": False},
    ("best", "clip"): {"steps": 5000, "equaliser_gain": 2.0, "gradient_norm_target": 0.0, "energy_signed": False},
    ("paper", "clip"): {"steps": 5000},
    ("fast", "objects"): {"steps": 2000, "batch_size": 16, "gradient_norm_target": 0.0, "width_multiplier": 0.5},
    ("best", "objects"): {"steps": 12000, "batch_size": 16, "gradient_norm_target": 0.0},
    ("paper", "objects"): {"steps": 20000, "batch_size": 16},
}


def check_recipe(recipe: Recipe) -> None:
    """Raise TexsynError (exit 2) for values outside their range."""
    ranges = {
        "steps": (1, 10_000_000),
        "minutes": (0, 60 * 24 * 30),
        "seed": (0, 2**31 - 1),
        "batch_size": (1, 64),
        "learning_rate": (1e-7, 1.0),
        "sigma": (1e-3, 10.0),
        "width_multiplier": (0.05, 8.0),
        "penalty_interval": (1, 1000),
        "gradient_norm_target": (0.0, 1e6),
        "checkpoint_interval": (1, 1_000_000),
        "lr_decay_fraction": (0.0, 1.0),
        "ema_decay": (0.0, 0.99999),
        "equaliser_gain": (0.0, 16.0),
    }
    for name, (low, high) in ranges.items():
        value = getattr(recipe, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise TexsynError(f"{_spelt(name)} must lie in {low:g} to {high:g}, but is {value:g}", Exit.USAGE)
    choices = {
        "architecture": ("local", "paper"),
        "normalisation": ("batch", "none"),
        "precision": ("auto", "float32", "bfloat16"),
    }
    for name, allowed in choices.items():
        if getattr(recipe, name) not in allowed:
            said = f"{_spelt(name)} is one of {', '.join(allowed)}, not {getattr(recipe, name)!r}"
            raise TexsynError(said, Exit.USAGE)


def _spelt(name: str) -> str:
    """A field as a command line names it."""
    return f"--{name}" if name in ("steps", "minutes", "seed") else f"--set {name}"


def design_for(modality: Modality, recipe: Recipe, exemplars: int = 1) -> Design:
    """The row's networks as the recipe wants them, for one model of so many exemplars."""
    if recipe.architecture not in modality.designs:
        raise TexsynError(f"there are no {recipe.architecture!r} networks for a {modality.name}", Exit.USAGE)
    design = modality.designs[recipe.architecture]
    scales = design.energy_scales  # as many as still see something of the window
    while scales > 1 and not all(design.positions(modality.window, modality.halvings(scales - 1))):
        scales -= 1

    def widen(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            replace(row, channels=max(1, round(row.channels * recipe.width_multiplier)) if row.channels else 0)
            for row in rows
        )

    return replace(
        design,
        generator=widen(design.generator),
        posterior=widen(design.posterior),
        energy_scales=scales,
        normalisation=recipe.normalisation,
        exemplars=exemplars,
        equaliser=design.equaliser if recipe.equaliser_gain else (),
        colour_transfer=design.colour_transfer and recipe.colour_transfer,
        deflicker=design.deflicker and recipe.deflicker,
        subband_matching=design.subband_matching * recipe.subband_matching,
        energy_mean=recipe.energy_mean,
        energy_rectified=recipe.energy_rectified,
        energy_signed=recipe.energy_signed,
        log_variance_bound=recipe.log_variance_bound,
        precision=recipe.precision,
    )
