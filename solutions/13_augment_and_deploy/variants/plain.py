"""Without torchvision, and with classes and loops where the solution has pipelines."""

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn


class Dense(nn.Module):
    def __init__(self, num_classes, hidden, size):
        super().__init__()
        self.body = nn.ModuleList()
        width = 3 * size**2
        for units in hidden:
            self.body.append(nn.Linear(width, units))
            width = units
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        x = x.reshape(len(x), -1)
        for layer in self.body:
            x = layer(x).clamp(min=0)
        return self.head(x)


def build_dense(num_classes, hidden=(256, 128), size=SIZE):
    return Dense(num_classes, hidden, size)


class Net(nn.Module):
    def __init__(self, num_classes, channels, drop, size):
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        before = 3
        for after in channels:
            self.convs.append(nn.Conv2d(before, after, 3, padding="same", bias=False))
            self.norms.append(nn.BatchNorm2d(after))
            before = after
        self.drop = drop
        self.head = nn.Linear(before * (size // 2 ** len(channels)) ** 2, num_classes)

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.max_pool2d(F.relu(norm(conv(x))), kernel_size=2)
        return self.head(F.dropout(x.flatten(start_dim=1), self.drop, self.training))


def build_cnn(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return Net(num_classes, channels, drop, size)


class Augmentation:
    """Turned, zoomed and moved by grid_sample; by fractions of a pixel, too."""

    def __init__(self, degrees, shift, zoom, light):
        self.degrees, self.shift, self.zoom, self.light = degrees, shift, zoom, light

    def __call__(self, picture):
        u = 2 * torch.rand(5) - 1
        angle, scale = math.radians(self.degrees) * float(u[0]), 1 + self.zoom * float(u[1])
        right, down = (2 * self.shift * u[2:4]).tolist()
        height, width = picture.shape[1:]
        c, s = math.cos(angle) / scale, math.sin(angle) / scale
        # In units of half the height and half the width, an angle of the picture is none of the grid.
        a = torch.tensor([[c, -s * height / width], [s * width / height, c]])
        theta = torch.cat([a, -a @ torch.tensor([[right], [down]])], dim=1)[None]
        grid = F.affine_grid(theta, [1, 3, height, width], align_corners=False)
        pixels = picture.to(torch.float32)[None] / 255
        moved = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return torch.clamp(moved[0] * (1 + self.light * u[4]), min=0.0, max=1.0)


def make_augmentation(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return Augmentation(degrees, shift, zoom, light)


class LetterImages(torch.utils.data.Dataset):
    def __init__(self, pictures, labels, transform=None):
        super().__init__()
        self.pictures = pictures.clone()
        self.labels = [int(label) for label in labels]
        self.transform = transform

    def __len__(self):
        return self.pictures.shape[0]

    def __getitem__(self, i):
        if self.transform is not None:
            return self.transform(self.pictures[i]), self.labels[i]
        return self.pictures[i].to(torch.float32).div(255), self.labels[i]


class Loader:
    """Batches by hand."""

    def __init__(self, dataset, batch_size, shuffle):
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle

    def __len__(self):
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self):
        N = len(self.dataset)
        order = torch.randperm(N) if self.shuffle else torch.arange(N)
        for rows in order.split(self.batch_size):
            pictures, labels = zip(*(self.dataset[int(i)] for i in rows), strict=True)
            yield torch.stack(pictures), torch.tensor(labels)


def make_loaders(train, val, transform, batch_size):
    shaken, still = LetterImages(train[0], train[1], transform), LetterImages(val[0], val[1])
    return Loader(shaken, batch_size, True), Loader(still, batch_size, False)


def save_model(path, model, settings, classes):
    state = {}
    for name, tensor in model.state_dict().items():
        state[name] = tensor.detach().cpu().clone()
    with Path(path).open("wb") as stream:
        torch.save({"state": state, "classes": [*classes], "settings": dict(settings)}, stream)


def load_model(path, build=None):
    build = build_cnn if build is None else build
    whole = Path(path).read_bytes()
    try:
        content = torch.load(io.BytesIO(whole), "cpu", weights_only=True)
    except Exception as error:
        raise ModelFileError(f"{path} cannot be read: {type(error).__name__}") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"{path} holds a {type(content).__name__}, not a dict")
    for entry in ("settings", "classes", "state"):
        if entry not in content:
            raise ModelFileError(f"{path} lacks {entry!r}")
    try:
        model = build(**content["settings"])
    except Exception as error:
        raise ModelFileError(f"{path}: no model is built from {content['settings']}: {error}") from error
    wanted, got = model.state_dict(), content["state"]
    if not isinstance(got, dict):
        raise ModelFileError(f"{path}: the state is no dict")
    for name in set(wanted) ^ set(got):
        raise ModelFileError(f"{path}: {name} is {'missing' if name in wanted else 'too much'}")
    for name, tensor in got.items():
        if not isinstance(tensor, torch.Tensor) or tensor.shape != wanted[name].shape:
            raise ModelFileError(f"{path}: {name} does not fit")
    model.load_state_dict(got)
    for module in model.modules():
        module.training = False
    return model, [*content["classes"]]


def preprocess(image, size=SIZE):
    if isinstance(image, bytes):
        try:
            opened = Image.open(io.BytesIO(image))
            opened.load()
        except Exception:
            raise ValueError("not a picture") from None
        orientation = opened.getexif().get(0x0112, 1)
        image = np.array(opened.convert("RGBA"))
        if orientation in (5, 6, 7, 8):
            image = image.swapaxes(0, 1)
        if orientation in (2, 3, 6, 7):
            image = image[:, ::-1]
        if orientation in (3, 4, 7, 8):
            image = image[::-1]
    if image.dtype == np.uint8:
        image = image.astype(np.float32) / np.float32(255)
    elif np.issubdtype(image.dtype, np.floating):
        image = image.astype(np.float32)
    else:
        raise ValueError("what is white in these numbers?")
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.ndim == 2:
        image = np.stack([image, image, image], axis=-1)
    if image.ndim != 3 or image.shape[-1] not in (3, 4):
        raise ValueError("not a picture's shape")
    if image.shape[-1] == 4:
        image = image[..., :3] * image[..., 3:]
    height, width, _ = image.shape
    side = max(height, width)
    square = np.zeros((side, side, 3), dtype=np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    pixels = torch.from_numpy(np.ascontiguousarray(square.transpose(2, 0, 1)))[None]
    return F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)


def predict(model, pictures, batch_size=64):
    modes = {module: module.training for module in model.modules()}
    model.train(False)
    labels, probabilities = [], []
    with torch.inference_mode():
        for start in range(0, len(pictures), batch_size):
            logits = model(pictures[start : start + batch_size])
            shifted = (logits - logits.amax(dim=1, keepdim=True)).exp()
            labels.append(logits.argmax(dim=1))
            probabilities.append(shifted.amax(dim=1) / shifted.sum(dim=1))
    for module, mode in modes.items():
        module.training = mode
    return torch.cat(labels), torch.cat(probabilities)
