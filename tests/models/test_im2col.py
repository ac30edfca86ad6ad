"""Convolutions as matrix products, against PyTorch's convolutions."""

import pytest
import torch

from texsyn.models import im2col, layers


@pytest.mark.parametrize("rank", [2, 3])
def test_a_wide_kernel_at_few_positions_is_a_product_of_matrices(rank, monkeypatch):
    kernel, stride = {2: ((12, 9), (3, 2)), 3: ((5, 6, 4), (2, 3, 1))}[rank]
    x = torch.randn(2, 3, *(n + 5 for n in kernel), dtype=torch.float64, requires_grad=True)

    def outputs_and_gradients() -> list[torch.Tensor]:
        """Of a convolution, its transpose and its gradient with respect to the input."""
        torch.manual_seed(0)
        down, up = (
            layers.conv(3, 4, kernel, stride, padded=False),
            layers.ConvTranspose(4, 3, kernel, stride, bias=True),
        )
        for layer in (down, up):
            layers.channels_last(layer.double(), rank)
        torch.nn.init.normal_(up.weight)
        out = down(x)
        again = up(out, (False,) * rank)
        gradient = layers.conv_backward(down, torch.tanh(out), x.shape[2:])
        total = again.square().sum() + gradient.square().sum()
        return [out, again, gradient, *torch.autograd.grad(total, [x, *down.parameters(), *up.parameters()])]

    products = outputs_and_gradients()
    monkeypatch.setattr(im2col, "few_positions", lambda *asked: False)
    for product, plain in zip(products, outputs_and_gradients(), strict=True):
        torch.testing.assert_close(product, plain)
