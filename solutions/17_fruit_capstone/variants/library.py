"""What torch and torchvision bring along: generators, std_mean, batch_norm, transforms, data loaders."""

import io

from torch.utils.data import DataLoader
from torchvision.transforms import v2


def split_indices(labels, fraction, seed):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    shuffled = torch.as_tensor(labels)[order]
    val = torch.zeros(len(labels), dtype=torch.bool)
    for label in shuffled.unique():
        place = torch.nonzero(shuffled == label).flatten()
        val[place[: round(fraction * len(place))]] = True
    return order[~val].numpy(), order[val].numpy()


def channel_statistics(images):
    planes = torch.from_numpy(images).movedim(1, 0).flatten(1).double().div(255)
    std, mean = torch.std_mean(planes, dim=1, correction=0)
    return mean.float(), std.float()


def normalize(x, mean, std):
    return F.batch_norm(x, mean, std**2, training=False, eps=0.0)


def preprocess(images):
    pictures = v2.functional.to_dtype(torch.tensor(images), torch.float32, scale=True)
    return v2.Resize((SIZE, SIZE), v2.InterpolationMode.BILINEAR, antialias=True)(pictures)


def augment(images):
    side = min(images.shape[2:])
    change = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.Pad(side // 4, padding_mode="reflect"),
            v2.RandomAffine(20, (0.05, 0.05), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
            v2.CenterCrop(images.shape[2:]),
            v2.ColorJitter(brightness=0.15, saturation=0.1),
        ]
    )
    return torch.stack([change(image) for image in images]).clamp(0, 1)


def save_model(model, path):
    buffer = io.BytesIO()
    half = {name: value.half() if value.is_floating_point() else value
            for name, value in model.state_dict().items()}  # fmt: skip
    torch.save(half, buffer)
    Path(path).write_bytes(buffer.getbuffer())


def load_model(path):
    state = torch.load(io.BytesIO(Path(path).read_bytes()), weights_only=True)
    model = FruitNet(*torch.ones(2, 3)).requires_grad_(False).train(False)
    model.load_state_dict(state, strict=True)
    return model


@torch.inference_mode()
def predict_proba(model, images):
    model.eval()
    loader = DataLoader(preprocess(images), batch_size=128, shuffle=False)
    return np.concatenate([F.log_softmax(model(batch).double(), dim=-1).exp().numpy() for batch in loader])


@torch.inference_mode()
def predict(model, images):
    return model.eval()(preprocess(images)).max(dim=1).indices.to(torch.int32).numpy()
