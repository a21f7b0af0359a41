"""NumPy arrays: resizing as two matrix products, bins by digitize, a grid that gets finer."""

import numpy as np
import torch


def tents(old, new):
    """The weights (new, old) with which the old pixels of a line make the new ones."""
    factor = old / new
    centres = (np.arange(new) + 0.5) * factor
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None])
    weights = np.maximum(0, 1 - distance / max(factor, 1))
    return weights / weights.sum(axis=1, keepdims=True)


def resize_and_crop(image, resize=256, crop=224):
    f = resize / min(image.shape[:2])
    rows, columns = (tents(old, int(old * f + 0.5)) for old in image.shape[:2])
    top, left = (len(rows) - crop) // 2, (len(columns) - crop) // 2
    rows, columns = rows[top : top + crop], columns[left : left + crop]
    return torch.from_numpy(
        np.einsum("ih,hwc,jw->cij", rows, image, columns, optimize=True).astype("float32")
    )


def standardize(images, recipe):
    std = np.array(recipe["std"])
    slope, shift = recipe["scale"] / std, np.array(recipe["mean"]) / std
    last = np.moveaxis(images.numpy(), 1, -1)[..., [list("RGB").index(letter) for letter in recipe["order"]]]
    return torch.tensor(np.moveaxis(last * slope - shift, -1, 1), dtype=torch.float32)


def classify(model, images, batch_size=32):
    mode = np.array([module.training for module in model.modules()])
    logits = None
    with torch.inference_mode():
        model.eval()
        for start in range(0, len(images), batch_size):
            answer = model(images[start : start + batch_size]).numpy()
            if logits is None:
                logits = np.empty((len(images), *answer.shape[1:]), dtype=answer.dtype)
            logits[start : start + len(answer)] = answer
    for module, was in zip(model.modules(), mode, strict=True):
        module.training = bool(was)
    return torch.from_numpy(logits)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def top_k(logits, k):
    z = logits.numpy()
    rows = np.arange(len(z))[:, None]
    some = np.argpartition(z, -k, axis=1)[:, -k:]
    classes = some[rows, np.argsort(z[rows, some], axis=1)[:, ::-1]]
    return torch.from_numpy(softmax(z)[rows, classes]), torch.from_numpy(classes)


def compare_recipes(predict, images, labels, recipes):
    answers = {}
    for name, recipe in recipes.items():
        answers[name] = np.argmax(predict(standardize(images, recipe)).detach().numpy(), axis=1)
    return {name: np.mean(answer == labels.numpy()) for name, answer in answers.items()}


def top_k_accuracy(logits, labels, k):
    places = np.argsort(np.argsort(-logits.numpy(), axis=1), axis=1)
    return np.mean(np.take_along_axis(places, labels.numpy()[:, None], axis=1) < k)


def surest_mistakes(logits, labels, k):
    z = logits.numpy()
    answers = z.argmax(axis=1)
    right = answers == labels.numpy()
    order = np.lexsort((-softmax(z).max(axis=1), right))
    return torch.from_numpy(order[: min(k, np.count_nonzero(~right))])


def binned(confidence, correct, num_bins):
    p = confidence.numpy()
    bins = np.digitize(p, np.arange(1, num_bins) / num_bins, right=True)
    return [np.bincount(bins, weights=w, minlength=num_bins) for w in (np.ones(len(p)), p, correct.numpy())]


def reliability(confidence, correct, num_bins=10):
    count, total, right = binned(confidence, correct, num_bins)
    nothing = np.full(num_bins, np.nan)
    return {
        "count": torch.tensor(count.astype(int)),
        "confidence": torch.tensor(np.divide(total, count, out=nothing.copy(), where=count > 0)),
        "accuracy": torch.tensor(np.divide(right, count, out=nothing.copy(), where=count > 0)),
    }


def expected_calibration_error(confidence, correct, num_bins=10):
    count, total, right = binned(confidence, correct, num_bins)
    return np.abs(right - total).sum() / count.sum()


def fit_temperature(logits, labels):
    z = logits.numpy().astype(np.float64)
    z = z - np.take_along_axis(z, labels.numpy()[:, None], axis=1)  # the label's logit is 0
    low, high = 0.01, 100.0
    while high / low > 1.0001:
        grid = np.geomspace(low, high, 13)
        scaled = z / grid[:, None, None]
        top = scaled.max(axis=2)
        losses = (top + np.log(np.exp(scaled - top[:, :, None]).sum(axis=2))).mean(axis=1)
        best = losses.argmin()
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 12)]
    return (low * high) ** 0.5


def features(model, layer, images, batch_size=32):
    module = model.get_submodule(layer)
    modes = {each: each.training for each in model.modules()}
    forward = module.forward
    last = {}

    def listening(*args, **kwargs):
        output = forward(*args, **kwargs)
        last["value"] = np.array(output.mean((-2, -1)) if output.ndim == 4 else output)
        return output

    module.forward = listening
    rows = []
    with torch.inference_mode():
        model.eval()
        for start in range(0, len(images), batch_size):
            model(images[start : start + batch_size])
            rows.append(last.pop("value"))
    del module.forward
    for each, mode in modes.items():
        each.training = mode
    return torch.tensor(np.concatenate(rows))
