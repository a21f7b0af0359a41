"""What goes wrong in convolutional networks with PyTorch: small wrong versions of one function each."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from autograder.checking import mistake

# The right versions, under names that a mistake does not replace.
right_output_size = output_size
right_conv2d_unfold = conv2d_unfold
right_conv_backward = Convolution.backward
right_build_cnn = build_cnn
right_random_shift = random_shift
right_affine_matrices = affine_matrices
right_augment = augment
right_digit_cnn = digit_cnn


# --- swish


@mistake(
    "swish",
    "The backward pass returns s (1 - s), the derivative of the sigmoid alone.",
    replaces="Swish.backward",
)
def swish_derivative_of_sigmoid(ctx, dout):
    (x,) = ctx.saved_tensors
    s = torch.sigmoid(x)
    return dout * s * (1 - s)


@mistake(
    "swish",
    "The derivative lacks its second part: x also stands inside of the sigmoid.",
    replaces="Swish.backward",
)
def swish_derivative_without_inner(ctx, dout):
    (x,) = ctx.saved_tensors
    return dout * torch.sigmoid(x)


@mistake("swish", "The derivative lacks its first part, that of the factor x.", replaces="Swish.backward")
def swish_derivative_without_outer(ctx, dout):
    (x,) = ctx.saved_tensors
    s = torch.sigmoid(x)
    return dout * x * s * (1 - s)


@mistake("swish", "The derivative is not multiplied with the upstream gradient.", replaces="Swish.backward")
def swish_without_upstream(ctx, dout):
    (x,) = ctx.saved_tensors
    s = torch.sigmoid(x)
    return s * (1 + x * (1 - s))


@mistake(
    "swish",
    "The sigmoid is computed as exp(x) / (1 + exp(x)), which is inf / inf for large x.",
    replaces="Swish.forward",
    family="unstable",
)
def swish_overflows(ctx, x):
    ctx.save_for_backward(x)
    return x * torch.exp(x) / (1 + torch.exp(x))


@mistake("swish", "This is the sigmoid itself: the factor x is missing.", replaces="Swish.forward")
def swish_without_factor(ctx, x):
    ctx.save_for_backward(x)
    return torch.sigmoid(x)


@mistake("swish", "x is changed in place: the caller still needs it.", replaces="Swish.forward")
def swish_in_place(ctx, x):
    ctx.save_for_backward(x.clone())
    x.data.mul_(torch.sigmoid(x))
    return x.clone()


# --- sizes


@mistake("output_size", "The padding is counted once: it is added on both sides.")
def size_padding_once(size, kernel, stride=1, padding=0, dilation=1):
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


@mistake("output_size", "The result is rounded up: a filter that does not fit any more gives no output.")
def size_rounded_up(size, kernel, stride=1, padding=0, dilation=1):
    return -(-(size + 2 * padding - dilation * (kernel - 1) - 1) // stride) + 1


@mistake("output_size", "The + 1 is missing: the first place counts too.", family="offset")
def size_without_first_place(size, kernel, stride=1, padding=0, dilation=1):
    return right_output_size(size, kernel, stride, padding, dilation) - 1


@mistake("output_size", "A dilated filter spans d (k - 1) + 1 pixels, not d k.")
def size_dilation_times_kernel(size, kernel, stride=1, padding=0, dilation=1):
    return (size + 2 * padding - dilation * kernel) // stride + 1


@mistake("output_size", "The dilation is not taken into account.")
def size_without_dilation(size, kernel, stride=1, padding=0, dilation=1):
    return right_output_size(size, kernel, stride, padding)


@mistake("output_size", "The result is a float: use integer division.")
def size_as_float(size, kernel, stride=1, padding=0, dilation=1):
    return float(right_output_size(size, kernel, stride, padding, dilation))


# --- by unfold


@mistake("conv2d_unfold", "The bias is missing.", family="shifted")
def unfold_without_bias(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    return right_conv2d_unfold(x, w, torch.zeros_like(b), stride, padding, dilation, groups)


@mistake(
    "conv2d_unfold",
    "The filters are turned by 180°: what deep learning calls a convolution does not flip them.",
)
def unfold_flips_filters(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    return right_conv2d_unfold(x, w.flip(2, 3), b, stride, padding, dilation, groups)


@mistake("conv2d_unfold", "Height and width of the filter are exchanged.")
def unfold_transposes_filters(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    out = right_conv2d_unfold(x, w, b, stride, padding, dilation, groups)
    if w.shape[2] != w.shape[3]:
        raise RuntimeError("size mismatch")
    return right_conv2d_unfold(x, w.mT, b, stride, padding, dilation, groups) + 0 * out


@mistake(
    "conv2d_unfold",
    "Stride and padding reach F.unfold in each other's place: it takes dilation, padding, stride.",
)
def unfold_exchanges_options(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    return right_conv2d_unfold(x, w, b, max(padding, 1), stride if stride > 1 else padding, dilation, groups)


@mistake("conv2d_unfold", "The dilation is not handed on to F.unfold.")
def unfold_without_dilation(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    return right_conv2d_unfold(x, w, b, stride, padding, 1, groups)


@mistake(
    "conv2d_unfold", "The groups are wrong: every group of filters sees the channels of the first group."
)
def unfold_first_group_for_all(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    part = x[:, : x.shape[1] // groups]
    return right_conv2d_unfold(part.repeat(1, groups, 1, 1), w, b, stride, padding, dilation, groups)


@mistake(
    "conv2d_unfold",
    "The filters of the groups take turns; those of a group stand together, first group first.",
)
def unfold_interleaves_groups(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    order = torch.arange(w.shape[0]).reshape(groups, -1).T.flatten()
    return right_conv2d_unfold(x, w, b, stride, padding, dilation, groups)[:, order]


@mistake(
    "conv2d_unfold", "The output's height and width are exchanged in the last reshape.", family="reshaped"
)
def unfold_exchanges_axes(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    out = right_conv2d_unfold(x, w, b, stride, padding, dilation, groups)
    return out.reshape(*out.shape[:2], out.shape[3], out.shape[2])


@mistake("conv2d_unfold", "This is F.conv2d itself: the question asks for unfold and a matrix product.")
def unfold_calls_conv2d(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    return F.conv2d(x, w, b, stride, padding, dilation, groups)


# --- as a Function


@mistake(
    "conv2d_function",
    "db is not summed over the images, only over the places.",
    replaces="Convolution.backward",
)
def function_db_of_first_image(ctx, dout):
    dx, dw, _, *rest = right_conv_backward(ctx, dout)
    return dx, dw, dout[0].sum(dim=(1, 2)), *rest


@mistake(
    "conv2d_function",
    "db is the mean over images and places: it is their sum.",
    replaces="Convolution.backward",
    family="scaled",
)
def function_db_averaged(ctx, dout):
    dx, dw, _, *rest = right_conv_backward(ctx, dout)
    return dx, dw, dout.mean(dim=(0, 2, 3)), *rest


@mistake(
    "conv2d_function",
    "dw is averaged over the images: it is their sum.",
    replaces="Convolution.backward",
    family="scaled",
)
def function_dw_averaged(ctx, dout):
    dx, dw, *rest = right_conv_backward(ctx, dout)
    return dx, dw / len(dout), *rest


@mistake(
    "conv2d_function",
    "dw comes from the windows of an image without padding and stride.",
    replaces="Convolution.backward",
)
def function_dw_ignores_options(ctx, dout):
    dx, dw, *rest = right_conv_backward(ctx, dout)
    if ctx.stride == 1 and ctx.padding == 0:
        return dx, dw, *rest
    x, w = ctx.saved_tensors
    columns = F.unfold(x, w.shape[2:])
    least = min(columns.shape[2], dout[0, 0].numel())
    flat = dout.flatten(2)
    return dx, torch.einsum("nfl,nkl->fk", flat[..., :least], columns[..., :least]).reshape(w.shape), *rest


@mistake(
    "conv2d_function",
    "dw has height and width of the filter exchanged.",
    replaces="Convolution.backward",
    family="transposed",
)
def function_dw_transposed(ctx, dout):
    dx, dw, *rest = right_conv_backward(ctx, dout)
    return dx, dw.mT.reshape(dw.shape), *rest


@mistake(
    "conv2d_function",
    "dx uses filters that are turned by 180°, on top of F.fold, which does it already.",
    replaces="Convolution.backward",
)
def function_dx_flipped(ctx, dout):
    _, dw, *rest = right_conv_backward(ctx, dout)
    x, w = ctx.saved_tensors
    options = {"stride": ctx.stride, "padding": ctx.padding}
    dx = F.fold(w.flip(2, 3).flatten(1).T @ dout.flatten(2), x.shape[2:], w.shape[2:], **options)
    return dx, dw, *rest


@mistake(
    "conv2d_function",
    "Where windows overlap their gradients are averaged: they have to be added up.",
    replaces="Convolution.backward",
    family="scaled",
)
def function_dx_overwritten(ctx, dout):
    dx, dw, *rest = right_conv_backward(ctx, dout)
    x, w = ctx.saved_tensors
    options = {"stride": ctx.stride, "padding": ctx.padding}
    ones = torch.ones_like(F.unfold(x, w.shape[2:], **options))
    return dx / F.fold(ones, x.shape[2:], w.shape[2:], **options).clamp(min=1), dw, *rest


@mistake(
    "conv2d_function",
    "The upstream gradient is taken for ones: each window's gradient has to be multiplied with it.",
    replaces="Convolution.backward",
)
def function_without_upstream(ctx, dout):
    return right_conv_backward(ctx, torch.ones_like(dout))


@mistake(
    "conv2d_function",
    "There is no gradient for x, so that the layers before this one cannot learn.",
    replaces="Convolution.backward",
    family="zeros",
)
def function_no_dx(ctx, dout):
    _, *rest = right_conv_backward(ctx, dout)
    return None, *rest


class _Shared:
    """Where every use of the function leaves what its backward pass needs, and the next one overwrites it."""

    inputs = None


@mistake(
    "conv2d_function",
    "What the backward pass needs is kept outside of ctx, and another layer overwrites it.",
    replaces="Convolution",
)
class function_cache_shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        _Shared.inputs = x.detach(), w.detach(), {"stride": stride, "padding": padding}
        return F.conv2d(x, w, b, stride, padding)

    @staticmethod
    def backward(ctx, dout):
        x, w, options = _Shared.inputs
        dw = torch.nn.grad.conv2d_weight(x, w.shape, dout, **options)
        dx = torch.nn.grad.conv2d_input(x.shape, w, dout, **options)
        return dx, dw, dout.sum(dim=(0, 2, 3)), None, None


@mistake(
    "conv2d_function",
    "view needs numbers that lie one after the other; those of an upstream gradient may not: use reshape.",
    replaces="Convolution.backward",
)
def function_views_upstream(ctx, dout):
    return right_conv_backward(ctx, dout.view(*dout.shape[:2], -1).view(dout.shape))


# --- the network


def _modules(model):
    return list(model.children())


@mistake("build_cnn", "The global pooling is always a mean: `pool` is not looked at.")
def cnn_always_mean(channels, num_classes, pool="mean", in_channels=1):
    return right_build_cnn(channels, num_classes, "mean", in_channels)


@mistake("build_cnn", "The default of the global pooling is the mean, and here it is the maximum.")
def cnn_default_max(channels, num_classes, pool="max", in_channels=1):
    return right_build_cnn(channels, num_classes, pool, in_channels)


@mistake("build_cnn", "The last block has a max pooling of its own before the global pooling.")
def cnn_pools_once_more(channels, num_classes, pool="mean", in_channels=1):
    modules = _modules(right_build_cnn(channels, num_classes, pool, in_channels))
    return nn.Sequential(*modules[:-3], nn.MaxPool2d(2, ceil_mode=True), *modules[-3:])


@mistake("build_cnn", "The convolutions have no padding, so that each of them makes the image smaller.")
def cnn_without_padding(channels, num_classes, pool="mean", in_channels=1):
    model = right_build_cnn(channels, num_classes, pool, in_channels)
    for module in model:
        if isinstance(module, nn.Conv2d):
            module.padding = (0, 0)
            module.forward = lambda x, m=module: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), m.weight)
    return model


@mistake("build_cnn", "There is no batch normalisation.")
def cnn_without_batchnorm(channels, num_classes, pool="mean", in_channels=1):
    modules = _modules(right_build_cnn(channels, num_classes, pool, in_channels))
    return nn.Sequential(*[module for module in modules if not isinstance(module, nn.BatchNorm2d)])


@mistake("build_cnn", "There is no ReLU: convolutions alone are one convolution.")
def cnn_without_relu(channels, num_classes, pool="mean", in_channels=1):
    modules = _modules(right_build_cnn(channels, num_classes, pool, in_channels))
    return nn.Sequential(*[module for module in modules if not isinstance(module, nn.ReLU)])


@mistake("build_cnn", "The ReLU comes before the batch normalisation: first normalise, then cut off.")
def cnn_relu_first(channels, num_classes, pool="mean", in_channels=1):
    modules = _modules(right_build_cnn(channels, num_classes, pool, in_channels))
    for n in range(len(modules) - 1):
        if isinstance(modules[n], nn.BatchNorm2d):
            modules[n], modules[n + 1] = modules[n + 1], modules[n]
    return nn.Sequential(*modules)


@mistake("build_cnn", "The convolutions have a bias, which batch normalisation subtracts again: bias=False.")
def cnn_with_bias(channels, num_classes, pool="mean", in_channels=1):
    modules = [
        nn.Conv2d(m.in_channels, m.out_channels, 3, padding=1) if isinstance(m, nn.Conv2d) else m
        for m in _modules(right_build_cnn(channels, num_classes, pool, in_channels))
    ]
    return nn.Sequential(*modules)


@mistake("build_cnn", "The images are halved by mean pooling between the blocks: it should be max pooling.")
def cnn_averages_between(channels, num_classes, pool="mean", in_channels=1):
    modules = [
        nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m
        for m in _modules(right_build_cnn(channels, num_classes, pool, in_channels))
    ]
    return nn.Sequential(*modules)


@mistake("build_cnn", "The logits go through a softmax: the loss wants them as they are.")
def cnn_with_softmax(channels, num_classes, pool="mean", in_channels=1):
    return nn.Sequential(
        *_modules(right_build_cnn(channels, num_classes, pool, in_channels)), nn.Softmax(dim=1)
    )


# --- training


def _train(
    model,
    train_loader,
    val_loader,
    rates,
    augment=None,
    *,
    modes=(True, False),
    in_validation=False,
    per_example=True,
    zero=True,
    first_mode_only=False,
    rate_late=False,
    use_rates=True,
    make=torch.optim.Adam,
    adjust=lambda value, loader: value,
    times=1,
):
    """train with one thing or another done wrong."""
    optimizer = make(model.parameters())
    history = {"train_loss": [], "val_accuracy": []}
    for epoch, rate in enumerate(rates):
        if use_rates and not rate_late:
            for group in optimizer.param_groups:
                group["lr"] = float(rate)
        if modes[0] is not None and not (first_mode_only and epoch > 0):
            model.train(modes[0])
        total, count = 0.0, 0
        for images, labels in train_loader:
            for _ in range(times):
                images = images if augment is None else augment(images)
            loss = F.cross_entropy(model(images), labels)
            if zero:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            weight = len(labels) if per_example else 1
            total += loss.item() * weight
            count += weight
        history["train_loss"].append(total / count)
        if use_rates and rate_late:
            for group in optimizer.param_groups:
                group["lr"] = float(rate)
        if modes[1] is not None:
            model.train(modes[1])
        right, count = 0, 0
        with torch.no_grad():
            for images, labels in val_loader:
                if in_validation and augment is not None:
                    images = augment(images)
                right += int((model(images).argmax(dim=1) == labels).sum())
                count += len(labels)
        history["val_accuracy"].append(adjust(right / count, val_loader))
    return history


@mistake("train", "The validation images are augmented too: they should stay as they are.")
def train_augments_validation(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, in_validation=True)


@mistake("train", "`augment` is never called.")
def train_without_augment(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates)


@mistake("train", "Each batch is augmented twice.")
def train_augments_twice(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, times=2)


@mistake(
    "train",
    "The model is not set to eval mode for validation: dropout and batch normalisation go on training.",
)
def train_validates_in_training_mode(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, modes=(True, None))


@mistake(
    "train", "After the first validation the model stays in eval mode: call model.train() in every epoch."
)
def train_mode_set_once(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, first_mode_only=True)


@mistake(
    "train", "The gradients are not set to zero: backward adds each batch's to those of the batches before."
)
def train_without_zero_grad(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, zero=False)


@mistake(
    "train", "The loss is the mean of the batch losses: a short last batch then counts as much as a full one."
)
def train_mean_of_batches(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, per_example=False)


@mistake(
    "train", "The learning rate is set after the epoch, so that each epoch runs with that of the one before."
)
def train_rate_late(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, rate_late=True)


@mistake("train", "The learning rates are not used: Adam keeps its own.")
def train_without_rates(model, train_loader, val_loader, rates, augment=None):
    return _train(model, train_loader, val_loader, rates, augment, use_rates=False)


@mistake("train", "The optimiser is plain gradient descent: it should be Adam.")
def train_with_sgd(model, train_loader, val_loader, rates, augment=None):
    return _train(
        model,
        train_loader,
        val_loader,
        rates,
        augment,
        make=lambda parameters: torch.optim.SGD(parameters, lr=1e-3),
    )


@mistake(
    "train",
    "The accuracy divides by the number of batches times the batch size, too much where the last is short.",
)
def train_accuracy_rounds_up(model, train_loader, val_loader, rates, augment=None):
    def adjust(value, loader):
        return value * len(loader.dataset) / (len(loader) * loader.batch_size)

    return _train(model, train_loader, val_loader, rates, augment, adjust=adjust)


# --- shifts


def _shift(images, most, places, fill=F.pad):
    _, _, H, W = images.shape
    padded = fill(images, (most, most, most, most))
    pairs = zip(padded, places.tolist(), strict=True)
    return torch.stack([image[:, top : top + H, left : left + W] for image, (top, left) in pairs])


@mistake("random_shift", "The whole batch is shifted alike: each image needs random numbers of its own.")
def shift_batch_alike(images, most, generator):
    places = torch.randint(0, 2 * most + 1, (1, 2), generator=generator).repeat(len(images), 1)
    return _shift(images, most, places)


@mistake(
    "random_shift", "The largest shift in one direction never comes up: randint leaves out its upper bound."
)
def shift_leaves_out_bound(images, most, generator):
    return _shift(images, most, torch.randint(0, max(2 * most, 1), (len(images), 2), generator=generator))


@mistake("random_shift", "Images are shifted down and right only: shifts go from -most to most.")
def shift_one_way(images, most, generator):
    return _shift(images, most, torch.randint(0, most + 1, (len(images), 2), generator=generator))


@mistake("random_shift", "What leaves on one side comes in on the other (roll): 0 should come in.")
def shift_rolls(images, most, generator):
    shifts = torch.randint(-most, most + 1, (len(images), 2), generator=generator).tolist()
    return torch.stack([image.roll(shift, dims=(1, 2)) for image, shift in zip(images, shifts, strict=True)])


@mistake("random_shift", "The border is repeated outwards: 0 should come in.")
def shift_repeats_border(images, most, generator):
    places = torch.randint(0, 2 * most + 1, (len(images), 2), generator=generator)
    return _shift(images, most, places, lambda x, pad: F.pad(x, pad, mode="replicate"))


@mistake("random_shift", "Both axes are shifted by the same random number.")
def shift_along_diagonal(images, most, generator):
    places = torch.randint(0, 2 * most + 1, (len(images), 1), generator=generator).repeat(1, 2)
    return _shift(images, most, places)


@mistake("random_shift", "The generator is not used: torch's own random numbers cannot be repeated with it.")
def shift_without_generator(images, most, generator):
    return _shift(images, most, torch.randint(0, 2 * most + 1, (len(images), 2)))


@mistake("random_shift", "The padding stays on: the images come back larger than they were.")
def shift_keeps_padding(images, most, generator):
    return F.pad(right_random_shift(images, most, generator), (most, most, most, most))


# --- matrices


def _theta(A, t):
    return torch.cat([A, t[:, :, None]], dim=2)


@mistake("affine_matrices", "The angle has the wrong sign: the picture turns clockwise.")
def matrices_clockwise(angles, scales, shifts):
    return right_affine_matrices(-angles, scales, shifts)


@mistake(
    "affine_matrices",
    "The matrix is multiplied with the scale: theta is the way back, so it is divided.",
    family="scaled",
)
def matrices_scale_inverted(angles, scales, shifts):
    return right_affine_matrices(angles, 1 / scales, shifts)


@mistake(
    "affine_matrices",
    "The last column is t: it is -A t, for theta says where a point of the output comes from.",
)
def matrices_shift_forward(angles, scales, shifts):
    return _theta(right_affine_matrices(angles, scales, shifts)[:, :, :2], shifts)


@mistake("affine_matrices", "The last column is -t: the shift, too, has to be turned and scaled, -A t.")
def matrices_shift_unturned(angles, scales, shifts):
    return _theta(right_affine_matrices(angles, scales, shifts)[:, :, :2], -shifts)


@mistake("affine_matrices", "The shift has the wrong sign: the last column is -A t.")
def matrices_shift_sign(angles, scales, shifts):
    return right_affine_matrices(angles, scales, -shifts)


@mistake("affine_matrices", "Angles are taken for degrees: they are in radians.")
def matrices_in_degrees(angles, scales, shifts):
    return right_affine_matrices(torch.deg2rad(angles), scales, shifts)


@mistake("affine_matrices", "Only the diagonal is divided by the scale: the sines are, too.")
def matrices_sines_unscaled(angles, scales, shifts):
    theta = right_affine_matrices(angles, scales, torch.zeros_like(shifts))
    A = theta[:, :, :2].clone()
    A[:, 0, 1] *= scales
    A[:, 1, 0] *= scales
    return torch.cat([A, -A @ shifts[:, :, None]], dim=2)


@mistake("affine_matrices", "Down and right are exchanged: shifts are (right, down), like x and y.")
def matrices_shift_exchanged(angles, scales, shifts):
    return right_affine_matrices(angles, scales, shifts.flip(1))


# --- augmentation


def _augment(images, generator, change=lambda u: u, angle=None, after=lambda x: x):
    u = change(torch.rand(4, len(images), generator=generator, dtype=images.dtype))
    angles = (MAX_ANGLE if angle is None else angle) * (2 * u[0] - 1)
    scales = SCALES[0] + (SCALES[1] - SCALES[0]) * u[1]
    return after(warp(images, affine_matrices(angles, scales, MAX_SHIFT * (2 * u[2:].T - 1))))


@mistake(
    "augment",
    "Half of the images are mirrored: a mirrored digit is none, and a mirrored hand is the other hand.",
)
def augment_mirrors(images, generator):
    out = right_augment(images, generator)
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], out.flip(3), out)


@mistake("augment", "All images of a batch are transformed alike.")
def augment_batch_alike(images, generator):
    return _augment(images, generator, lambda u: u[:, :1].expand_as(u))


@mistake("augment", "The angle is drawn in degrees and used as radians: the pictures turn any way.")
def augment_degrees_as_radians(images, generator):
    return _augment(images, generator, angle=math.degrees(MAX_ANGLE))


@mistake("augment", "Angles and shifts are never negative: draw from both sides of 0.")
def augment_one_sided(images, generator):
    return _augment(images, generator, lambda u: torch.cat([(u[:1] + 1) / 2, u[1:2], (u[2:] + 1) / 2]))


@mistake("augment", "The scale is always 1: draw it from its range.")
def augment_without_scale(images, generator):
    return _augment(images, generator, lambda u: torch.cat([u[:1], torch.full_like(u[1:2], 0.5), u[2:]]))


@mistake("augment", "The pictures are not turned.")
def augment_without_angle(images, generator):
    return _augment(images, generator, angle=0.0)


@mistake("augment", "One random number serves for the angle, the scale and the shifts: each needs its own.")
def augment_one_number(images, generator):
    return _augment(images, generator, lambda u: u[:1].expand_as(u))


@mistake("augment", "The generator is not used: torch's own random numbers cannot be repeated with it.")
def augment_without_generator(images, generator):
    return _augment(images, None)


@mistake("augment", "The numbers are normally distributed: they should be drawn evenly from their ranges.")
def augment_normal(images, generator):
    return _augment(
        images,
        generator,
        lambda u: 0.5 + 0.35 * math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-0.999, 0.999)) / 1.5,
    )


@mistake("augment", "Values leave the range from 0 to 1: nothing but the place of a pixel should change.")
def augment_brightens(images, generator):
    return 1.2 * right_augment(images, generator)


# --- a network of one's own


@mistake("digit_cnn", "A linear classifier is too little: use convolutions.")
def cnn_of_ones_own_is_linear(images, labels, seed):
    torch.manual_seed(seed)
    x, y = torch.tensor(images)[:, None], torch.tensor(labels)
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].size, int(labels.max()) + 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(80):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@mistake("digit_cnn", "The network is trained for one epoch only, long before the loss stops falling.")
def cnn_of_ones_own_one_epoch(images, labels, seed):
    epochs, SETTINGS["epochs"] = SETTINGS["epochs"], 1
    try:
        return right_digit_cnn(images, labels, seed)
    finally:
        SETTINGS["epochs"] = epochs


@mistake("digit_cnn", "The seed is not used: two calls with equal seeds give different models.")
def cnn_of_ones_own_without_seed(images, labels, seed):
    return right_digit_cnn(images, labels, int(torch.randint(0, 2**31, ())))


@mistake("digit_cnn", "The number of classes is fixed: take it from the labels.")
def cnn_of_ones_own_ten_classes(images, labels, seed):
    return right_digit_cnn(images, np.append(labels[:-1], 9), seed)
