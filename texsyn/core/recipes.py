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
    penalty: float = 0.02  # weight of the zero-centred gradient penalty on f, per squared nat and pixel value


TRIANGLE = Objective()
VAE = Objective(energy=0.0, latent=0.0, penalty=0.0)  # variational auto-encoder: min KL(Q||P)
ACD = Objective(reconstruction=0.0, prior=0.0)  # adversarial contrastive divergence: no data is encoded
WAKE_SLEEP = Objective(  # min_theta KL(Q||P), min_phi KL(P||Q)
    prior=0.0, energy=0.0, penalty=0.0, reconstruction_trains_posterior=False, latent_trains_generator=False
)
OBJECTIVES = {"triangle": TRIANGLE, "vae": VAE, "acd": ACD, "wake-sleep": WAKE_SLEEP}


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Recipe(Objective):
    """Everything a fit depends on besides its exemplar. Command-line flags and app controls derive from the fields."""

    networks: str = _option("local", "sizes of the networks: local or paper")
    normalisation: str = _option("batch", "of the generator: batch or none")
    width: float = _option(1.0, "multiplies the channels of generator and posterior")
    energy_mean: bool = _option(True, "energy as mean over positions instead of the paper's sum")
    energy_rectified: bool = _option(True, "leaky ReLU after the energy's last filters")
    energy_signed: bool = _option(True, "half of the energy's last filters count against a texture")
    log_variance_bound: float = _option(6.0, "bound of the posterior's log variances; 0 leaves them free")
    steps: int = _option(4000, "steps of learning, unless a time budget ends it")
    minutes: float = _option(0.0, "time budget in minutes; 0 is none")
    seed: int = _option(0, "of weights, crops and noise")
    batch: int = _option(2, "textures a step, of data and of made ones each")
    rate: float = _option(3e-4, "Adam's learning rate")
    beta1: float = _option(0.5, "Adam's decay of the mean")
    beta2: float = _option(0.99, "Adam's decay of the square")
    weight_decay: float = _option(0.0, "Adam's weight decay")
    anneal: float = _option(0.3, "last share of the run over which the rate falls to zero")
    averaging: float = _option(0.97, "decay of the running average of the generator; 0 takes the last weights")
    penalty_every: int = _option(2, "steps from one gradient penalty to the next")
    slope: float = _option(20.0, "mean squared slope of the energy that its penalty is steered to; 0 keeps the penalty")
    checkpoint_every: int = _option(100, "steps from one checkpoint to the next")
    equalise: float = _option(1.0, "largest gain of the filter that brings samples to the exemplar's spectrum; 0: none")
    tone: bool = _option(True, "samples of stills get the exemplar's mean and covariance of colours")
    steady: bool = _option(True, "where a clip's exemplar stands still, its samples do")
    coring: bool = _option(True, "detail (of clips, in time) is as often slight and as seldom strong as the exemplar's")
    precision: str = _option("auto", "of learning and sampling: auto, float32 or bfloat16")


RECIPES: dict[str, Recipe] = {
    "fast": Recipe(),
    "best": Recipe(steps=16000),
    "paper": Recipe(
        networks="paper",
        energy_signed=False,
        steps=8000,
        weight_decay=5e-4,
        anneal=0.0,
        slope=0.0,
        equalise=0.0,
        tone=False,
        steady=False,
        coring=False,
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
    ("fast", "clip"): {"steps": 1200, "equalise": 2.0, "slope": 0.0, "energy_signed": False},
    ("best", "clip"): {"steps": 5000, "equalise": 2.0, "slope": 0.0, "energy_signed": False},
    ("paper", "clip"): {"steps": 5000},
    ("fast", "objects"): {"steps": 2000, "batch": 16, "slope": 0.0, "width": 0.5},
    ("best", "objects"): {"steps": 12000, "batch": 16, "slope": 0.0},
    ("paper", "objects"): {"steps": 20000, "batch": 16},
}


def check_recipe(recipe: Recipe) -> None:
    """Raise TexsynError (exit 2) for values outside their range."""
    ranges = {
        "steps": (1, 10_000_000),
        "minutes": (0, 60 * 24 * 30),
        "seed": (0, 2**31 - 1),
        "batch": (1, 64),
        "rate": (1e-7, 1.0),
        "sigma": (1e-3, 10.0),
        "width": (0.05, 8.0),
        "penalty_every": (1, 1000),
        "slope": (0.0, 1e6),
        "checkpoint_every": (1, 1_000_000),
        "anneal": (0.0, 1.0),
        "averaging": (0.0, 0.99999),
        "equalise": (0.0, 16.0),
    }
    for name, (low, high) in ranges.items():
        value = getattr(recipe, name)
        if not (math.isfinite(value) and low <= value <= high):
            raise TexsynError(f"{_spelt(name)} must lie in {low:g} to {high:g}, but is {value:g}", Exit.USAGE)
    choices = {
        "networks": ("local", "paper"),
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
    if recipe.networks not in modality.designs:
        raise TexsynError(f"there are no {recipe.networks!r} networks for a {modality.name}", Exit.USAGE)
    design = modality.designs[recipe.networks]
    scales = design.energy_scales  # as many as still see something of the window
    while scales > 1 and not all(design.positions(modality.window, modality.halvings(scales - 1))):
        scales -= 1

    def widen(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            replace(row, channels=max(1, round(row.channels * recipe.width)) if row.channels else 0) for row in rows
        )

    return replace(
        design,
        generator=widen(design.generator),
        posterior=widen(design.posterior),
        energy_scales=scales,
        normalisation=recipe.normalisation,
        exemplars=exemplars,
        equaliser=design.equaliser if recipe.equalise else (),
        toned=design.toned and recipe.tone,
        steadied=design.steadied and recipe.steady,
        coring=design.coring * recipe.coring,
        energy_mean=recipe.energy_mean,
        energy_rectified=recipe.energy_rectified,
        energy_signed=recipe.energy_signed,
        log_variance_bound=recipe.log_variance_bound,
        precision=recipe.precision,
    )
