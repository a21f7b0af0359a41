"""Small steps in torch: a 1 x 1 convolution, repeated argmax, sorted sums, Newton, an object as a hook."""

import heapq
import math
from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader


def resize_and_crop(image, resize=256, crop=224):
    pixels = torch.from_numpy(image.copy()).movedim(-1, 0)[None].double()
    height, width = image.shape[0], image.shape[1]
    if height <= width:
        size = (resize, math.floor(resize * width / height + 0.5))
    else:
        size = (math.ceil(resize * height / width - 0.5), resize)
    pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
    down, across = size[0] - crop, size[1] - crop
    cut = (-(across // 2), across // 2 - across, -(down // 2), down // 2 - down)
    return F.pad(pixels, cut).squeeze(0).float()


def standardize(images, recipe):
    kernel = torch.zeros(3, 3, 1, 1, dtype=torch.float64)
    bias = torch.empty(3, dtype=torch.float64)
    for row, letter in enumerate(recipe["order"]):
        kernel[row, {"R": 0, "G": 1, "B": 2}[letter]] = recipe["scale"] / recipe["std"][row]
        bias[row] = -recipe["mean"][row] / recipe["std"][row]
    return F.conv2d(images.to(torch.float64), kernel, bias).to(torch.float32)


class Watching:
    """Puts a network into eval mode, and each part of it back."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.modes = []
        self.model.apply(lambda module: self.modes.append(module.training))
        self.model.eval()

    def __exit__(self, *problem):
        modes = iter(self.modes)
        self.model.apply(lambda module: setattr(module, "training", next(modes)))


@torch.no_grad()
def classify(model, images, batch_size=32):
    logits = []
    with Watching(model):
        for batch in DataLoader(images, batch_size=batch_size):
            logits.extend(model(batch).unbind())
    return torch.stack(logits, dim=0)


def top_k(logits, k):
    left = logits.clone()
    rows = torch.arange(len(left))
    log_total = torch.logsumexp(logits, dim=1)
    probabilities, classes = [], []
    for _ in range(k):
        best = torch.argmax(left, dim=1)
        probabilities.append(torch.exp(left[rows, best] - log_total))
        classes.append(best)
        left[rows, best] = -torch.inf
    return torch.stack(probabilities).T, torch.stack(classes).T


def compare_recipes(predict, images, labels, recipes):
    shares = dict.fromkeys(recipes, 0.0)
    for name, recipe in recipes.items():
        _, order = predict(standardize(images, recipe)).sort(dim=1, descending=True)
        shares[name] += torch.count_nonzero(order[:, 0] == labels).item() / labels.numel()
    return shares


def top_k_accuracy(logits, labels, k):
    threshold, _ = torch.kthvalue(logits, logits.shape[1] - k + 1, dim=1)
    own = torch.take_along_dim(logits, labels.unsqueeze(1), 1).squeeze(1)
    return int(torch.sum(own >= threshold)) / len(labels)


def surest_mistakes(logits, labels, k):
    doubt = (logits - logits.max(dim=1, keepdim=True).values).exp().sum(dim=1).tolist()  # 1 / confidence
    answers = logits.max(dim=1).indices.tolist()
    wrong = [
        i for i, (answer, label) in enumerate(zip(answers, labels.tolist(), strict=True)) if answer != label
    ]
    return torch.LongTensor(heapq.nsmallest(k, wrong, key=doubt.__getitem__))


def reliability(confidence, correct, num_bins=10):
    p, order = torch.sort(confidence)
    borders = torch.tensor([b / num_bins for b in range(1, num_bins)] + [torch.inf], dtype=p.dtype)
    upto = torch.searchsorted(p, borders, right=True)
    start = F.pad(upto[:-1], (1, 0))

    def mean(values):
        total = F.pad(values.cumsum(0), (1, 0))
        return (total[upto] - total[start]) / (upto - start)

    return {
        "accuracy": mean(correct[order].to(p.dtype)),
        "confidence": mean(p),
        "count": upto - start,
    }


def expected_calibration_error(confidence, correct, num_bins=10):
    gaps = {}
    for p, right in zip(confidence.tolist(), correct.tolist(), strict=True):
        b = next(b for b in range(num_bins) if p * num_bins <= b + 1)
        gaps[b] = gaps.get(b, 0.0) + right - p
    return math.fsum(map(abs, gaps.values())) / len(confidence)


def fit_temperature(logits, labels):
    z = logits.double()
    target = z.gather(1, labels[:, None]).mean()
    low, high, beta = 0.01, 100.0, 1.0
    for _ in range(200):
        p = torch.softmax(beta * z, dim=1)
        mean = (p * z).sum(dim=1, keepdim=True)
        slope = float(mean.mean() - target)
        curvature = float((p * (z - mean) ** 2).sum(dim=1).mean())
        low, high = (low, beta) if slope > 0 else (beta, high)
        step = beta - slope / curvature if curvature > 0 else low
        new = step if low < step < high else math.sqrt(low * high)
        if abs(new / beta - 1) < 1e-9:
            break
        beta = new
    return 1 / beta


class Ear:
    """What a layer gave last."""

    def __call__(self, module, inputs, output):
        maps = output.dim() == 4
        self.heard = torch.einsum("bchw->bc", output) / output[0, 0].numel() if maps else 1 * output


@torch.inference_mode()
def features(model, layer, images, batch_size=32):
    ear = Ear()
    module = model
    for part in filter(None, layer.split(".")):
        module = getattr(module, part)
    handle = module.register_forward_hook(partial(ear.__call__))
    rows = torch.empty(0)
    with Watching(model):
        for batch in torch.split(images, batch_size):
            model(batch)
            rows = torch.cat([rows, ear.heard]) if len(rows) else ear.heard
    handle.remove()
    return rows
