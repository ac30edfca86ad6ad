"""Tiny textures of every kind, so that each test runs one body over all of them within seconds."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from PIL import Image

from texsyn.core.architecture import Design, Layer, LevelDesign
from texsyn.core.maps import Plane
from texsyn.core.modality import Modality
from texsyn.core.recipes import Recipe
from texsyn.media.exemplar import Exemplar
from texsyn.metrics import portilla_simoncelli
from texsyn.models import mixture_prior, seams
from texsyn.models.triangle import Triangle

# Of tests and of the processes they start: several tests run at once.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Scripts, some of which need packages that tests do without, and what Blender runs.
collect_ignore = ["benchmarks", "ui/blender_session.py"]
TESTS = Path(__file__).parent
VIDEOS = TESTS.parent / "videos"
# Files whose tests take minutes, longest first; those that wait for a browser beside those that compute.
LONGEST = (
    "test_onnx_export.py",
    "test_training_panel.py",
    "test_trust.py",
    "test_new_panel.py",
    "test_gallery.py",
    "test_cluster.py",
    "test_docs.py",
    "test_app.py",
    "test_sampling.py",
    "test_loop.py",
    "test_made_panel.py",
    "test_fitting.py",
    "test_fit.py",
    "test_tools.py",
    "test_materials.py",
    "test_budgets.py",
    "test_scoring.py",
)
# Fields of a quick fit, which does not search for a bandwidth either and encodes few crops; and words for it.
TINY = ("width_multiplier=0.1", "batch_size=1", "bandwidth=0.15", "codes=4")
TINY_WORDS = [word for field in TINY for word in ("--set", field)]
SMALL = [*TINY_WORDS, "--no-card"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: one that begins last would end long after all others."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def refuse(reason: str) -> NoReturn:
    """Skip a test that this machine cannot run; in continuous integration, fail it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@contextmanager
def short_draws() -> Iterator[None]:
    """Draws of the mixture prior with fewer steps and rounds: of the same parts, and sooner where networks are tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture_prior, "_STEPS", 2)
        patch.setattr(seams, "_ROUNDS", 2)
        yield


@pytest.fixture(scope="module")
def quick_draws() -> Iterator[None]:
    with short_draws():
        yield


@pytest.fixture
def few_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """PS of fewer crops: a coarser distance, a fifth of the time."""
    monkeypatch.setattr(portilla_simoncelli, "_CROPS", 2)
    monkeypatch.setattr(portilla_simoncelli, "_REFERENCE_CROPS", 6)


@contextmanager
def script_of_videos(name: str) -> Iterator[ModuleType]:
    """A script in videos/ as a module; the modules beside it are found meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(VIDEOS), *sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)  # videos/ holds nothing that its README does not name
        yield importlib.import_module(name)


def tiny(axes: str, stationary: tuple[bool, ...], window: tuple[int, ...], planes: tuple[Plane, ...]) -> Modality:
    rank = len(axes)
    four, two, one, three = ((n,) * rank for n in (4, 2, 1, 3))
    fixed = not all(stationary)
    design = Design(
        latents=(3, 2),
        frame_latents=(2,) if fixed else (),
        generator=(Layer(8, four, two), Layer(0, four, two)),
        posterior=(Layer(8, four, two), Layer(8, four, two)),
        heads=Layer(0, three, one),
        energy=(Layer(6, three, two, padded=False), Layer(5, two, one, padded=False)),
        energy_scales=2,
        constant_channels=2 if fixed else 0,
        coordinates=fixed,
        energy_signed=True,
        reflect_edges=fixed,
        blur_upsampling=True,
        equaliser=three,
        colour_transfer=not fixed,
        deflicker=fixed,
        subband_matching=2,
    )
    return Modality(
        name="tiny",
        axes=tuple(axes),
        stationary=stationary,
        window=window,
        size=window,
        side=window[-1],
        designs={"local": design, "paper": design},
        planes=planes,
    )


COLOUR = (Plane("colour"),)
KINDS = {
    "still": tiny("yx", (True, True), (16, 16), COLOUR),
    "grey": tiny("yx", (True, True), (16, 16), (Plane("colour", 1),)),
    "clip": tiny("tyx", (True, False, False), (8, 16, 16), COLOUR),
    "flipbook": tiny("tyx", (True, True, True), (8, 16, 16), COLOUR),
    "material": tiny("yx", (True, True), (16, 16), (Plane("colour"), Plane("normal"))),
}
KINDS["regular"] = replace(KINDS["still"], period=(6, 4), scale=(1.25, 0.875))


@pytest.fixture(params=KINDS)
def modality(request: pytest.FixtureRequest) -> Modality:
    return KINDS[request.param]


@pytest.fixture
def triangle(modality: Modality) -> Triangle:
    return lively(Triangle(modality, modality.designs["local"], seed=1))


def lively(triangle: Triangle) -> Triangle:
    """Weights large enough that every part of a network matters to its output."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in triangle.named_parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.1)
        if triangle.mixture_prior is not None:
            triangle.mixture_prior.means.normal_(generator=random)
            triangle.mixture_prior.variances.fill_(0.1)
        for level in triangle.detail:
            level.deviation.fill_(0.1)
            level.start_average()
            for codes in level.codes.means:
                codes.normal_(generator=random)
        if triangle.mixture_prior is not None and triangle.mixture_prior.traced:
            sources = triangle.mixture_prior.sources
            sources.copy_(torch.rand(sources.shape, generator=random) * 30)
            sources[:, 0] = 0
    triangle.start_average()
    for correction in (*triangle.corrections, *(level.correction for level in triangle.detail)):
        kernel = correction.equaliser.kernel
        kernel.copy_(torch.rand(kernel.shape, generator=random) * 3 / kernel[0].numel())
        if correction.subband_matching is not None:
            gain = correction.subband_matching.gain
            gain.copy_(torch.rand(gain.shape, generator=random) + 0.5)
    return triangle


def levelled(
    factors: tuple[int, ...] = (2, 2), latent_prior: str = "mixture", kind: str = "still", **fields: Any
) -> Triangle:
    """Of a base of 32 x 48 pixels (as the kind scales them) with levels above it, none of them trained.

    fields: of the base's design.
    """
    size = [n * math.prod(factors) for n in (32, 48)]
    modality = replace(KINDS[kind], factors=factors, size=tuple(size))
    networks = Design(
        latents=(2,),
        generator=(Layer(6, (3, 3), (1, 1)), Layer(5, (4, 4), (2, 2)), Layer(0, (3, 3), (1, 1))),
        posterior=(Layer(5, (4, 4), (2, 2)),),
        heads=Layer(0, (3, 3), (1, 1)),
        energy=(Layer(6, (3, 3), (2, 2), padded=False), Layer(4, (2, 2), (1, 1), padded=False)),
        energy_scales=2,
        energy_signed=True,
        conditional=True,
        reflect_edges=True,
        equaliser=(3, 3),
        subband_matching=1,
    )
    below = [math.prod(factors[:n]) for n in range(len(factors))]
    levels = [LevelDesign(networks, tuple(f * n for f in modality.network_size(size))) for n in below]
    design = replace(modality.designs["local"], latent_prior=latent_prior, **fields)
    return lively(Triangle(modality, design, seed=1, levels=levels))


@pytest.fixture
def exemplar(modality: Modality) -> Exemplar:
    """Smooth coloured waves, larger than the window along the stationary axes."""
    random = np.random.default_rng(3)
    size = [n * 2 if same else n for n, same in zip(modality.window, modality.stationary, strict=True)]
    grids = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
    waves = [
        np.sin(sum(random.uniform(0.2, 1.2) * g for g in grids) + random.uniform(0, 6))
        for _ in range(modality.channels)
    ]
    return Exemplar(torch.tensor(np.stack(waves), dtype=torch.float32) * 0.8, modality, fps=10.0)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(steps=6, batch_size=2, precision="float32", checkpoint_interval=3, whole_periods=False, codes=16)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A 64 x 64 PNG with some structure, the smallest still that is allowed."""
    path = tmp_path / "waves.png"
    draw(path)
    return path


def draw(
    path: Path, size: tuple[int, int] = (64, 64), change: Callable[[Image.Image], Image.Image] = lambda i: i
) -> None:
    """Save a smooth colour picture, after `change`."""
    y, x = np.mgrid[: size[1], : size[0]]
    planes = [
        127.5 + 120 * np.sin(0.35 * x + 0.1 * y),
        127.5 + 120 * np.sin(0.3 * y),
        40 + 2.5 * (x % 16) * (y % 16) / 4,
    ]
    change(Image.fromarray(np.stack(planes, -1).astype(np.uint8))).save(path)
