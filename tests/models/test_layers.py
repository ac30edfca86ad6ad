"""Convolutions on a torus, against what they must equal; norms."""

import copy

import pytest
import torch
import torch.nn.functional as F

from texsyn.models import layers

SHAPES = [
    ((4, 4), (2, 2)),
    ((5, 5), (2, 2)),
    ((3, 3), (1, 1)),
    ((4, 4, 4), (2, 2, 2)),
    ((3, 4, 4), (1, 2, 2)),
    ((5, 5, 5), (2, 2, 2)),
    ((1, 4, 4), (1, 4, 4)),
]


def up(kernel: tuple[int, ...], stride: tuple[int, ...]) -> layers.ConvTranspose:
    layer = layers.ConvTranspose(2, 3, kernel, stride, bias=True)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return layer.double()


def field(rank: int, size: int = 4) -> torch.Tensor:
    return torch.randn((2, 2, *(size,) * rank), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
def test_a_transposed_convolution_multiplies_every_size_wrapped_or_not(kernel, stride):
    x = field(len(kernel))
    for wrapped in (True, False):
        assert up(kernel, stride)(x, (wrapped,) * len(kernel)).shape[2:] == tuple(4 * f for f in stride)


@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
def test_a_torus_equals_the_middle_of_its_many_copies(kernel, stride):
    rank = len(kernel)
    x, layer = field(rank), up(kernel, stride)
    around = layer(x.repeat(1, 1, *(3,) * rank), (False,) * rank)
    for axis, f in enumerate(stride, start=2):
        around = around.narrow(axis, 4 * f, 4 * f)
    torch.testing.assert_close(layer(x, (True,) * rank), around)


@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
def test_shifting_the_field_shifts_the_texture(kernel, stride):
    rank = len(kernel)
    x, layer = field(rank), up(kernel, stride)
    for axis in range(rank):
        moved = layer(x.roll(1, axis + 2), (True,) * rank)
        torch.testing.assert_close(moved, layer(x, (True,) * rank).roll(stride[axis], axis + 2))


def test_without_wrapping_it_is_torchs_transposed_convolution():
    layer, x = up((4, 4), (2, 2)), field(2)
    torch.testing.assert_close(layer(x, (False, False)), F.conv_transpose2d(x, layer.weight, layer.bias, 2, 1))


@pytest.mark.parametrize("rank", [2, 3])
def test_the_subpixel_form_for_few_outputs_is_the_same_layer(rank):
    kernel, stride = (2, 4, 6)[:rank], (1, 2, 3)[:rank]
    layer, x = (
        layers.ConvTranspose(32, 3, kernel, stride, bias=False).double(),
        torch.randn(2, 32, *(5, 4, 3)[:rank]).double(),
    )
    torch.nn.init.normal_(layer.weight)
    assert layer.always_subpixel
    out = layer(x, (False,) * rank)
    layer.always_subpixel = False
    torch.testing.assert_close(out, layer(x, (False,) * rank))


@pytest.mark.parametrize("rank", [2, 3])
def test_many_positions_in_half_precision_and_without_gradients_take_the_subpixel_form(rank, monkeypatch):
    monkeypatch.setattr(layers, "_MANY_POSITIONS", 2)
    layer = layers.ConvTranspose(8, 6, (4,) * rank, (2,) * rank, bias=True, blur="before")
    torch.nn.init.normal_(layer.weight)
    layer.weight.data = layer.weight.data.bfloat16().float()
    x = torch.randn(1, 8, *(3, 4, 2)[:rank]).bfloat16().float()
    expected = layer(x, (True,) * rank)
    calls = []
    subpixel_conv = layers._subpixel_conv
    monkeypatch.setattr(layers, "_subpixel_conv", lambda *given: calls.append(1) or subpixel_conv(*given))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = layer(x, (True,) * rank)
    assert calls
    near = 0.02 * expected.detach().std().item()
    torch.testing.assert_close(out, expected, rtol=0.02, atol=near, check_dtype=False)


def test_each_axis_wraps_by_itself():
    layer, x = up((4, 4), (2, 2)), field(2)
    both, rows = layer(x, (True, True)), layer(x, (True, False))
    torch.testing.assert_close(rows[..., 1:-1], both[..., 1:-1])
    assert not torch.allclose(rows[..., 0], both[..., 0])


def test_reflecting_keeps_what_cropping_loses():
    """What a transposed convolution adds beyond its grid is reflected into it."""
    for kernel, stride in SHAPES:
        layer, x = up(kernel, stride), field(len(kernel))
        layer.bias = None
        cropped, reflected = (total(layer, x, reflect) for reflect in (False, True))
        whole = layers._CONV_TRANSPOSE[len(kernel)](x, layer.weight, None, stride).sum()
        torch.testing.assert_close(reflected, whole)
        assert kernel == stride or not torch.isclose(cropped, whole)


def total(layer: layers.ConvTranspose, x: torch.Tensor, reflect: bool) -> torch.Tensor:
    layer.reflect = reflect
    return layer(x, (False,) * (x.dim() - 2)).sum()


@pytest.mark.parametrize("reflect", [True, False])
@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
def test_gradients_are_those_of_differences(kernel, stride, reflect):
    layer = up(kernel, stride)
    layer.reflect = reflect
    x = field(len(kernel), 2).requires_grad_(True)
    for wrapped in ((True,) * len(kernel), (True, *(False,) * (len(kernel) - 1))):
        assert torch.autograd.gradcheck(lambda x, w=wrapped: layer(x, w), x, fast_mode=True)


def test_a_norm_in_place_is_the_norm():
    norm, x = layers.BatchNorm(2).double().eval(), field(3)
    for values in (*norm.parameters(), norm.running_mean):
        torch.nn.init.normal_(values)
    expected = norm(x)  # with gradients, by PyTorch
    with torch.no_grad():
        out = norm(x)
    assert out is x  # the input is not kept
    torch.testing.assert_close(out, expected)


def test_a_clip_of_one_frame_is_a_still():
    flat, deep = up((4, 4), (2, 2)), up((1, 4, 4), (1, 2, 2))
    deep.load_state_dict({"weight": flat.weight[:, :, None], "bias": flat.bias})
    x = field(2)
    torch.testing.assert_close(deep(x[:, :, None], (True,) * 3)[:, :, 0], flat(x, (True, True)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 8), (5, 16), (24, 3)])
def test_every_layer_agrees_with_double_precision(kernel, stride, inputs, outputs, dtype):
    """Guards against kernels that are wrong for one shape or type: they exist (see PatchConv and ConvTranspose)."""
    random = torch.Generator().manual_seed(0)
    rank = len(kernel)
    down, rising = (
        layers.conv(inputs, outputs, kernel, stride),
        layers.ConvTranspose(inputs, outputs, kernel, stride, bias=False),
    )
    for wrapped in ((True,) * rank, (True, *(False,) * (rank - 1))):
        for layer, size, call in (
            (down, tuple(4 * f for f in stride), lambda network, x: network(x)),
            (rising, (4,) * rank, lambda network, x, wrapped=wrapped: network(x, wrapped)),
        ):
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=random))
            x = torch.randn((2, inputs, *size), generator=random)
            exact, rounded = (gradients(layer, call, x, kind) for kind in (torch.float64, dtype))
            for one, other in zip(exact, rounded, strict=True):
                assert (one - other).abs().max() <= (1e-4 if dtype is torch.float32 else 0.05) * one.abs().max()


def gradients(layer, call, x, dtype):
    layer = copy.deepcopy(layer).to(dtype)
    x = x.to(dtype).requires_grad_(True)
    out = call(layer, x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    return [out.detach().double()] + [g.double() for g in torch.autograd.grad((out * weights).sum(), [x, layer.weight])]
