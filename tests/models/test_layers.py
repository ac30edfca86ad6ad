"""Convolutions on a torus, against what they must equal."""

import copy

import pytest
import torch
import torch.nn.functional as F

from texsyn.core import ops
from texsyn.models import im2col, layers
from texsyn.models.corrections import Equaliser

SHAPES = [
    ((4, 4), (2, 2)),
    ((5, 5), (2, 2)),
    ((3, 3), (1, 1)),
    ((4, 4, 4), (2, 2, 2)),
    ((3, 4, 4), (1, 2, 2)),
    ((5, 5, 5), (2, 2, 2)),
    ((1, 4, 4), (1, 4, 4)),
]


def up(kernel: tuple[int, ...], factor: tuple[int, ...]) -> layers.ConvTranspose:
    layer = layers.ConvTranspose(2, 3, kernel, factor, bias=True)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return layer.double()


def field(rank: int, size: int = 4) -> torch.Tensor:
    return torch.randn((2, 2, *(size,) * rank), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("kernel", "factor"), SHAPES)
def test_up_multiplies_every_size_wrapped_or_not(kernel, factor):
    x = field(len(kernel))
    for wrapped in (True, False):
        assert up(kernel, factor)(x, (wrapped,) * len(kernel)).shape[2:] == tuple(4 * f for f in factor)


@pytest.mark.parametrize(("kernel", "factor"), SHAPES)
def test_a_torus_equals_the_middle_of_its_many_copies(kernel, factor):
    rank = len(kernel)
    x, layer = field(rank), up(kernel, factor)
    around = layer(x.repeat(1, 1, *(3,) * rank), (False,) * rank)
    for axis, f in enumerate(factor, start=2):
        around = around.narrow(axis, 4 * f, 4 * f)
    torch.testing.assert_close(layer(x, (True,) * rank), around)


@pytest.mark.parametrize(("kernel", "factor"), SHAPES)
def test_shifting_the_field_shifts_the_texture(kernel, factor):
    rank = len(kernel)
    x, layer = field(rank), up(kernel, factor)
    for axis in range(rank):
        moved = layer(x.roll(1, axis + 2), (True,) * rank)
        torch.testing.assert_close(moved, layer(x, (True,) * rank).roll(factor[axis], axis + 2))


def test_unwrapped_up_is_torchs_transposed_convolution():
    layer, x = up((4, 4), (2, 2)), field(2)
    torch.testing.assert_close(layer(x, (False, False)), F.conv_transpose2d(x, layer.weight, layer.bias, 2, 1))


@pytest.mark.parametrize("rank", [2, 3])
def test_few_outputs_are_made_by_a_plain_convolution_to_the_same_end(rank):
    kernel, factor = (2, 4, 6)[:rank], (1, 2, 3)[:rank]
    layer, x = (
        layers.ConvTranspose(32, 3, kernel, factor, bias=False).double(),
        torch.randn(2, 32, *(5, 4, 3)[:rank]).double(),
    )
    torch.nn.init.normal_(layer.weight)
    assert layer.phased
    found = layer(x, (False,) * rank)
    layer.phased = False
    torch.testing.assert_close(found, layer(x, (False,) * rank))


@pytest.mark.parametrize("rank", [2, 3])
def test_in_half_precision_and_without_gradients_many_positions_are_made_in_phases(rank, monkeypatch):
    monkeypatch.setattr(layers, "_MANY", 2)
    layer = layers.ConvTranspose(8, 6, (4,) * rank, (2,) * rank, bias=True, smooth="before")
    torch.nn.init.normal_(layer.weight)
    layer.weight.data = layer.weight.data.bfloat16().float()
    x = torch.randn(1, 8, *(3, 4, 2)[:rank]).bfloat16().float()
    expected = layer(x, (True,) * rank)
    calls = []
    monkeypatch.setattr(
        layers, "_subpixel_conv", lambda *given, made=layers._subpixel_conv: calls.append(1) or made(*given)
    )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = layer(x, (True,) * rank)
    assert calls
    near = 0.02 * expected.detach().std().item()
    torch.testing.assert_close(found, expected, rtol=0.02, atol=near, check_dtype=False)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_wide_kernel_at_few_positions_is_a_product_of_matrices(rank, monkeypatch):
    kernel, factor = {2: ((12, 9), (3, 2)), 3: ((5, 6, 4), (2, 3, 1))}[rank]
    x = torch.randn(2, 3, *(n + 5 for n in kernel), dtype=torch.float64, requires_grad=True)

    def gradients() -> list[torch.Tensor]:
        """Of a value and of the squared slope, for a convolution and its transpose."""
        torch.manual_seed(0)
        down, raised = (
            layers.conv(3, 4, kernel, factor, padded=False),
            layers.ConvTranspose(4, 3, kernel, factor, bias=True),
        )
        down, raised = layers.channels_last(down.double(), rank), layers.channels_last(raised.double(), rank)
        torch.nn.init.normal_(raised.weight)
        out = down(x)
        again = raised(out, (False,) * rank)
        slope = layers.adjoint(down, torch.tanh(out), x.shape[2:])
        total = again.square().sum() + slope.square().sum()
        return [out, again, slope, *torch.autograd.grad(total, [x, *down.parameters(), *raised.parameters()])]

    found = gradients()
    monkeypatch.setattr(im2col, "few_positions", lambda *asked: False)
    for fast, plain in zip(found, gradients(), strict=True):
        torch.testing.assert_close(fast, plain)


def test_each_axis_wraps_by_itself():
    layer, x = up((4, 4), (2, 2)), field(2)
    both, rows = layer(x, (True, True)), layer(x, (True, False))
    torch.testing.assert_close(rows[..., 1:-1], both[..., 1:-1])
    assert not torch.allclose(rows[..., 0], both[..., 0])


def test_wrap_goes_round_a_torus_smaller_than_its_margin():
    x = torch.arange(3.0).view(1, 1, 3, 1)
    assert ops.pad(x, (5, 0), (True, True)).flatten().tolist() == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]


def test_unwrapped_axes_can_be_continued_by_their_rim():
    x = torch.arange(3.0).view(1, 1, 3, 1)
    assert ops.pad(x, (2, 0), (False, True)).flatten().tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_edges_keep_what_would_leave():
    """What a transposed convolution makes outside its grid is mirrored into it, so that nothing is lost at the rim."""
    for kernel, factor in SHAPES:
        layer, x = up(kernel, factor), field(len(kernel))
        layer.bias = None
        kept = [total(layer, x, edges) for edges in (False, True)]
        whole = layers._UP[len(kernel)](x, layer.weight, None, factor).sum()
        torch.testing.assert_close(kept[1], whole)
        assert kernel == factor or not torch.isclose(kept[0], whole)


def total(layer: layers.ConvTranspose, x: torch.Tensor, edges: bool) -> torch.Tensor:
    layer.edges = edges
    return layer(x, (False,) * (x.dim() - 2)).sum()


@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize(("kernel", "factor"), SHAPES)
def test_gradients_of_up_are_those_of_differences(kernel, factor, edges):
    layer = up(kernel, factor)
    layer.edges = edges
    x = field(len(kernel), 2).requires_grad_(True)
    for wrapped in ((True,) * len(kernel), (True, *(False,) * (len(kernel) - 1))):
        assert torch.autograd.gradcheck(lambda x, w=wrapped: layer(x, w), x, fast_mode=True)


@pytest.mark.parametrize("axes", [(True, True), (False, True), (False, True, True)])
def test_the_mean_of_neighbours_and_its_gradients_are_those_of_differences(axes):
    x = field(len(axes), 3).requires_grad_(True)
    found = ops.mean_of_two(x, axes)
    assert found.shape[2:] == tuple(n + chosen for n, chosen in zip(x.shape[2:], axes, strict=True))
    torch.testing.assert_close(found.sum(), x.sum())
    assert torch.autograd.gradcheck(lambda x: ops.mean_of_two(x, axes), x)
    assert torch.autograd.gradgradcheck(lambda x: ops.mean_of_two(x, axes).square(), x)


def test_a_filter_goes_round_a_torus_and_leaves_all_alone_at_first():
    layer = Equaliser(3, (3, 5)).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x, (True, True)), x)
    layer.kernel.copy_(torch.randn(3, 3, 3, 5))
    layer.offset.copy_(torch.randn(3))
    torch.testing.assert_close(layer(x.roll((1, 2), (2, 3)), (True, True)), layer(x, (True, True)).roll((1, 2), (2, 3)))
    expected = F.conv2d(F.pad(x, (2, 2, 1, 1), mode="replicate"), layer.kernel, layer.offset)
    torch.testing.assert_close(layer(x, (False, False)), expected)


def test_a_norm_in_place_is_the_norm():
    norm, x = layers.BatchNorm(2).double().eval(), field(3)
    for values in (*norm.parameters(), norm.running_mean):
        torch.nn.init.normal_(values)
    wanted = norm(x)  # with gradients, by PyTorch
    with torch.no_grad():
        found = norm(x)
    assert found is x  # what it gets is not kept
    torch.testing.assert_close(found, wanted)


def test_a_clip_of_one_frame_is_a_still():
    flat, deep = up((4, 4), (2, 2)), up((1, 4, 4), (1, 2, 2))
    deep.load_state_dict({"weight": flat.weight[:, :, None], "bias": flat.bias})
    x = field(2)
    torch.testing.assert_close(deep(x[:, :, None], (True,) * 3)[:, :, 0], flat(x, (True, True)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "factor"), SHAPES)
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 8), (5, 16), (24, 3)])
def test_every_layer_agrees_with_double_precision(kernel, factor, inputs, outputs, dtype):
    """Guards against kernels that are wrong for one shape or type: they exist (see layers.Blocks and layers.Up)."""
    random = torch.Generator().manual_seed(0)
    rank = len(kernel)
    down, rise = (
        layers.conv(inputs, outputs, kernel, factor),
        layers.ConvTranspose(inputs, outputs, kernel, factor, bias=False),
    )
    for wrapped in ((True,) * rank, (True, *(False,) * (rank - 1))):
        for layer, size, call in (
            (down, tuple(4 * f for f in factor), lambda network, x: network(x)),
            (rise, (4,) * rank, lambda network, x, wrapped=wrapped: network(x, wrapped)),
        ):
            with torch.no_grad():
                for parameter in layer.parameters():
                    parameter.copy_(torch.randn(parameter.shape, generator=random))
            x = torch.randn((2, inputs, *size), generator=random)
            exact, found = (gradients(layer, call, x, kind) for kind in (torch.float64, dtype))
            for one, other in zip(exact, found, strict=True):
                assert (one - other).abs().max() <= (1e-4 if dtype is torch.float32 else 0.05) * one.abs().max()


def gradients(layer, call, x, dtype):
    layer = copy.deepcopy(layer).to(dtype)
    x = x.to(dtype).requires_grad_(True)
    out = call(layer, x)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    return [out.detach().double()] + [g.double() for g in torch.autograd.grad((out * weights).sum(), [x, layer.weight])]


def test_coordinates_run_from_minus_one_to_one_along_the_chosen_axes():
    maps = ops.coordinates(torch.zeros(2, 3, 4, 5, 6), (False, True, True))
    assert maps.shape == (2, 2, 4, 5, 6)
    assert maps[0, 0, 0, :, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert maps[1, 1, 3, 2, 0] == -1
    assert maps[1, 1, 3, 2, -1] == 1
