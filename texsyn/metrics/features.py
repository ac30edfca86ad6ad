"""Networks whose features distributions are compared by: a file that is named, or a classifier learnt on the images.

Each takes images, `n channels side side` in [-1, 1], and gives features, `n d`, and logits where it has classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texsyn.core.errors import TexsynError
from texsyn.core.files import existing
from texsyn.core.text import reason, short
from texsyn.models import layers

Found = tuple[Tensor, Tensor | None]  # features, and logits
_BATCH = 64
_WIDTHS = (32, 64, 128)  # of the classifier's layers
_LEARNING_RATE = 2e-3
_TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}


@dataclass(frozen=True)
class FeatureNetwork:
    """A network, and what its features are called."""

    name: str
    compute: Callable[[Tensor], Found]

    def __call__(self, images: Tensor) -> Found:
        """Features and logits of all images, computed batch by batch."""
        found = [self.compute(part) for part in torch.split(images, _BATCH)]
        logits = [each for _, each in found if each is not None]
        return torch.cat([each.float() for each, _ in found]), torch.cat(logits) if logits else None


def from_onnx(path: Path) -> FeatureNetwork:
    """A network in an ONNX file, such as Inception's: its first output are features, its second, if any, logits.

    Its input takes images `n c h w`: 8-bit values 0 to 255, or 32-bit ones in [-1, 1]; images are resized to its h and
    w, grey ones have their channel three times where it wants three. Raises TexsynError (exit 3) for anything else.
    """
    try:
        import onnxruntime
    except ImportError:
        raise TexsynError("--features needs the extra texsyn[scores]: pip install 'texsyn[scores]'") from None
    blob = b"" if existing(path).is_dir() else path.read_bytes()
    try:
        session = onnxruntime.InferenceSession(blob, providers=["CPUExecutionProvider"])
    except Exception as error:  # of a dozen kinds, without a common base
        raise TexsynError(f"{short(path.name)} cannot be read as an ONNX network: {reason(error)}") from error
    first = session.get_inputs()[0]
    channels, height, width = (n if isinstance(n, int) else 0 for n in (first.shape or [0] * 4)[1:4])
    dtype = _TYPES.get(first.type)
    if len(session.get_inputs()) != 1 or len(first.shape) != 4 or dtype is None or channels not in (0, 1, 3):
        raise TexsynError(f"{short(path.name)} is no network of images: its input is {first.type} {first.shape}")

    def compute(images: Tensor) -> Found:
        if channels == 3 and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if height and width and images.shape[2:] != (height, width):
            images = F.interpolate(images, (height, width), mode="bilinear", antialias=True, align_corners=False)
        values = images.clamp(-1, 1).numpy()
        given = ((values + 1) * 127.5).round().astype(np.uint8) if dtype is np.uint8 else values
        try:
            found: Sequence[Any] = session.run(None, {first.name: given})
        except Exception as error:
            raise TexsynError(f"{short(path.name)} cannot take images of this size: {reason(error)}") from error
        features, *more = (torch.from_numpy(np.asarray(each, np.float32)).flatten(1) for each in found[:2])
        return features, more[0] if more else None

    return FeatureNetwork(f"{short(path.name)}, SHA-256 {hashlib.sha256(blob).hexdigest()[:12]}", compute)


class Classifier(nn.Module):
    """Four layers that learn the classes of a collection."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        stack: list[nn.Module] = []
        for width in _WIDTHS:
            stack += [layers.conv(channels, width, (3, 3), (2, 2)), layers.BatchNorm(width), nn.ReLU()]
            channels = width
        self.body = nn.Sequential(*stack, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits."""
        features: Tensor = self.body(images)
        return features, self.head(features)


def learnt(
    draw: Callable[[int], tuple[Tensor, Tensor]], channels: int, classes: int, steps: int, seed: int = 0
) -> FeatureNetwork:
    """A small classifier, learnt in so many steps. draw: images and their classes of a step, by its number."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(channels, classes)
    optimiser = torch.optim.Adam(network.parameters(), _LEARNING_RATE)
    for step in range(steps):
        images, targets = draw(step)
        loss = F.cross_entropy(network(images)[1], targets)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    network.eval()

    def compute(images: Tensor) -> Found:
        with torch.no_grad():
            found: Found = network(images)
        return found

    return FeatureNetwork("a classifier learnt on this collection", compute)
