"""NumPy for pixels: resizing by matrices, views by PIL's transform, contexts that translate errors."""

import io
import math
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps, UnidentifiedImageError
from torch import nn
from torch.utils.data import RandomSampler, SequentialSampler, TensorDataset


class Affine(nn.Module):
    """A linear layer made by hand."""

    def __init__(self, inputs, outputs):
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight.T)


def build_dense(num_classes, hidden=(256, 128), size=SIZE):
    def layers(inputs, widths):
        yield Affine(inputs, widths[0])
        if len(widths) > 1:
            yield nn.ReLU()
            yield from layers(widths[0], widths[1:])

    return nn.Sequential(nn.Flatten(), *layers(3 * size * size, [*hidden, num_classes]))


class Halve(nn.Module):
    """Max pooling as the larger of neighbours, first along the rows, then along the columns."""

    def forward(self, x):
        for axis in (2, 3):
            pairs = x.narrow(axis, 0, x.shape[axis] // 2 * 2).unflatten(axis, (-1, 2))
            x = torch.maximum(pairs.select(axis + 1, 0), pairs.select(axis + 1, 1))
        return x


def build_cnn(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    layers, before = OrderedDict(), 3
    for k, after in enumerate(channels, start=1):
        layers[f"conv{k}"] = nn.Conv2d(before, after, 3, 1, "same", bias=False)
        layers[f"norm{k}"] = nn.BatchNorm2d(after)
        layers[f"relu{k}"] = nn.ReLU()
        layers[f"pool{k}"] = Halve()
        before, size = after, size >> 1
    layers.update(rows=nn.Flatten(), drop=nn.Dropout(drop), head=nn.Linear(before * size**2, num_classes))
    return nn.Sequential(layers)


def make_augmentation(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    low = torch.tensor([-degrees, 1 - zoom, -shift, -shift, 1 - light], dtype=torch.float64)
    high = torch.tensor([degrees, 1 + zoom, shift, shift, 1 + light], dtype=torch.float64)

    def view(picture):
        drawn = low + (high - low) * torch.rand(5, dtype=torch.float64)
        angle, scale, right, down, factor = drawn.tolist()
        image = Image.fromarray(picture.numpy().transpose(1, 2, 0).copy())
        c, s = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
        x, y = image.width / 2, image.height / 2
        # PIL, too, wants the way back: from a place of the view to one of the picture.
        to_x, to_y = x + right * image.width, y + down * image.height
        data = (c, -s, x - c * to_x + s * to_y, s, c, y - s * to_x - c * to_y)
        moved = image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
        lit = np.asarray(ImageEnhance.Brightness(moved).enhance(factor))
        return torch.from_numpy(lit.transpose(2, 0, 1).astype(np.float32) / 255)

    return view


class LetterImages(TensorDataset):
    def __init__(self, pictures, labels, transform=None):
        super().__init__(pictures, labels)
        self.transform = transform

    def __getitem__(self, i):
        picture, label = super().__getitem__(i)
        if self.transform is None:
            return torch.from_numpy(np.true_divide(picture.numpy(), 255, dtype=np.float32)), label.item()
        return self.transform(picture), label.item()


def make_loaders(train, val, transform, batch_size):
    shaken, still = LetterImages(*train, transform=transform), LetterImages(*val)
    return [
        DataLoader(dataset, sampler=sampler(dataset), batch_size=batch_size)
        for dataset, sampler in ((shaken, RandomSampler), (still, SequentialSampler))
    ]


def save_model(path, model, settings, classes):
    stream = io.BytesIO()
    state = OrderedDict((name, value.detach()) for name, value in model.state_dict(keep_vars=True).items())
    torch.save({"state": state, "settings": dict(settings), "classes": list(map(str, classes))}, stream)
    Path(path).write_bytes(stream.getbuffer())


@contextmanager
def blaming(path, doing):
    """Whatever goes wrong inside is a ModelFileError."""
    try:
        yield
    except Exception as error:
        raise ModelFileError(f"{path}: error while {doing}: {type(error).__name__}: {error}") from error


def load_model(path, build=None):
    with Path(path).open("rb") as stream, blaming(path, "reading"):
        content = torch.load(stream, map_location=lambda storage, _: storage, weights_only=True)
    with blaming(path, "looking for settings, classes and state"):
        settings, classes, state = content["settings"], list(content["classes"]), content["state"]
    with blaming(path, f"building with {settings}"):
        model = (build_cnn if build is None else build)(**settings)
    with blaming(path, "loading the state"):
        missing, unexpected = model.load_state_dict(state, strict=False)
        if missing or unexpected:
            raise ValueError(f"missing: {missing}, too much: {unexpected}")
    return model.eval(), classes


def triangle(old, new):
    """The antialiased bilinear filter as a matrix (new, old), whose rows add up to 1."""
    width = max(old / new, 1)
    middles = (np.arange(new)[:, None] + 0.5) * old / new
    weights = np.maximum(1 - np.abs(np.arange(old) + 0.5 - middles) / width, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def preprocess(image, size=SIZE):
    if isinstance(image, bytes):
        try:
            opened = Image.open(io.BytesIO(image))
            ImageOps.exif_transpose(opened, in_place=True)
            image = np.asarray(opened.convert("RGBA"))
        except (UnidentifiedImageError, OSError, SyntaxError, EOFError) as error:
            raise ValueError(str(error)) from error
    if image.dtype == np.uint8:
        levels = 255
    elif np.issubdtype(image.dtype, np.floating):
        levels = 1
    else:
        raise ValueError(f"pixels of type {image.dtype}")
    pixels = np.atleast_3d(image.astype(np.float64)) / levels
    if not (image.ndim in (2, 3) and pixels.shape[2] in (1, 3, 4)):
        raise ValueError(f"an array of shape {image.shape}")
    if pixels.shape[2] == 4:
        pixels = np.einsum("hwc,hw->hwc", pixels[..., :3], pixels[..., 3])
    matrices = []
    for old in pixels.shape[:2]:
        side = max(pixels.shape[:2])
        before = (side - old) // 2
        matrices.append(triangle(side, size)[:, before : before + old])  # bars are 0 and add nothing
    small = np.einsum("ih,hwc,jw->cij", matrices[0], pixels, matrices[1], optimize=True)
    small = np.broadcast_to(small, (3, size, size)).astype(np.float32)
    return torch.from_numpy(small.clip(0, 1))


def predict(model, pictures, batch_size=64):
    modes = [(module, module.training) for module in model.modules()]
    labels = torch.empty(len(pictures), dtype=torch.int64)
    probabilities = torch.empty(len(pictures), dtype=pictures.dtype)
    model.eval()
    with torch.no_grad():
        for start in range(0, len(pictures), batch_size):
            rows = slice(start, start + batch_size)
            logits = model(pictures[rows])
            largest, labels[rows] = logits.max(dim=1)
            probabilities[rows] = torch.exp(largest - torch.logsumexp(logits, dim=1))
    for module, mode in modes:
        module.training = mode
    return labels, probabilities
