"""Pillow for the pixels, NumPy for the counting, plain loops."""

import numpy as np
import torch
from PIL import Image
from scipy.optimize import minimize_scalar


def resize_and_crop(image, resize=256, crop=224):
    picture = Image.fromarray(image)
    width, height = picture.size
    if width < height:
        width, height = resize, round(resize * height / width)
    else:
        width, height = round(resize * width / height), resize
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    # The larger margin on the other side than in the solution.
    left, top = (width - crop + 1) // 2, (height - crop + 1) // 2
    pixels = np.asarray(picture.crop((left, top, left + crop, top + crop)), dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))


def standardize(images, recipe):
    planes = []
    for letter, mean, std in zip(recipe["order"], recipe["mean"], recipe["std"], strict=True):
        plane = images[:, {"R": 0, "G": 1, "B": 2}[letter]].to(torch.float64)
        planes.append((plane * recipe["scale"] - mean) / std)
    return torch.stack(planes, dim=1).to(torch.float32)


def classify(model, images, batch_size=32):
    modes = {name: module.training for name, module in model.named_modules()}
    logits = []
    with torch.no_grad():
        model.train(False)
        for start in range(0, len(images), batch_size):
            logits += list(model(images[start : start + batch_size]))
    for name, mode in modes.items():
        model.get_submodule(name).training = mode
    return torch.stack(logits)


def top_k(logits, k):
    z = logits.numpy().astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    order = np.argsort(-z, axis=1, kind="stable")[:, :k]
    return torch.tensor(np.take_along_axis(p, order, axis=1)), torch.tensor(order)


def compare_recipes(predict, images, labels, recipes):
    shares = {}
    for name in recipes:
        logits = predict(standardize(images.clone(), recipes[name]))
        answers = torch.max(logits, 1)[1]
        shares[name] = sum(int(a) == int(b) for a, b in zip(answers, labels, strict=True)) / len(labels)
    return shares


def top_k_accuracy(logits, labels, k):
    hits = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        hits += sum(z > row[label] for z in row) < k
    return hits / len(labels)


def surest_mistakes(logits, labels, k):
    probabilities = torch.exp(logits - torch.logsumexp(logits, dim=1, keepdim=True))
    found = []
    for n, (row, label) in enumerate(zip(probabilities, labels, strict=True)):
        if int(row.argmax()) != int(label):
            found.append((-float(row.max()), n))
    return torch.tensor([n for _, n in sorted(found)[:k]], dtype=torch.int64)


def reliability(confidence, correct, num_bins=10):
    counts, means, shares = [], [], []
    for b in range(num_bins):
        inside = (confidence <= (b + 1) / num_bins) & ((confidence > b / num_bins) | (b == 0))
        counts.append(int(inside.sum()))
        means.append(confidence[inside].mean())  # of nothing: NaN
        shares.append(correct[inside].to(confidence.dtype).mean())
    return {"count": torch.tensor(counts), "confidence": torch.stack(means), "accuracy": torch.stack(shares)}


def expected_calibration_error(confidence, correct, num_bins=10):
    bins = reliability(confidence, correct, num_bins)
    error = 0.0
    for n, p, share in zip(
        *(bins[name].tolist() for name in ("count", "confidence", "accuracy")), strict=True
    ):
        if n > 0:
            error += n * abs(share - p)
    return error / len(correct)


def fit_temperature(logits, labels):
    z = logits.double().numpy()
    right = z[np.arange(len(z)), labels.numpy()]

    def loss(log_t):
        scaled = z / np.exp(log_t)
        top = scaled.max(axis=1)
        return np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - right / np.exp(log_t))

    found = minimize_scalar(
        loss, bounds=(np.log(0.01), np.log(100)), method="bounded", options={"xatol": 1e-7}
    )
    return float(np.exp(found.x))


def features(model, layer, images, batch_size=32):
    modes = {name: module.training for name, module in model.named_modules()}
    found = []

    def keep(module, args, output):
        while output.ndim > 2:
            output = output.mean(-1)
        found.append(output.detach().clone())

    handle = model.get_submodule(layer).register_forward_hook(keep)
    rows = []
    try:
        with torch.no_grad():
            model.eval()
            for start in range(0, len(images), batch_size):
                model(images[start : start + batch_size])
                rows.append(found.pop())
    finally:
        handle.remove()
        for name, mode in modes.items():
            model.get_submodule(name).training = mode
    return torch.cat(rows)
