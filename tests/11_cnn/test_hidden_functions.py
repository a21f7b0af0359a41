"""An operation with a backward pass of its own, and convolutions, against torch's own in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autograder.checking import assert_close, assert_gradients, assert_stable, assert_unchanged, fail


def normal(rng, *shape):
    """Normal random numbers in float64."""
    return torch.tensor(rng.normal(size=shape))


def vjp(student, function, inputs, upstream):
    """(value, gradients with respect to all inputs), by the student's autograd."""
    return student.value("torch").autograd.functional.vjp(function, tuple(inputs), upstream)


def expected_gradients(function, inputs, upstream):
    """The same with torch's own functions here."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    return torch.autograd.grad(function(*leaves), leaves, upstream)


def plain_swish(x):
    """x sigmoid(x)."""
    return x * torch.sigmoid(x)


# --- swish
@pytest.mark.question("swish")
def test_swish_values(student, rng):
    """The values are x sigmoid(x), for tensors of any shape, and x is not modified."""
    for shape in ((6,), (3, 4), (2, 1, 3, 2), ()):
        x = 3 * normal(rng, *shape)
        out = assert_unchanged(student.swish, x)
        assert_close(out, plain_swish(x).numpy(), what=f"swish of a tensor of shape {shape}")


@pytest.mark.question("swish", weight=2)
def test_swish_gradient(student, rng):
    """The gradient is that of the definition, times the upstream gradient."""
    for shape in ((7,), (3, 5), (2, 2, 3, 2)):
        x, dout = 2 * normal(rng, *shape), normal(rng, *shape)
        _, (dx,) = vjp(student, student.value("swish"), [x], dout)
        (expected,) = expected_gradients(plain_swish, [x], dout)
        hint = "f' = s + x s (1 - s), and dx = dout f'."
        assert_close(dx, expected.numpy(), what="dx", hint=hint)


@pytest.mark.question("swish")
def test_swish_differences(student, rng):
    """The gradient agrees with finite differences."""
    x, dout = normal(rng, 4, 3), normal(rng, 4, 3)
    _, (dx,) = vjp(student, student.value("swish"), [x], dout)
    assert_gradients({"x": dx.numpy()}, lambda x: x / (1 + np.exp(-x)), {"x": x.numpy()}, dout.numpy())


@pytest.mark.question("swish")
def test_swish_large(student):
    """Large numbers of either sign give no NaN, forward and backward."""
    x = torch.tensor([-800.0, -40.0, 40.0, 800.0], dtype=torch.float64)
    assert_stable(student.swish(x), np.array([0.0, -40 * np.exp(-40), 40.0, 800.0]), what="the values")
    _, (dx,) = vjp(student, student.value("swish"), [x], torch.ones(4, dtype=torch.float64))
    assert_stable(dx, np.array([0.0, 0.0, 1.0, 1.0]), what="dx")


@pytest.mark.question("swish")
def test_swish_in_a_mean(student, rng):
    """It works on views, and in float32."""
    x, dout = normal(rng, 5, 4), normal(rng, 5, 4)
    function = student.on_views(student.value("swish"))
    _, (dx,) = vjp(student, function, [x], dout)
    assert_close(dx, expected_gradients(plain_swish, [x], dout)[0].numpy(), what="dx of a view")
    _, (dx,) = vjp(student, student.value("swish"), [x.float()], dout.float())
    assert_close(
        dx, expected_gradients(plain_swish, [x], dout)[0].numpy(), rtol=1e-4, atol=1e-5, what="dx in float32"
    )


# --- sizes
@pytest.mark.question("output_size", weight=3)
def test_output_size(student, rng):
    """The length is that of a convolution's output, for every combination of options."""
    for _ in range(60):
        kernel, stride, padding, dilation = (int(rng.integers(low, 5)) for low in (1, 1, 0, 1))
        size = int(rng.integers(dilation * (kernel - 1) + 1, 25))
        expected = F.conv1d(
            torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), None, stride, padding, dilation
        )
        what = f"output_size({size}, {kernel}, {stride}, {padding}, {dilation})"
        result = student.output_size(size, kernel, stride, padding, dilation)
        if not isinstance(result, int | np.integer):
            fail("output_size should return an int.", value=result)
        assert_close(
            result, expected.shape[2], what=what, hint="Round down; a dilated filter spans d (k - 1) + 1."
        )


@pytest.mark.question("output_size")
def test_output_size_defaults(student):
    """Without options the stride is 1, and there is no padding and no dilation."""
    for size, kernel in ((5, 5), (9, 2), (1, 1)):
        assert_close(
            student.output_size(size, kernel), size - kernel + 1, what=f"output_size({size}, {kernel})"
        )
    assert_close(student.output_size(10, 3, padding=1), 10, what="a kernel of 3 with a padding of 1")


# --- by unfold. N, C, H, W, filters, kh, kw
SHAPES = [(2, 3, 7, 6, 4, 3, 3), (1, 1, 5, 8, 2, 2, 3), (3, 2, 6, 6, 1, 1, 1), (2, 4, 5, 5, 6, 5, 4)]
GIVEN = ["output_size"]


def draw(rng, N, C, H, W, filters, kh, kw, groups=1):
    """x, w, b."""
    return normal(rng, N, C, H, W), normal(rng, filters, C // groups, kh, kw), normal(rng, filters)


def check_conv(student, rng, shape, hint="", **options):
    """conv2d_unfold equals F.conv2d."""
    x, w, b = draw(rng, *shape, groups=options.get("groups", 1))
    out = student.conv2d_unfold(x, w, b, **options)
    what = f"the output with {options}" if options else "the output"
    assert_close(out, F.conv2d(x, w, b, **options).numpy(), what=what, hint=hint)


@pytest.mark.question("conv2d_unfold", weight=2, given=GIVEN)
def test_conv2d_unfold_values(student, rng):
    """Without options the output is that of F.conv2d, for images and filters that need not be square."""
    for shape in SHAPES:
        check_conv(student, rng, shape, "unfold gives the windows as columns: w as a matrix times these.")


@pytest.mark.question("conv2d_unfold", weight=2, given=GIVEN)
def test_conv2d_unfold_stride_padding(student, rng):
    """Strides and paddings, also such that a rest of the image is left over."""
    for shape in SHAPES[:3]:
        for stride, padding in ((2, 0), (1, 2), (3, 1), (2, 3)):
            check_conv(student, rng, shape, stride=stride, padding=padding)


@pytest.mark.question("conv2d_unfold", given=GIVEN)
def test_conv2d_unfold_dilation(student, rng):
    """Filters with holes, alone and together with stride and padding."""
    for options in (
        {"dilation": 2},
        {"dilation": 3, "padding": 3},
        {"dilation": 2, "stride": 2, "padding": 1},
    ):
        check_conv(student, rng, (2, 2, 9, 8, 3, 3, 2), **options)


@pytest.mark.question("conv2d_unfold", weight=2, given=GIVEN)
def test_conv2d_unfold_groups(student, rng):
    """Groups of channels with filters of their own, down to one channel for each."""
    hint = "The filters of group g see the channels of group g only; w has C // groups channels."
    for shape, groups in (((2, 4, 6, 5, 6, 3, 2), 2), ((2, 3, 5, 5, 3, 3, 3), 3), ((1, 6, 4, 4, 4, 2, 2), 2)):
        check_conv(student, rng, shape, hint, groups=groups)
        check_conv(student, rng, shape, hint, groups=groups, stride=2, padding=1)


@pytest.mark.question("conv2d_unfold", given=GIVEN)
def test_conv2d_unfold_views(student, rng):
    """Where the numbers lie in memory does not matter, and nothing is modified."""
    for options in ({}, {"stride": 2, "padding": 1}):
        x, w, b = draw(rng, 2, 3, 6, 7, 4, 3, 3)
        expected = F.conv2d(x, w, b, **options).numpy()
        out = student.on_views(student.value("conv2d_unfold"))(x, w, b, **options)
        assert_close(out, expected, what="the output for views", hint="reshape copes where view fails.")
        assert_close(assert_unchanged(student.conv2d_unfold, x, w, b, **options), expected, what="the output")


@pytest.mark.question("conv2d_unfold", given=GIVEN)
def test_conv2d_unfold_gradients(student, rng):
    """Autograd can go back through it, to x, w and b."""
    options = {"stride": 2, "padding": 1, "groups": 2}
    x, w, b = draw(rng, 2, 4, 6, 5, 4, 3, 3, groups=2)
    dout = normal(rng, *F.conv2d(x, w, b, **options).shape)
    function = student.partial(student.value("conv2d_unfold"), **options)
    _, found = vjp(student, function, [x, w, b], dout)
    expected = expected_gradients(lambda *inputs: F.conv2d(*inputs, **options), [x, w, b], dout)
    for name, got, wanted in zip(("x", "w", "b"), found, expected, strict=True):
        assert_close(got, wanted.numpy(), what=f"the gradient with respect to {name}")


@pytest.mark.question("conv2d_unfold", given=GIVEN)
def test_conv2d_unfold_by_itself(student, rng):
    """It needs no convolution of torch, which is switched off in this test."""
    x, w, b = draw(rng, 2, 3, 6, 6, 4, 3, 3)
    expected = F.conv2d(x, w, b, padding=1).numpy()
    there = student.value("torch")
    places = [(there.nn.functional, "conv2d"), (there, "conv2d"), (there, "convolution")]
    originals = [getattr(place, name) for place, name in places]
    try:
        for place, name in places:
            setattr(place, name, None)
        out = student.conv2d_unfold(x, w, b, padding=1)
    finally:
        for (place, name), original in zip(places, originals, strict=True):
            setattr(place, name, original)
    assert_close(out, expected, what="the output", hint="unfold, then a matrix product.")


# --- as a Function. shape, stride, padding
CASES = [
    ((2, 3, 6, 7, 4, 3, 3), 1, 0),
    ((1, 2, 7, 6, 3, 3, 2), 2, 1),
    ((2, 1, 8, 5, 2, 2, 4), 3, 2),
    ((3, 2, 5, 5, 1, 5, 5), 1, 2),
    ((1, 4, 4, 4, 2, 1, 1), 2, 0),
]


def both_gradients(student, rng, shape, stride, padding, views=False):
    """The student's gradients of conv2d, and torch's."""
    x, w, b = draw(rng, *shape)

    def ours(x, w, b):
        return F.conv2d(x, w, b, stride, padding)

    dout = normal(rng, *ours(x, w, b).shape)
    function = student.partial(student.value("conv2d"), stride=stride, padding=padding)
    out, found = vjp(student, student.on_views(function) if views else function, [x, w, b], dout)
    assert_close(out, ours(x, w, b).numpy(), what="the output")
    return found, expected_gradients(ours, [x, w, b], dout)


def check_gradients(found, expected, names, where="", **tolerance):
    """Those of the gradients that are asked for."""
    hints = {
        "x": "F.fold of W^T dout, with the same stride and padding.",
        "w": "dout times the columns, transposed, summed over the images.",
        "b": "dout summed over images and places.",
    }
    for name, got, wanted in zip("xwb", found, expected, strict=True):
        if name in names:
            assert_close(got, wanted.numpy(), what=f"d{name}{where}", hint=hints[name], **tolerance)


@pytest.mark.question("conv2d_function")
def test_conv2d_function_forward(student, rng):
    """The forward pass is a convolution, and modifies nothing."""
    for shape, stride, padding in CASES:
        x, w, b = draw(rng, *shape)
        out = assert_unchanged(student.conv2d, x, w, b, stride, padding)
        assert_close(out, F.conv2d(x, w, b, stride, padding).numpy(), what="the output")


@pytest.mark.question("conv2d_function", weight=2)
@pytest.mark.parametrize("name", "xwb")
def test_conv2d_function_gradients(student, rng, name):
    """The gradient is that of F.conv2d, for strides and paddings that differ, in every element."""
    for shape, stride, padding in CASES:
        found, expected = both_gradients(student, rng, shape, stride, padding)
        check_gradients(found, expected, name, f" with stride {stride} and padding {padding}")


@pytest.mark.question("conv2d_function")
def test_conv2d_function_differences(student, rng):
    """The gradients agree with finite differences."""
    x, w, b = draw(rng, 1, 2, 5, 4, 2, 3, 2)
    dout = normal(rng, *F.conv2d(x, w, b, 2, 1).shape)
    function = student.partial(student.value("conv2d"), stride=2, padding=1)
    _, found = vjp(student, function, [x, w, b], dout)

    def of(**arrays):
        return F.conv2d(*(torch.tensor(arrays[name]) for name in "xwb"), 2, 1).numpy()

    gradients = {name: each.numpy() for name, each in zip("xwb", found, strict=True)}
    assert_gradients(gradients, of, {"x": x.numpy(), "w": w.numpy(), "b": b.numpy()}, dout.numpy())


@pytest.mark.question("conv2d_function")
def test_conv2d_function_views(student, rng):
    """The gradients of views are right as well."""
    for shape, stride, padding in CASES[:3]:
        found, expected = both_gradients(student, rng, shape, stride, padding, views=True)
        check_gradients(found, expected, "xwb", " of views")


def layers(student, rng, *arguments, **options):
    """The student's ConvLayer and torch's Conv2d with the same weights, in float64."""
    theirs, ours = (
        student.ConvLayer(*arguments, **options).double(),
        torch.nn.Conv2d(*arguments, **options).double(),
    )
    state = {"weight": 0.3 * normal(rng, *ours.weight.shape), "bias": normal(rng, *ours.bias.shape)}
    theirs.load_state_dict(state)
    ours.load_state_dict(state)
    return theirs, ours


@pytest.mark.question("conv2d_function")
@pytest.mark.parametrize("same", [True, False])
def test_conv2d_function_twice(student, rng, same):
    """Twice in one graph, as one layer or as two: each backward pass finds what its own forward pass kept."""
    first = layers(student, rng, 2, 2, 3, padding=1)
    second = first if same else layers(student, rng, 2, 2, 3, padding=1)
    x, dout = normal(rng, 2, 2, 5, 6), normal(rng, 2, 2, 5, 6)
    nn = student.value("torch").nn
    out, (dx,) = vjp(student, nn.Sequential(first[0], nn.Tanh(), second[0]), [x], dout)
    ours = torch.nn.Sequential(first[1], torch.nn.Tanh(), second[1])
    assert_close(out, ours(x).detach().numpy(), what="the output of two convolutions")
    (expected,) = expected_gradients(ours, [x], dout)
    hint = "ctx belongs to one use; a global or an attribute of the class to all of them."
    assert_close(dx, expected.numpy(), what="dx through two convolutions", hint=hint)


@pytest.mark.question("conv2d_function")
def test_conv2d_function_upstream_view(student, rng):
    """The upstream gradient may be a view, its numbers in another order in memory."""
    for shape, stride, padding in CASES[:3]:
        inputs = draw(rng, *shape)
        function = student.turned(student.partial(student.value("conv2d"), stride=stride, padding=padding))

        def ours(*inputs, options=(stride, padding)):
            return F.conv2d(*inputs, *options).mT

        upstream = normal(rng, *ours(*inputs).shape)
        _, found = vjp(student, function, inputs, upstream)
        check_gradients(found, expected_gradients(ours, inputs, upstream), "xwb", " with an upstream view")


@pytest.mark.question("conv2d_function")
def test_conv2d_function_float32(student, rng):
    """Gradients in float32, and where only x needs one."""
    x, w, b = draw(rng, 2, 2, 6, 6, 3, 3, 3)
    dout = normal(rng, 2, 3, 4, 4)
    expected = expected_gradients(F.conv2d, [x, w, b], dout)
    _, found = vjp(student, student.value("conv2d"), [x.float(), w.float(), b.float()], dout.float())
    check_gradients(found, expected, "xwb", " in float32", rtol=1e-3, atol=1e-4)
    function = student.partial(student.value("conv2d"), w=w, b=b)
    _, (dx,) = vjp(student, function, [x], dout)
    assert_close(dx, expected[0].numpy(), what="dx, where w and b need no gradient")
