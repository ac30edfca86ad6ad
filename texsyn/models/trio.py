r"""The divergence triangle (Han et al., arXiv 1812.10907): all of its mathematics, without optimisers and files.

Three joint distributions of a texture x and a latent field z,

    Q(z, x) = q_data(x) q_phi(z|x),   P(z, x) = p(z) p_theta(x|z),   Pi(z, x) = pi_alpha(x) q_phi(z|x),

with pi_alpha(x) ~ exp f_alpha(x), p(z) = N(0, I), p_theta(x|z) = N(g_theta(z), s^2 I), q_phi(z|x) = N(mu, diag V), and

    max_alpha min_theta,phi  D = KL(Q||P) + KL(P||Pi) - KL(Q||Pi).

Entropies and log Z cancel, and D is the sum of five terms less (d + dim x) / 2, all in nats, summed over a texture and
averaged over the batch:

    reconstruction   E_data |x - g(z)|^2 / (2 s^2),  z ~ q_phi(z|x)
    prior            E_data KL(q_phi(z|x) || p(z))
    energy_data      E_data f(x)
    energy_generated -E_P f(g(z))
    latent           E_P 1/2 sum [(z - mu(g(z)))^2 / V(g(z)) + log V(g(z))]

Where draws are made of pieces of codes, `unlikeness` to what these show is added for theta; it is no part of D.
Where the design balances colours, x - g(z) in the reconstruction is in the colours that posterior and energy see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from texsyn.core import ops
from texsyn.core.architecture import Design
from texsyn.core.modality import Modality
from texsyn.core.recipes import TRIANGLE, Objective
from texsyn.models import layers, networks
from texsyn.models.absent import Absent
from texsyn.models.mixture_prior import Picture

Gaussian = tuple[Tensor, Tensor]  # mean and log variance
TERMS = ("reconstruction", "prior", "energy_data", "energy_generated", "latent")


@dataclass(frozen=True)
class Below:
    """A coarser texture to which a level adds detail."""

    coarse: Tensor  # `b channels *latent_grid` of the level
    enlarged: Tensor  # `b channels *grid`

    def part(self, chunk: slice, size: int) -> Below:
        """Of a batch of `size` data and as many draws, that of a `chunk` of both."""
        draws = slice(chunk.start + size, chunk.stop + size)
        return Below(*(torch.cat((each[chunk], each[draws])) for each in (self.coarse, self.enlarged)))


@dataclass(frozen=True)
class Losses:
    """The losses of one batch."""

    loss: Tensor  # all three descend its gradient: D falls for theta and phi, rises for alpha; its value means nothing
    terms: dict[str, Tensor]  # those that the objective uses, unweighted
    decoded: Tensor | None  # `b channels *grid`: the reconstructed data, where the objective uses that term
    gradient_norm: Tensor  # mean squared gradient of f over pixel values, for alpha alone; 0 where not asked for


@dataclass(frozen=True)
class Passes:
    """What generator and posterior make of a batch."""

    generated: Tensor  # `m channels *grid`
    decoded: Tensor | None  # `b channels *grid`: g(z), z ~ q_phi(z|x), where the objective reconstructs
    of_data: Gaussian | None  # q_phi of data, where the objective encodes them
    of_generated: Gaussian | None  # and of what is generated, where it uses the latent term


class Trio(nn.Module):
    """Generator, energy and posterior, their joint objective, and the running average of the generator."""

    def __init__(self, modality: Modality, design: Design) -> None:
        super().__init__()
        self.modality, self.design = modality, design
        self.generator = networks.Generator(modality, design)
        self.posterior = networks.Posterior(modality, design)
        self.energy = networks.Energy(modality, design)
        self.generator_ema = networks.Generator(modality, design).requires_grad_(False)

    @property
    def samples_only(self) -> bool:
        """Whether `leave_out_inference` was called."""
        return isinstance(self.posterior, Absent)

    def leave_out_inference(self) -> None:
        """Drop posterior and energy, which samples do not need; whoever asks for them then gets a TexsynError."""
        self.add_module("posterior", Absent("inference network"))
        self.add_module("energy", Absent("energy-based model"))

    def initialise(self, random: torch.Generator) -> None:
        """Draw fresh weights."""
        for network in (self.generator, self.posterior, self.energy):
            networks.initialise(network, random)
        if self.generator.constants is not None:
            nn.init.normal_(self.generator.constants, 0.0, 0.5, generator=random)
        self.start_average()
        layers.channels_last(self, len(self.modality.axes))

    def start_average(self) -> None:
        """Set the running average to the generator."""
        self.generator_ema.load_state_dict(self.generator.state_dict())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def stride(self) -> tuple[int, ...]:
        """Pixels (frames) for each latent position, per axis."""
        return self.generator.stride

    def latent_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Channels and grid of the latent field of a texture of `size` (frames and) pixels, rounded up."""
        return (self.design.latent_channels, *(-(-n // f) for n, f in zip(size, self.stride, strict=True)))

    def labelled(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """`b latent_channels *latent_grid` with `b labels` as further channels: the generator's input."""
        return z if labels is None else ops.append_labels(z, labels)

    def losses(
        self,
        x: Tensor,
        z: Tensor,
        noise: Tensor,
        objective: Objective = TRIANGLE,
        penalised: bool = False,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        below: Below | None = None,
        picture: Picture | None = None,
    ) -> Losses:
        """The terms that `objective` uses; others are not computed.

        x: `b channels *grid`, data in [-1, 1]. z: `m latent_channels *latent_grid`, drawn from p(z).
        noise: `b latent_channels *latent_grid`, standard normal, for z ~ q_phi(z|x). penalised: with gradient_norm.
        labels: `b labels`, of data and of generated textures (then m = b), where the model has several exemplars.
        mask: `b 1 *grid`, 1 where x is masked (an estimate), else 0: masked pixels do not enter the reconstruction.
        below: of a level, what it adds to: `b + m`, that of the data first. picture: what generated textures should
        show; it is part of the loss, and none of the terms.
        """
        passes = self._passes(x, z, noise, objective, labels, below)
        terms: dict[str, Tensor] = {}
        gradient_norm = x.new_zeros(())
        if passes.decoded is not None:
            seen = self.posterior.colours
            terms["reconstruction"] = reconstruction(seen(x), seen(passes.decoded), objective.sigma, mask)
        if passes.of_data and objective.prior:
            terms["prior"] = prior(*passes.of_data)
        if passes.of_generated:
            terms["latent"] = latent(z, *passes.of_generated)
        if objective.energy:
            enlarged = None if below is None else below.enlarged
            energies, gradient_norm = self._energies(x, passes.generated, objective, penalised, labels, enlarged)
            terms["energy_data"] = energies[: len(x)].mean()
            terms["energy_generated"] = -energies[len(x) :].mean()
        loss = _weighted_sum(x.new_zeros(()), terms, objective)
        if picture is not None:
            seen = self.posterior.colours
            shown = Picture(seen(picture.pixels), picture.known)
            loss = loss + objective.pieces * unlikeness(shown, seen(passes.generated), objective.sigma)
        decoded = None if passes.decoded is None else passes.decoded.detach()
        return Losses(loss, terms, decoded, gradient_norm)

    def _passes(
        self,
        x: Tensor,
        z: Tensor,
        noise: Tensor,
        objective: Objective,
        labels: Tensor | None,
        below: Below | None,
    ) -> Passes:
        """What generator and posterior make of data and draws."""
        generated = self.generator(self.labelled(z, labels))
        of_data, of_generated = self._posteriors(x, generated, objective)
        decoded = None
        if of_data and objective.reconstruction:
            encoded = draw_code(*of_data, noise, objective)
            # No axis wraps, because a crop of the data is no torus.
            decoded = self.generator(self.labelled(encoded, labels), (False,) * len(self.modality.axes))
        return Passes(generated, decoded, of_data, of_generated)

    def _posteriors(
        self, x: Tensor, generated: Tensor, objective: Objective
    ) -> tuple[Gaussian | None, Gaussian | None]:
        """q_phi of data and of generated textures, None where not used. One pass over both costs less than two."""
        inputs = [x] if encodes(objective) else []
        if objective.latent:
            inputs.append(generated if objective.latent_trains_generator else generated.detach())
        if not inputs:
            return None, None
        mean, log_variance = self.posterior(torch.cat(inputs))
        split = len(x) if encodes(objective) else 0
        of_data = (mean[:split], log_variance[:split]) if encodes(objective) else None
        return of_data, (mean[split:], log_variance[split:]) if objective.latent else None

    def _energies(
        self,
        x: Tensor,
        generated: Tensor,
        objective: Objective,
        penalised: bool,
        labels: Tensor | None,
        enlarged: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """f of data and of generated textures, `b + m`, and its mean squared gradient, 0 where not penalised.

        Alpha ascends what theta descends: with the gradient to theta reversed, one pass serves both.
        """
        both = torch.cat((x, _reverse_gradient(generated, objective.energy)))
        labels = None if labels is None else torch.cat((labels, labels))
        if not penalised:
            return self.energy(both, labels, enlarged=enlarged), x.new_zeros(())
        energies, gradient = self.energy.with_gradient(both, labels, enlarged)
        return energies, ops.to_float32(gradient).square().mean()


def encodes(objective: Objective) -> bool:
    """Whether data are encoded."""
    return bool(objective.reconstruction or objective.prior)


def draw_code(mean: Tensor, log_variance: Tensor, noise: Tensor, objective: Objective) -> Tensor:
    """z ~ q_phi(z|x), to be decoded."""
    encoded = mean + noise * (0.5 * log_variance).exp()
    return encoded if objective.reconstruction_trains_posterior else encoded.detach()


def _weighted_sum(loss: Tensor, terms: dict[str, Tensor], objective: Objective) -> Tensor:
    """`loss` and the terms with their weights. The weight of the energy terms for theta is in the reversed gradient."""
    for name in ("reconstruction", "prior", "latent"):
        if name in terms:
            loss = loss + getattr(objective, name) * terms[name]
    if "energy_data" in terms:
        loss = loss - terms["energy_data"] - terms["energy_generated"]
    return loss


class _GradientReversal(torch.autograd.Function):
    """The identity, whose gradient is multiplied by `-weight` (Ganin, Lempitsky 2015)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * -ctx.weight, None


_reverse_gradient: Callable[..., Tensor] = _GradientReversal.apply


def reconstruction(x: Tensor, decoded: Tensor, sigma: float, mask: Tensor | None = None) -> Tensor:
    """-log p_theta(x|z) up to its constant: |x - g(z)|^2 / (2 sigma^2), summed, averaged over the batch.

    mask: 1 at masked positions, which are left out (integrated out of p), else 0; broadcast to `x`.
    """
    error = (x - decoded).square()
    if mask is not None:
        error = error * (1 - mask)
    return error.flatten(1).sum(1).mean() / (2 * sigma**2)


def unlikeness(picture: Picture, generated: Tensor, sigma: float) -> Tensor:
    """-log N(means over blocks; those of a picture, sigma^2) where these are known, up to its constant, in all pixels.

    Finer detail is free, as draws differ from the codes that they are of.
    """
    sizes = [n // m for n, m in zip(generated.shape[2:], picture.pixels.shape[2:], strict=True)]
    error = (ops.block_mean(generated, sizes) - picture.pixels).square() * picture.known
    total: Tensor = math.prod(sizes) * error.flatten(1).sum(1).mean()
    return total / (2 * sigma**2)


def prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp log_variance) || N(0, I)), summed, averaged over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).flatten(1).sum(1).mean()


def latent(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log q_phi(z|x) up to its constant: 1/2 sum [(z - mean)^2 / V + log V], averaged over the batch."""
    return 0.5 * ((z - mean).square() * (-log_variance).exp() + log_variance).flatten(1).sum(1).mean()


def divergence(terms: dict[str, float], latent_size: int, size: int) -> float:
    """D in nats from the five terms: their sum less (d + dim x) / 2, for `latent_size` d and `size` dim x."""
    return sum(terms[name] for name in TERMS) - 0.5 * (latent_size + size)
