"""Adam (Kingma, Ba 2015) by PyTorch's fused kernel, on contiguous views of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from texsyn.core import ops
from texsyn.core.recipes import Recipe

_EPSILON = 1e-8


class Adam:
    """The optimiser of one network. All its tensors are there from the beginning, so a state always has the same.

    `torch.optim.Adam` computes the same with the same kernel, but loads a compiler first: some 3 s of each start.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.parameters = list(network.parameters())
        # On CPU the fused kernel copies what is not contiguous, there and back: three quarters of its time.
        self.views = [p.detach().permute(ops.memory_order(p)) for p in self.parameters]
        self.steps = [torch.zeros((), device=view.device) for view in self.views]
        self.means = [torch.zeros_like(view) for view in self.views]
        self.squares = [torch.zeros_like(view) for view in self.views]
        self.rate = recipe.learning_rate
        self.betas, self.weight_decay = (recipe.beta1, recipe.beta2), recipe.weight_decay

    def tensors(self, index: int) -> dict[str, Tensor]:
        """What is kept of parameter number `index`, laid out as its view."""
        return {"step": self.steps[index], "exp_avg": self.means[index], "exp_avg_sq": self.squares[index]}

    @torch.no_grad()
    def descend(self, rate: float) -> None:
        """One step along the gradients of the parameters that have one."""
        self.rate = rate
        moved = [(n, p, p.grad) for n, p in enumerate(self.parameters) if p.grad is not None]
        gradients = [gradient.permute(ops.memory_order(p)).contiguous() for _, p, gradient in moved]
        views, means, squares, steps = (
            [values[n] for n, _, _ in moved] for values in (self.views, self.means, self.squares, self.steps)
        )
        adam(
            views,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=rate,
            weight_decay=self.weight_decay,
            eps=_EPSILON,
            maximize=False,
        )
