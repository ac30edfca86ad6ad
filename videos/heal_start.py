"""Make fresh what draws lines in the weights that stills begin with: python videos/heal_start.py RUN [RUN ...]

Some families of textures have rows. A few channels of the generator have learnt them as thin lines, which they draw in
any texture where neighbouring codes do not continue each other; no fit unlearns them in 3,000 steps. They are found in
trained RUNs of several exemplars: channels of its second and third layer whose extremes are much longer along rows than
along columns in all of them. The eight worst of each layer get fresh weights, and the next layer begins without them.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import texsyn
from texsyn.core import ops
from texsyn.core.modality import STILL
from texsyn.core.recipes import design_for, recipe_for
from texsyn.models.initial_weights import compress, decompress, file, stored
from texsyn.models.triangle import Triangle

LAYERS = (1, 2)  # of the generator, whose outputs lie 8 and 4 pixels apart
WORST = 8  # channels of each
SIDE, LENGTH = 224, 24  # pixels of a sample, and of a line
EXTREME = 0.999  # quantile


def rows_over_columns(features: Tensor, length: int) -> Tensor:
    """Per channel of `b channels y x`: how strong thin lines of that length are along x, over those along y."""

    def strength(x: Tensor) -> Tensor:
        across = 2 * x[..., 1:-1, :] - x[..., :-2, :] - x[..., 2:, :]
        means = F.avg_pool2d(across, (1, length), stride=1).abs()
        return means.transpose(0, 1).flatten(1).quantile(EXTREME, 1)

    return strength(features) / strength(features.transpose(-1, -2)).clamp(min=1e-9)


@torch.no_grad()
def measure(triangle: Triangle) -> list[Tensor]:
    """The same of samples of a model, for each of LAYERS."""
    found: dict[int, Tensor] = {}
    hooks = [
        triangle.generator_ema.ups[layer].register_forward_hook(
            lambda _module, _inputs, out, layer=layer: found.update({layer: out.float()})
        )
        for layer in LAYERS
    ]
    noise = torch.randn((2, *triangle.torus_shape((SIDE, SIDE))), generator=ops.seeded_generator(0, 0))
    triangle.generator_ema(triangle.draw_latents(noise))
    for hook in hooks:
        hook.remove()
    return [rows_over_columns(found[each], max(3, LENGTH * found[each].shape[-1] // SIDE)) for each in LAYERS]


def heal(weights: dict[str, Tensor], fresh: dict[str, Tensor], channels: dict[int, list[int]]) -> dict[str, Tensor]:
    """Weights with fresh ones for these channels of each layer, and zeros where the next layer reads them."""
    healed = {name: value.clone() for name, value in weights.items()}
    for layer, worst in channels.items():
        own, after = f"generator.ups.{layer}.weight", f"generator.ups.{layer + 1}.weight"
        healed[own][:, worst] = fresh[own][:, worst]  # inputs before outputs
        healed[after][worst] = 0
    return healed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    options = parser.parse_args()
    measured = [measure(texsyn.load(run)) for run in options.runs]
    channels = {}
    for layer, ratios in zip(LAYERS, zip(*measured, strict=True), strict=True):
        mean = torch.stack(ratios).log().mean(0).exp()
        worst = mean.topk(WORST)
        channels[layer] = worst.indices.tolist()
        words = ", ".join(f"{c} ({r:.1f})" for c, r in zip(channels[layer], worst.values.tolist(), strict=True))
        print(f"layer {layer}: {words}; median of all {float(mean.median()):.2f}")
    blob = stored(STILL)
    assert blob is not None
    fresh = Triangle(STILL, design_for(STILL, recipe_for("fast", STILL)), seed=0)
    file(STILL).write_bytes(compress(heal(decompress(blob), dict(fresh.named_parameters()), channels)))


if __name__ == "__main__":
    main()
