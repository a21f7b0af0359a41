"""Torch's own tools, other ones than the solution's: transposed convolutions, einsum, inverse matrices."""

import copy

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return F.silu(x)

    @staticmethod
    def backward(ctx, dout):
        s = ctx.x.sigmoid()
        return s.mul(dout).mul(1 + ctx.x * torch.sigmoid(-ctx.x))


def swish(x):
    return Swish.apply(x)


def output_size(size, kernel, stride=1, padding=0, dilation=1):
    span = dilation * (kernel - 1) + 1
    return (size + 2 * padding - span + stride) // stride


def conv2d_unfold(x, w, b, stride=1, padding=0, dilation=1, groups=1):
    _, C, _, W = x.shape
    columns = nn.Unfold(w.shape[2:], dilation=dilation, padding=padding, stride=stride)(x.contiguous())
    columns = columns.unflatten(1, (groups, C // groups, w.shape[2] * w.shape[3]))
    filters = w.unflatten(0, (groups, -1)).flatten(3)
    out = torch.einsum("gfck,ngckl->ngfl", filters, columns).flatten(1, 2) + b[:, None]
    width = output_size(W, w.shape[3], stride, padding, dilation)
    return out.unflatten(2, (-1, width))


class Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, stride, padding):
        ctx.save_for_backward(x, w)
        ctx.arguments = stride, padding
        return conv2d_unfold(x, w, b, stride, padding)

    @staticmethod
    def backward(ctx, dout):
        x, w = ctx.saved_tensors
        stride, padding = ctx.arguments
        dx = dw = db = None
        if ctx.needs_input_grad[0]:
            rest = [
                x.shape[axis] + 2 * padding - w.shape[axis] - (dout.shape[axis] - 1) * stride
                for axis in (2, 3)
            ]
            full = F.conv_transpose2d(
                dout, w, stride=stride
            )  # of the padded image, without what is left over
            full = F.pad(full, (0, rest[1], 0, rest[0]))
            dx = full[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]]
        if ctx.needs_input_grad[1]:
            swapped = F.conv2d(
                F.pad(x, (padding,) * 4).transpose(0, 1), dout.transpose(0, 1), dilation=stride
            )
            dw = swapped.transpose(0, 1)[:, :, : w.shape[2], : w.shape[3]]
        if ctx.needs_input_grad[2]:
            db = torch.einsum("nfhw->f", dout)
        return dx, dw, db, None, None


def conv2d(x, w, b, stride=1, padding=0):
    return Convolution.apply(x, w, b, stride, padding)


def build_cnn(channels, num_classes, pool="mean", in_channels=1):
    model = nn.Sequential()
    for k, c in enumerate(channels):
        if k:
            model.append(nn.MaxPool2d(kernel_size=2, stride=2))
        model.append(nn.LazyConv2d(c, 3, 1, 1, bias=False))
        model.append(nn.BatchNorm2d(c))
        model.append(nn.ReLU(inplace=True))
    model.append({"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}[pool]((1, 1)))
    model.append(nn.Flatten(1))
    model.append(nn.Linear(c, num_classes))
    was = [copy.deepcopy(m.state_dict()) for m in model if isinstance(m, nn.BatchNorm2d)]
    model(
        torch.zeros(2, in_channels, 2 ** len(channels), 2 ** len(channels))
    )  # so that layers know their inputs
    for m, state in zip((m for m in model if isinstance(m, nn.BatchNorm2d)), was, strict=True):
        m.load_state_dict(state)
    return model


class Augmented:
    """A loader whose images are changed on the way."""

    def __init__(self, loader, change):
        self.loader, self.change = loader, change

    def __iter__(self):
        for images, labels in self.loader:
            yield (images if self.change is None else self.change(images)), labels


def one_epoch(model, batches, optimizer):
    model.train()
    total, count = 0.0, 0
    for images, labels in batches:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.CrossEntropyLoss(reduction="sum")(model(images), labels)
        (loss / len(images)).backward()
        optimizer.step()
        total, count = total + float(loss.detach()), count + len(images)
    return total / count


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    logits, labels = zip(*[(model(images), labels) for images, labels in loader], strict=True)
    return torch.mean((torch.cat(logits).argmax(1) == torch.cat(labels)).float()).item()


def train(model, train_loader, val_loader, rates, augment=None):
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    rates = [float(rate) for rate in rates]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: rates[min(epoch, len(rates) - 1)])
    losses, accuracies = [], []
    for _ in rates:
        losses.append(one_epoch(model, Augmented(train_loader, augment), optimizer))
        accuracies.append(accuracy(model, val_loader))
        schedule.step()
    return {"val_accuracy": accuracies, "train_loss": losses}


def random_shift(images, most, generator):
    N, _, H, W = images.shape
    down = torch.randint(-most, most + 1, (N, 1), generator=generator)
    right = torch.randint(-most, most + 1, (N, 1), generator=generator)
    rows, columns = torch.arange(H) - down, torch.arange(W) - right  # (N, H) and (N, W)
    picked = images[
        torch.arange(N)[:, None, None], :, rows.clamp(0, H - 1)[:, :, None], columns.clamp(0, W - 1)[:, None]
    ]
    inside = ((rows >= 0) & (rows < H))[:, :, None] & ((columns >= 0) & (columns < W))[:, None]
    return (picked * inside[..., None]).movedim(3, 1).contiguous()


def affine_matrices(angles, scales, shifts):
    # The way there as 3 x 3 matrices, and then its inverse.
    N = len(angles)
    there = torch.zeros(N, 3, 3, dtype=angles.dtype)
    there[:, 0, 0] = there[:, 1, 1] = scales * torch.cos(angles)
    there[:, 0, 1] = scales * torch.sin(angles)
    there[:, 1, 0] = -scales * torch.sin(angles)
    there[:, :2, 2] = shifts
    there[:, 2, 2] = 1
    return torch.linalg.inv(there)[:, :2].contiguous()


def augment(images, generator):
    N = images.shape[0]
    low = torch.tensor([-MAX_ANGLE, SCALES[0], -MAX_SHIFT, -MAX_SHIFT], dtype=images.dtype)
    high = torch.tensor([MAX_ANGLE, SCALES[1], MAX_SHIFT, MAX_SHIFT], dtype=images.dtype)
    drawn = torch.lerp(low, high, torch.rand((N, 4), generator=generator).to(images.dtype))
    return warp(images, affine_matrices(drawn[:, 0], drawn[:, 1], drawn[:, 2:]))


class Patches(nn.Module):
    """Two convolutions with strides, the mean and the maximum over all places."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 48, 3, 1, 1), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(48, 64, 3, 1, 1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(256, classes)

    def forward(self, x):
        return self.head(self.body((x - 0.13) / 0.31))


def digit_cnn(images, labels, seed):
    torch.manual_seed(seed)
    x, y = torch.as_tensor(images).unsqueeze(1), torch.as_tensor(labels)
    model = Patches(int(y.max().item()) + 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=40, shuffle=True, drop_last=True)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters())
    epochs = max(8, 4000 // len(x))
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 6e-3 * (1 - epoch / epochs)
        one_epoch(model, Augmented(loader, lambda batch: random_shift(batch, 2, generator)), optimizer)
    return model
