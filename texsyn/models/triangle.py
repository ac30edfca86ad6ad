r"""The divergence triangle (Han et al., arXiv 1812.10907): the whole of its mathematics, no optimiser, no files.

Three joint distributions of a texture x and a latent field z,

    Q(z, x) = q_data(x) q_phi(z|x),   P(z, x) = p(z) p_theta(x|z),   Pi(z, x) = pi_alpha(x) q_phi(z|x),

with pi_alpha(x) ~ exp f_alpha(x), p(z) = N(0, I), p_theta(x|z) = N(g_theta(z), s^2 I), q_phi(z|x) = N(mu, diag V), and

    max_alpha min_theta,phi  D = KL(Q||P) + KL(P||Pi) - KL(Q||Pi).

Entropies and log Z cancel, and D is the sum of five terms less (d + dim x) / 2, all in nats, summed over a texture and
averaged over the batch:

    reconstruction   E_data |x - g(z)|^2 / (2 s^2),  z ~ q_phi(z|x)
    prior            E_data KL(q_phi(z|x) || p(z))
    energy_data      E_data f(x)
    energy_generated     -E_P f(g(z))
    latent           E_P 1/2 sum [(z - mu(g(z)))^2 / V(g(z)) + log V(g(z))]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design
from texsyn.core.errors import TexsynError
from texsyn.core.modality import Modality
from texsyn.core.recipes import TRIANGLE, Objective
from texsyn.models import layers, networks, precision
from texsyn.models.corrections import Correction

_LARGEST = 4_000_000  # positions that are looked at in one piece
TERMS = ("reconstruction", "prior", "energy_data", "energy_generated", "latent")


@dataclass(frozen=True)
class Losses:
    """What one batch says: the five terms unweighted, and one value whose gradients suit all three networks."""

    loss: Tensor  # its gradient is what theta and phi descend and alpha ascends; its value means nothing
    terms: dict[str, Tensor]
    decoded: Tensor | None  # `b channels *grid`: the data as reconstructed, where it was
    gradient_norm: Tensor  # mean squared gradient of f over pixel values, where it was asked for; for alpha alone


class Triangle(nn.Module):
    """Generator, energy and posterior of one texture, with the running average of the generator that samples it."""

    def __init__(self, modality: Modality, design: Design, seed: int = 0) -> None:
        super().__init__()
        self.modality, self.design = modality, design
        self.generator = networks.Generator(modality, design)
        self.posterior = networks.Posterior(modality, design)
        self.energy = networks.Energy(modality, design)
        self.generator_ema = networks.Generator(modality, design).requires_grad_(False)
        corrected = bool(design.equaliser or design.colour_transfer or design.deflicker or design.subband_matching)
        # One for each exemplar; none where nothing is corrected.
        self.corrections = nn.ModuleList(Correction(modality, design) for _ in range(design.exemplars * corrected))
        if self.device.type != "meta":
            self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Draw fresh weights from `seed`."""
        random = torch.Generator().manual_seed(seed)
        for network in (self.generator, self.posterior, self.energy):
            networks.initialise(network, random)
        if self.generator.constants is not None:
            nn.init.normal_(self.generator.constants, 0.0, 0.5, generator=random)
        self.generator_ema.load_state_dict(self.generator.state_dict())
        layers.channels_last(self, len(self.modality.axes))

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels (frames) made by one latent position, per axis."""
        return self.generator.stride

    def check(self, x: Tensor) -> None:
        """Raise TexsynError (exit 3) unless `x`, `channels *axes`, is a texture of this kind in a size that it has."""
        modality = self.modality
        if x.dim() != 1 + len(modality.axes) or x.shape[0] != modality.channels:
            raise TexsynError(
                f"this run is of a {modality.name} with {modality.channels} channel(s), which "
                f"{tuple(x.shape)} values are not"
            )
        for size, same, own in zip(x.shape[1:], modality.stationary, modality.window, strict=True):
            if not same and size != own:
                raise TexsynError(
                    f"this {modality.name} knows where things are in the picture, so it takes {own} pixels, not {size}"
                )
        if x[0].numel() > _LARGEST:
            shown = " x ".join(map(str, x.shape[:0:-1]))
            raise TexsynError(f"{shown} is more than is looked at in one piece: cut it, or reduce it")

    def latent_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Channels and grid of the latent field of a texture of `size` (frames and) pixels, rounded up."""
        return (self.design.latent_channels, *(-(-n // f) for n, f in zip(size, self.stride, strict=True)))

    def labels(self, exemplars: Sequence[int]) -> Tensor | None:
        """`b labels`: the global latent that says which exemplar each texture is like; None where there is only one."""
        if not self.design.labels:
            return None
        return torch.eye(self.design.labels, device=self.device)[list(exemplars)]

    def labelled(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """`b latent_channels *grid` with `b labels` as further channels, as the generator takes it."""
        return z if labels is None else ops.append_labels(z, labels)

    def synthesize(self, z: Tensor, wrapped: Sequence[bool] | None = None) -> Tensor:
        """What is sampled: the averaged generator, then what corrects it. `b latent_channels+labels *grid` -> [-1, 1].

        `wrapped` says on which axes `z` is a torus; by default on all stationary ones.
        """
        wrapped = self.modality.stationary if wrapped is None else wrapped
        with precision.autocast(self.design.precision, z.device):
            made: Tensor = self.generator_ema(z, wrapped)
        if len(self.corrections) < 2:
            for correction in self.corrections:
                made = correction(made, wrapped)
            return made
        # Between exemplars, between their corrections.
        shares = ops.upsample(z[:, -self.design.labels :], self.stride, wrapped)
        total = torch.zeros_like(made)
        for number, correction in enumerate(self.corrections):
            share = shares[:, number : number + 1]
            if bool((share != 0).any()):
                total = total + share * correction(made, wrapped)
        return total

    def losses(
        self,
        x: Tensor,
        z: Tensor,
        noise: Tensor,
        objective: Objective = TRIANGLE,
        penalised: bool = False,
        labels: Tensor | None = None,
        visible: Tensor | None = None,
    ) -> Losses:
        """The terms that `objective` uses; those that it leaves out are not computed.

        x: `b channels *grid`, data in [-1, 1]. z: `m latent_channels *latent_grid`, drawn from p(z).
        noise: `b latent_channels *latent_grid`, standard normal, makes z ~ q_phi(z|x).
        labels: `b labels`, of data and of made textures alike (then m = b), where the model knows several exemplars.
        visible: `b 1 *grid`, 1 where x is data and 0 where it is an estimate: only data is reconstructed.
        """
        terms: dict[str, Tensor] = {}
        loss, rough, decoded = x.new_zeros(()), x.new_zeros(()), None
        made = self.generator(self.labelled(z, labels))
        judged = made if objective.latent_trains_generator else made.detach()
        encodes = bool(objective.reconstruction or objective.prior)
        # One pass of the posterior over data and made textures together costs less than two.
        seen = [x] * encodes + [judged] * bool(objective.latent)
        means, log_variances = self.posterior(torch.cat(seen)) if seen else (x, x)
        if encodes:
            mean, log_variance = means[: len(x)], log_variances[: len(x)]
            encoded = mean + noise * (0.5 * log_variance).exp()
            if not objective.reconstruction_trains_posterior:
                encoded = encoded.detach()
            if objective.reconstruction:
                # A crop of the data is no torus.
                decoded = self.generator(self.labelled(encoded, labels), (False,) * len(self.modality.axes))
                terms["reconstruction"] = reconstruction(x, decoded, objective.sigma, visible)
                loss = loss + objective.reconstruction * terms["reconstruction"]
            if objective.prior:
                terms["prior"] = prior(mean, log_variance)
                loss = loss + objective.prior * terms["prior"]
        if objective.latent:
            terms["latent"] = latent(z, means[-len(z) :], log_variances[-len(z) :])
            loss = loss + objective.latent * terms["latent"]
        if objective.energy:
            # Alpha ascends what theta descends. With the gradient to theta turned round, one pass serves both.
            weigh: Callable[..., Tensor] = _GradientReversal.apply
            both = torch.cat((x, weigh(made, -objective.energy)))
            asked = None if labels is None else torch.cat((labels, labels))
            if penalised:
                energies, gradient = self.energy.with_gradient(both, asked)
                rough = ops.to_float32(gradient).square().mean()
            else:
                energies = self.energy(both, asked)
            terms["energy_data"] = energies[: len(x)].mean()
            terms["energy_generated"] = -energies[len(x) :].mean()
            loss = loss - terms["energy_data"] - terms["energy_generated"]
        return Losses(loss, terms, None if decoded is None else decoded.detach(), rough)


class _GradientReversal(torch.autograd.Function):
    """The identity, with the gradient multiplied by `weight` on its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.weight, None


def reconstruction(x: Tensor, decoded: Tensor, sigma: float, visible: Tensor | None = None) -> Tensor:
    """-log p_theta(x|z) up to its constant: |x - g(z)|^2 / (2 sigma^2), summed, averaged over the batch.

    visible: of x, 1 or 0 for each position; what is not visible is integrated out.
    """
    error = (x - decoded).square()
    if visible is not None:
        error = error * visible
    return error.flatten(1).sum(1).mean() / (2 * sigma**2)


def prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp log_variance) || N(0, I)), summed, averaged over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).flatten(1).sum(1).mean()


def latent(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log q_phi(z|x) up to its constant: 1/2 sum [(z - mean)^2 / V + log V], averaged over the batch."""
    return 0.5 * ((z - mean).square() * (-log_variance).exp() + log_variance).flatten(1).sum(1).mean()


def divergence(terms: dict[str, float], latent_size: int, size: int) -> float:
    """D in nats from the five terms: their sum less (d + dim x) / 2."""
    return sum(terms[name] for name in TERMS) - 0.5 * (latent_size + size)
