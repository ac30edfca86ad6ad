"""Halves of shipped stills, and models of the left ones, which sections of `energy.py` ask about the right ones."""

from __future__ import annotations

import argparse

from report import VIDEOS, train
from torch import Tensor

import texsyn
from texsyn.media.exemplar import Exemplar
from texsyn.models.triangle import Triangle


def halves(name: str) -> tuple[Exemplar, Tensor]:
    """The left half of an image to train on, and the right half, which no model sees."""
    whole = texsyn.read(VIDEOS / f"{name}.png", side=0)
    middle = whole.pixels.shape[-1] // 2
    return Exemplar(whole.pixels[..., :middle].contiguous(), whole.modality), whole.pixels[..., middle:].contiguous()


def model(name: str, options: argparse.Namespace) -> tuple[Triangle, Exemplar, Tensor]:
    """A model trained on the left half of an exemplar, or a kept one, and both halves."""
    seen, unseen = halves(name)
    folder = options.keep / f"{name}-{options.steps}" if options.keep else None
    if folder and folder.exists():
        return texsyn.load(folder), seen, unseen
    triangle, _ = train(seen, options.steps)
    if folder:
        texsyn.save(triangle, folder)
    return triangle, seen, unseen
