"""Recipes: everything training depends on besides the exemplar, and the networks that follow from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from texsyn.core.architecture import (
    LATENT_PRIORS,
    NORMALISATIONS,
    PRECISIONS,
    Design,
    Layer,
    LevelDesign,
    still_level,
)
from texsyn.core.errors import Exit, TexsynError
from texsyn.core.modality import Modality

STARTS = ("rendered", "noise")
LEVEL_SHARE = 0.8  # of the base's part of training that each level above it has


def _option(
    default: Any, help: str, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """A field with its help and its range or choices as metadata."""
    limits = {"low": low, "high": high} if low is not None else {"choices": choices} if choices else {}
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Objective:
    """Which terms are used, their weights, and which networks they train. The defaults are the divergence triangle."""

    reconstruction: float = _option(1.0, "weight of the reconstruction term", 0.0, 1e6)
    prior: float = _option(1.0, "weight of the prior term", 0.0, 1e6)
    energy: float = _option(1.0, "weight of both energy terms for the generator", 0.0, 1e6)
    latent: float = _option(1.0, "weight of the latent term", 0.0, 1e6)
    pieces: float = _option(0.0, "weight of how far draws are from showing the pieces they are of", 0.0, 1e6)
    reconstruction_trains_posterior: bool = _option(True, "the reconstruction term trains the posterior, too")
    latent_trains_generator: bool = _option(True, "the latent term trains the generator, too")
    sigma: float = _option(0.3, "standard deviation of p(x|z) per pixel value in [-1, 1]", 1e-3, 10.0)
    gradient_penalty: float = _option(
        0.02, "weight of the energy's mean squared gradient, per squared nat and value", 0.0, 1e6
    )


TRIANGLE = Objective()
VAE = Objective(energy=0.0, latent=0.0, gradient_penalty=0.0)  # variational auto-encoder: min KL(Q||P)
ACD = Objective(reconstruction=0.0, prior=0.0)  # adversarial contrastive divergence: no data is encoded
WAKE_SLEEP = Objective(  # min_theta KL(Q||P), min_phi KL(P||Q)
    prior=0.0, energy=0.0, gradient_penalty=0.0, reconstruction_trains_posterior=False, latent_trains_generator=False
)
OBJECTIVES = {"triangle": TRIANGLE, "vae": VAE, "acd": ACD, "wake-sleep": WAKE_SLEEP}


@dataclass(frozen=True)
class Recipe(Objective):
    """Everything training depends on besides the exemplar. Command-line options and app controls read these fields."""

    sigma: float = _option(0.1, "standard deviation of p(x|z) per pixel value in [-1, 1]", 1e-3, 10.0)
    architecture: str = _option("local", "sizes of the networks: local or paper", choices=("local", "paper"))
    normalisation: str = _option("batch", "of the generator: batch or none", choices=NORMALISATIONS)
    width_multiplier: float = _option(1.0, "multiplies the channels of generator and posterior", 0.05, 8.0)
    energy_mean: bool = _option(True, "energy as mean over positions instead of the paper's sum")
    energy_rectified: bool = _option(True, "leaky ReLU after the energy's last filters")
    energy_signed: bool = _option(True, "half of the energy's last filters count with a negative sign")
    latent_prior: str = _option("mixture", "what draws latent fields: normal or mixture", choices=LATENT_PRIORS)
    bandwidth: float = _option(
        0.0, "width of draws around codes, in parts of their variance; 0: as narrow as copies little", 0.0, 4.0
    )
    codes: int = _option(64, "codes of crops that samples are drawn from, for each exemplar", 1, 256)
    start: str = _option("rendered", "weights to begin with: rendered (learnt from textures) or noise", choices=STARTS)
    whole_periods: bool = _option(True, "find the period of a regular still, and learn and tile it in whole periods")
    colour_balance: float = _option(
        3.0,
        "most by which a still's faint principal colours are raised where textures are compared; 1: none",
        1.0,
        16.0,
    )
    deformation: float = _option(
        2.5, "smooth displacement that deforms the crops of a still, in pixels; 0: none", 0.0, 16.0
    )
    rotation: float = _option(
        12.0, "standard deviation of the angle by which crops of a still are turned, in degrees", 0.0, 180.0
    )
    scaling: float = _option(0.08, "standard deviation of the logarithm of the factor on their size", 0.0, 0.5)
    pieces: float = _option(1.0, "weight of how far draws are from showing the pieces they are of", 0.0, 1e6)
    log_variance_bound: float = _option(6.0, "bound of the posterior's log variances; 0: no bound", 0, 100)
    steps: int = _option(4000, "training steps, unless there is a time budget", 1, 10_000_000)
    minutes: float = _option(0.0, "time budget in minutes; 0: none", 0, 60 * 24 * 30)
    seed: int = _option(0, "seed of weights, crops and noise", 0, 2**31 - 1)
    batch_size: int = _option(2, "crops, and as many generated textures, for each step", 1, 64)
    learning_rate: float = _option(3e-4, "Adam's learning rate", 1e-7, 1.0)
    beta1: float = _option(0.5, "Adam's decay of the mean", 0.0, 0.999999)
    beta2: float = _option(0.99, "Adam's decay of the square", 0.0, 0.999999)
    weight_decay: float = _option(0.0, "Adam's weight decay", 0.0, 1e3)
    lr_decay_fraction: float = _option(0.3, "last part of training, in which the learning rate falls to 0", 0.0, 1.0)
    ema_decay: float = _option(0.97, "decay of the generator's running average; 0: its last weights", 0.0, 0.99999)
    penalty_interval: int = _option(2, "steps from one gradient penalty to the next", 1, 1000)
    gradient_norm_target: float = _option(
        20.0, "squared gradient norm to which the penalty adapts; 0: fixed penalty", 0.0, 1e6
    )
    checkpoint_interval: int = _option(100, "steps from one checkpoint to the next", 1, 1_000_000)
    equaliser_gain: float = _option(
        1.0, "largest gain of the filter that matches the exemplar's spectrum; 0: no filter", 0.0, 16.0
    )
    colour_transfer: bool = _option(True, "match the mean and covariance of a still's colours")
    deflicker: bool = _option(True, "samples of a clip stand still where the exemplar does")
    subband_matching: bool = _option(True, "match the histograms of fine detail (of clips, in time)")
    precision: str = _option("auto", "of training and sampling: auto, float32 or bfloat16", choices=PRECISIONS)

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is done: of the time budget, or without one of the steps."""
        return min(1.0, seconds / (60 * self.minutes) if self.minutes else step / self.steps)


RECIPES: dict[str, Recipe] = {
    "fast": Recipe(),
    "best": Recipe(steps=16000),
    "paper": Recipe(
        sigma=TRIANGLE.sigma,
        architecture="paper",
        latent_prior="normal",
        start="noise",
        whole_periods=False,
        colour_balance=1.0,
        deformation=0.0,
        rotation=0.0,
        scaling=0.0,
        pieces=0.0,
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

# A clip's window has 2.6 times the values of a still's, so it takes fewer steps. Its penalty is not adapted: samples
# shake where it becomes weak.
# Collections have small, varied images, so a step takes more of them.
_CLIP: dict[str, Any] = {
    "sigma": TRIANGLE.sigma,
    "codes": 16,
    "equaliser_gain": 2.0,
    "colour_balance": 1.0,
    "gradient_norm_target": 0.0,
    "energy_signed": False,
}
_OBJECTS: dict[str, Any] = {
    "sigma": TRIANGLE.sigma,
    "batch_size": 16,
    "colour_balance": 1.0,
    "gradient_norm_target": 0.0,
    "latent_prior": "normal",
    "start": "noise",
}
_BY_KIND: dict[tuple[str, str], dict[str, Any]] = {
    ("fast", "clip"): {**_CLIP, "steps": 1200},
    ("best", "clip"): {**_CLIP, "steps": 5000},
    ("paper", "clip"): {"steps": 5000},
    ("fast", "objects"): {**_OBJECTS, "steps": 2000, "width_multiplier": 0.5},
    ("best", "objects"): {**_OBJECTS, "steps": 12000},
    ("paper", "objects"): {"steps": 20000, "batch_size": 16},
}


def recipe_for(name: str, modality: Modality, **changes: Any) -> Recipe:
    """The named recipe with `changes` to its fields. Raises TexsynError (exit 2) for an unknown name or a bad value."""
    if name not in RECIPES:
        raise TexsynError(f"{name!r} is not a recipe: {', '.join(RECIPES)}", Exit.USAGE)
    kind = "clip" if modality.moving else "objects" if modality.collection else "still"
    settings = {**_BY_KIND.get((name, kind), {})}
    if modality.factors:
        steps = settings.get("steps", RECIPES[name].steps)
        settings["steps"] = round(steps * (1 + LEVEL_SHARE * len(modality.factors)))
    recipe = replace(RECIPES[name], **{**settings, **changes})
    check_recipe(recipe)
    return recipe


def check_recipe(recipe: Recipe) -> None:
    """Raise TexsynError (exit 2) for values outside the range or the choices of their field."""
    for each in fields(recipe):
        value, limits = getattr(recipe, each.name), each.metadata
        if "low" in limits and not (math.isfinite(value) and limits["low"] <= value <= limits["high"]):
            allowed = f"{limits['low']:g} to {limits['high']:g}"
            raise TexsynError(f"{_spelling(each.name)} must lie in {allowed}, but is {value:g}", Exit.USAGE)
        if "choices" in limits and value not in limits["choices"]:
            allowed = ", ".join(limits["choices"])
            raise TexsynError(f"{_spelling(each.name)} is one of {allowed}, not {value!r}", Exit.USAGE)


def _spelling(name: str) -> str:
    """A field as the command line spells it."""
    return f"--{name}" if name in ("steps", "minutes", "seed") else f"--set {name}"


def design_for(modality: Modality, recipe: Recipe, exemplars: int = 1) -> Design:
    """The modality's networks with the recipe's settings, for one model of so many exemplars.

    Raises TexsynError (exit 2) where the modality has no networks of the recipe's architecture.
    """
    if recipe.architecture not in modality.designs:
        raise TexsynError(f"there are no {recipe.architecture!r} networks for a {modality.name}", Exit.USAGE)
    design = modality.designs[recipe.architecture]
    return replace(
        _common(design, modality, recipe),
        exemplars=exemplars,
        equaliser=design.equaliser if recipe.equaliser_gain else (),
        colour_transfer=design.colour_transfer and recipe.colour_transfer,
        deflicker=design.deflicker and recipe.deflicker,
        subband_matching=design.subband_matching * recipe.subband_matching,
        balanced_colours=recipe.colour_balance > 1,
        latent_prior=recipe.latent_prior,
        codes=recipe.codes,
    )


def level_designs(modality: Modality, recipe: Recipe, sizes: Sequence[Sequence[int]]) -> tuple[LevelDesign, ...]:
    """The levels above the modality's base, the lowest first. sizes: of the exemplars, in pixels per axis."""
    found, enlarged = list[LevelDesign](), 1
    for factor in modality.factors:
        below = tuple(n * enlarged for size in sizes for n in modality.network_size(size))
        design = _common(still_level(factor), modality, recipe)
        corrected = len(sizes) == 1  # with several exemplars there is not one spectrum to match
        design = replace(
            design,
            equaliser=design.equaliser if recipe.equaliser_gain and corrected else (),
            subband_matching=design.subband_matching * (recipe.subband_matching and corrected),
        )
        found.append(LevelDesign(design, below))
        enlarged *= factor
    return tuple(found)


def _common(design: Design, modality: Modality, recipe: Recipe) -> Design:
    """A design with the settings that base and levels share."""
    scales = design.energy_scales  # only those that fit into the window
    while scales > 1 and not all(design.positions(modality.window, modality.halvings(scales - 1))):
        scales -= 1
    return replace(
        design,
        generator=_widen(design.generator, recipe.width_multiplier),
        posterior=_widen(design.posterior, recipe.width_multiplier),
        energy_scales=scales,
        normalisation=recipe.normalisation,
        energy_mean=recipe.energy_mean,
        energy_rectified=recipe.energy_rectified,
        energy_signed=recipe.energy_signed,
        log_variance_bound=recipe.log_variance_bound,
        precision=recipe.precision,
    )


def _widen(layers: tuple[Layer, ...], factor: float) -> tuple[Layer, ...]:
    """Layers with `factor` times the channels, at least 1; a layer of 0 channels, which others decide, stays."""
    return tuple(
        replace(each, channels=max(1, round(each.channels * factor)) if each.channels else 0) for each in layers
    )
