"""torchvision's functions instead of its random transforms, and copies of whatever may change."""

import copy
import functools
import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF


def build_dense(num_classes, hidden=(256, 128), size=SIZE):
    def behind(body, width):
        layer = nn.Linear(body[-1].out_features if len(body) > 1 else 3 * size * size, width)
        return nn.Sequential(*body, *([nn.ReLU()] if len(body) > 1 else []), layer)

    return functools.reduce(behind, (*hidden, num_classes), nn.Sequential(nn.Flatten()))


class Block(nn.Conv2d):
    """A convolution that brings its normalisation, its ReLU and its pooling."""

    def __init__(self, before, after):
        super().__init__(before, after, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x):
        maps = F.relu(self.norm(super().forward(x)))
        return maps.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))


class Reader(nn.Module):
    def __init__(self, num_classes, channels, drop, size):
        super().__init__()
        self.blocks = nn.Sequential(*map(Block, (3, *channels[:-1]), channels))
        for _ in channels:
            size //= 2
        self.drop = nn.Dropout(drop)
        self.head = nn.Linear(channels[-1] * size * size, num_classes)

    def forward(self, x):
        return self.head(self.drop(self.blocks(x).flatten(1)))


def build_cnn(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    return Reader(num_classes, tuple(channels), drop, size)


class Shake(nn.Module):
    def __init__(self, degrees, shift, zoom, light):
        super().__init__()
        self.degrees, self.shift, self.zoom, self.light = degrees, shift, zoom, light

    def forward(self, picture):
        def between(low, high):
            return torch.empty(()).uniform_(low, high).item()

        pixels = TF.to_dtype(picture, torch.float32, scale=True)
        pixels = TF.adjust_brightness(pixels, between(1 - self.light, 1 + self.light))
        height, width = picture.shape[-2:]
        return TF.affine(
            pixels,
            angle=between(-self.degrees, self.degrees),
            translate=[between(-self.shift, self.shift) * side for side in (width, height)],
            scale=between(1 - self.zoom, 1 + self.zoom),
            shear=[0.0, 0.0],
            interpolation=TF.InterpolationMode.BILINEAR,
        )


def make_augmentation(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    return Shake(degrees, shift, zoom, light)


class LetterImages(Dataset):
    def __init__(self, pictures, labels, transform=None):
        self.pairs = list(zip(pictures.unbind(), labels.tolist(), strict=True))
        self.transform = transform if transform is not None else v2.ToDtype(torch.float32, scale=True)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        picture, label = self.pairs[i]
        return self.transform(picture), label


def make_loaders(train, val, transform, batch_size):
    def stacked(items):
        pictures, labels = zip(*items, strict=True)
        return torch.stack(pictures), torch.as_tensor(labels)

    dataset = LetterImages(*train, transform)
    batches = BatchSampler(RandomSampler(dataset), batch_size, drop_last=False)
    train_loader = DataLoader(dataset, batch_sampler=batches, collate_fn=stacked)
    return train_loader, DataLoader(LetterImages(*val, None), batch_size, collate_fn=stacked)


def save_model(path, model, settings, classes):
    content = {"classes": list(classes), "settings": copy.deepcopy(settings)}
    content["state"] = copy.deepcopy(model).cpu().eval().state_dict()
    with Path(path).open("wb") as file:
        torch.save(content, file)


def load_model(path, build=None):
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    reason = None
    try:
        match torch.load(path, weights_only=True, map_location="cpu"):
            case {"settings": dict(settings), "classes": [*classes], "state": dict(state)}:
                model = (build or build_cnn)(**settings)
                model.load_state_dict(state, assign=True)
            case {"settings": _, "classes": _, "state": _}:
                reason = "its entries are of other types"
            case dict(content):
                absent = [name for name in ("settings", "classes", "state") if name not in content]
                reason = f"it lacks {', '.join(absent)}"
            case content:
                reason = f"it holds an object of type {type(content).__name__}"
    except Exception as error:
        reason = str(error) or repr(error)
    if reason is not None:
        raise ModelFileError(f"The model file {path} cannot be used: {reason}")
    return model.train(mode=False), classes


def preprocess(image, size=SIZE):
    if isinstance(image, bytes):
        try:
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(image))).convert("RGBA")
        except Exception as error:
            raise ValueError("This is no picture.") from error
        pixels = TF.pil_to_tensor(image)
    else:
        channels = image.shape[2] if image.ndim == 3 else {2: 1}.get(image.ndim)
        if channels not in (1, 3, 4) or not (image.dtype == np.uint8 or image.dtype.kind == "f"):
            raise ValueError(f"An array of shape {image.shape} and type {image.dtype} is no picture.")
        pixels = TF.to_image(image.copy())
    pixels = TF.to_dtype(pixels, torch.float32, scale=not pixels.is_floating_point())
    if len(pixels) == 4:
        pixels, alpha = pixels.split([3, 1])
        pixels = alpha * pixels
    square = v2.CenterCrop(max(pixels.shape[1:]))  # larger than the picture: it adds bars
    pipeline = v2.Compose([square, v2.Resize((size, size), antialias=True)])
    return pipeline(pixels).repeat(3 // len(pixels), 1, 1)


def predict(model, pictures, batch_size=64):
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    batches = [pictures[k : k + batch_size].detach() for k in range(0, len(pictures), batch_size)]
    p = F.softmax(torch.cat([twin(batch) for batch in batches]), dim=1)
    labels = p.argmax(dim=1)
    return [labels, p.gather(1, labels.unsqueeze(1)).squeeze(1)]
