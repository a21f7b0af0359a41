"""What torch and torchvision bring along: transforms, normalize, bucketize, LBFGS, a hook on everything."""

import contextlib

import torch
import torch.nn.functional as F
from torch.nn.modules.module import register_module_forward_hook
from torchvision.transforms import v2


def resize_and_crop(image, resize=256, crop=224):
    steps = [v2.ToImage(), v2.Resize(resize, antialias=True), v2.CenterCrop(crop), v2.ToDtype(torch.float32)]
    return v2.Compose(steps)(image).as_subclass(torch.Tensor).contiguous()


def standardize(images, recipe):
    index = torch.tensor(["RGB".find(letter) for letter in recipe["order"]])
    scaled = images.index_select(1, index).to(torch.float32).mul(recipe["scale"])
    return v2.functional.normalize(scaled, list(recipe["mean"]), list(recipe["std"]))


@contextlib.contextmanager
def only_looking(model):
    """In eval mode and without gradients; then every module as before."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    with torch.inference_mode():
        yield
    for module in training:
        module.training = True


def classify(model, images, batch_size=32):
    with only_looking(model):
        return torch.vstack(list(map(model, torch.split(images, batch_size))))


def top_k(logits, k):
    log_p, classes = F.log_softmax(logits, dim=-1).sort(dim=-1, descending=True)
    return log_p[:, :k].exp(), classes[:, :k]


def compare_recipes(predict, images, labels, recipes):
    def share(recipe):
        return float((predict(standardize(images, recipe)).max(dim=1).indices == labels).float().mean())

    return {name: share(recipe) for name, recipe in recipes.items()}


def top_k_accuracy(logits, labels, k):
    rank = (logits > logits.gather(1, labels[:, None])).sum(dim=1)
    return (rank < k).double().mean().item()


def surest_mistakes(logits, labels, k):
    confidence = torch.softmax(logits, -1).amax(-1)
    wrong = logits.argmax(-1).ne(labels)
    order = torch.where(wrong, confidence, -1.0).sort(descending=True).indices
    return order[: min(k, int(wrong.sum()))]


def reliability(confidence, correct, num_bins=10):
    borders = torch.arange(1, num_bins, dtype=confidence.dtype) / num_bins
    bins = torch.bucketize(confidence, borders)  # a border belongs to the bin below it
    zeros = torch.zeros(num_bins, dtype=confidence.dtype)
    count = torch.bincount(bins, minlength=num_bins)
    return {
        "accuracy": zeros.index_add(0, bins, correct.to(confidence.dtype)) / count,
        "confidence": zeros.index_add(0, bins, confidence) / count,
        "count": count,
    }


def expected_calibration_error(confidence, correct, num_bins=10):
    bins = reliability(confidence, correct, num_bins)
    weight = bins["count"] / bins["count"].sum()
    return torch.nansum(weight * (bins["confidence"] - bins["accuracy"]).abs()).item()


def fit_temperature(logits, labels):
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    z = logits.double()
    optimizer = torch.optim.LBFGS([log_t], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(z / log_t.exp(), labels)
        value.backward()
        return value

    optimizer.step(loss)
    return log_t.exp().item()


def features(model, layer, images, batch_size=32):
    wanted = dict(model.named_modules())[layer]
    last = []

    def keep(module, inputs, output):
        if module is wanted:
            last[:] = [F.adaptive_avg_pool2d(output, 1).flatten(1) if output.ndim == 4 else output.clone()]

    rows = []
    everywhere = register_module_forward_hook(keep)  # on every module there is
    with only_looking(model):
        for batch in images.split(batch_size):
            model(batch)
            rows += last
    everywhere.remove()
    return torch.cat(rows, dim=0)
