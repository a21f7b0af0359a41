"""PIL and torchvision's tv_tensors where the solution has plain tensors; floats before anything else."""

import io

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2


def build_dense(num_classes, hidden=(256, 128), size=SIZE):
    model = nn.Sequential()
    model.append(nn.Flatten(1))
    inputs = 3 * size * size
    for units in list(hidden):
        model.append(nn.Sequential(nn.Linear(inputs, units), nn.ReLU(inplace=True)))
        inputs = units
    return model.append(nn.Linear(inputs, num_classes))


def block(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=(3, 3), padding=(1, 1), bias=False),
        nn.BatchNorm2d(after), nn.MaxPool2d(2, 2), nn.ReLU(inplace=True),
    )  # fmt: skip


def build_cnn(num_classes, channels=(16, 32, 64), drop=0.3, size=SIZE):
    sizes = [3, *channels]
    body = nn.Sequential(*[block(sizes[k], sizes[k + 1]) for k in range(len(channels))])
    with torch.no_grad():
        body.eval()
        features = body(torch.zeros(1, 3, size, size)).numel()
        body.train()
    return nn.Sequential(
        body, nn.Flatten(), nn.Dropout(p=drop, inplace=True), nn.Linear(features, num_classes)
    )


def make_augmentation(degrees=15, shift=0.1, zoom=0.15, light=0.3):
    bilinear = v2.InterpolationMode.BILINEAR
    return v2.Compose(
        [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomAffine(degrees=(-degrees, degrees), interpolation=bilinear,
                            translate=(shift, shift), scale=(1.0 - zoom, 1.0 + zoom)),
            v2.ColorJitter(brightness=(1 - light, 1 + light)),
        ]
    )  # fmt: skip


class LetterImages(Dataset):
    def __init__(self, pictures, labels, transform=None):
        self.pictures = pictures
        self.labels = labels
        self.change = transform or v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self):
        return self.labels.numel()

    def __getitem__(self, i):
        return self.change(tv_tensors.Image(self.pictures[i])), self.labels[i].clone()


def make_loaders(train, val, transform, batch_size):
    return tuple(
        DataLoader(LetterImages(*part, change), batch_size=batch_size, shuffle=shuffle, num_workers=0)
        for part, change, shuffle in ((train, transform, True), (val, None, False))
    )


def save_model(path, model, settings, classes):
    content = dict.fromkeys(("settings", "classes", "state"))
    content["settings"] = {**settings}
    content["classes"] = [str(name) for name in classes]
    content["state"] = model.state_dict()
    part = Path(path + ".part")
    torch.save(content, part)
    part.replace(path)  # never half a file


def load_model(path, build=None):
    if not Path(path).exists():
        raise FileNotFoundError(path)
    try:
        content = torch.load(path, weights_only=True, map_location=torch.device("cpu"))
        settings, classes, state = (content[entry] for entry in ("settings", "classes", "state"))
        model = build(**settings) if build else build_cnn(**settings)
        model.load_state_dict(state, strict=True)
    except Exception as error:
        raise ModelFileError(f"{path}: {error!r}") from None
    model.train(False)
    return model, list(classes)


def preprocess(image, size=SIZE):
    if isinstance(image, bytes):
        try:
            picture = ImageOps.exif_transpose(Image.open(io.BytesIO(image))).convert("RGBA")
        except Exception as error:
            raise ValueError("this is no picture") from error
        image = np.array(picture)
    if image.dtype.kind == "f":
        image = np.rint(image.astype(np.float64) * 255).clip(0, 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise ValueError(f"{image.dtype} pixels")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image.squeeze(2)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)):
        raise ValueError(f"a picture of shape {image.shape}")
    picture = Image.fromarray(image)
    if picture.mode == "RGBA":
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture)
    picture = picture.convert("RGB")
    side = max(picture.size)
    square = Image.new("RGB", (side, side))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    if side != size:
        square = square.resize((size, size), Image.Resampling.BILINEAR)
    return v2.functional.to_dtype(v2.functional.pil_to_tensor(square), torch.float32, scale=True)


@torch.no_grad()
def predict(model, pictures, batch_size=64):
    was_training = model.training
    try:
        parts = [torch.softmax(model.eval()(part), dim=-1) for part in torch.split(pictures, batch_size)]
    finally:
        model.train(was_training)
    top = torch.cat(parts).topk(1, dim=1)
    return top.indices[:, 0], top.values[:, 0]
