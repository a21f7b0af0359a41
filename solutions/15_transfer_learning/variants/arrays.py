"""Names by regular expressions, NumPy, a leaf in the middle of the forward pass."""

import functools
import pickle
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def replace_head(model, name, num_classes):
    *path, last = name.split(".")
    parent = functools.reduce(getattr, path, model)
    old = getattr(parent, last)
    with torch.device(old.weight.device):
        new = nn.Linear(old.weight.size(-1), num_classes, dtype=old.weight.dtype)
    parent.register_module(last, new)
    return getattr(parent, last)


def pattern(names):
    """Fits the paths of all parameters that are named, or inside of what is named."""
    if "" in names:
        return re.compile("")
    return re.compile("(?!)" if not names else rf"({'|'.join(map(re.escape, names))})(\.|$)")


def set_trainable(model, names):
    wanted = pattern(names)
    sizes = []
    for path, parameter in model.named_parameters():
        parameter.requires_grad = wanted.match(path) is not None
        sizes.append(parameter.numel() if parameter.requires_grad else 0)
    return int(np.sum(sizes))


def fit_head(features, labels, num_classes, decay):
    f = np.pad(features.numpy().astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    N, D = f.shape
    target = np.eye(num_classes)[labels.numpy()]
    penalty = np.append(np.full(D - 1, decay), 0.0)

    def value_and_p(theta):
        z = f @ theta.T
        z -= z.max(axis=1, keepdims=True)
        total = np.exp(z).sum(axis=1, keepdims=True)
        loss = np.mean(np.log(total)[:, 0] - (z * target).sum(axis=1)) + (penalty * theta**2).sum() / 2
        return loss, np.exp(z) / total

    theta = np.zeros((num_classes, D))
    for _ in range(100):  # Newton's steps, each by conjugate gradients
        loss, p = value_and_p(theta)
        residual = -((p - target).T @ f / N + penalty * theta)
        if np.abs(residual).max() < 1e-8:
            break
        step, direction, size = np.zeros_like(theta), residual.copy(), np.vdot(residual, residual)
        enough = 1e-6 * size
        for _ in range(theta.size):
            z = f @ direction.T
            curved = (p * (z - (p * z).sum(axis=1, keepdims=True))).T @ f / N + (penalty + 1e-10) * direction
            length = size / np.vdot(direction, curved)
            step += length * direction
            residual -= length * curved
            size, before = np.vdot(residual, residual), size
            if size < enough:
                break
            direction = residual + size / before * direction
        length = 1.0
        while value_and_p(theta + length * step)[0] > loss and length > 1e-9:
            length /= 2
        theta = theta + length * step
    head = nn.Linear(D - 1, num_classes)
    weights = torch.tensor(theta, dtype=features.dtype)
    head.weight.data, head.bias.data = weights[:, :-1], weights[:, -1]
    return head


def training_mode(model):
    for module in model.modules():
        kinds = {kind.__name__ for kind in type(module).__mro__}
        module.training = kinds.isdisjoint({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d"})


def parameter_groups(model, stages, rate, factor):
    paths, parameters = zip(*model.named_parameters(), strict=True)
    trainable = np.array([parameter.requires_grad for parameter in parameters])
    table = np.array([[bool(pattern(names).match(path)) for path in paths] for names in stages], dtype=bool)
    table = table.reshape(len(stages), len(paths)) & trainable
    if np.any(trainable & ~table.any(axis=0)):
        raise ValueError("something trainable is in none of the stages")
    rates = rate * np.power(float(factor), np.arange(len(stages))[::-1])
    return [
        {"params": [parameters[n] for n in np.flatnonzero(row)], "lr": float(lr)}
        for row, lr in zip(table, rates, strict=True)
        if row.any()
    ]


def plateau_rates(losses, rate, factor=0.3, patience=2, floor=0.0):
    y = np.array([np.inf, *losses])
    lowest = np.fmin.accumulate(y)
    better = np.flatnonzero(y[1:] < lowest[:-1]) + 1
    rates = np.full(len(y), float(rate))
    start = 0
    for epoch in range(1, len(y)):
        start = epoch if epoch in better else start
        if epoch - start == patience:
            rates[epoch:] = max(rates[epoch] * factor, floor)
            start = epoch
    return rates.tolist()


def save_checkpoint(path, model, optimizer, history):
    arrays = {f"model/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
    state = optimizer.state_dict()
    for number, kept in state["state"].items():
        arrays |= {f"optimizer/{number}/{name}": np.asarray(value) for name, value in kept.items()}
    rest = pickle.dumps((state["param_groups"], history))
    with Path(path).open("wb") as file:
        np.savez(file, rest=np.frombuffer(rest, dtype=np.uint8), **arrays)


def load_checkpoint(path, model, optimizer):
    weights, state = {}, {}
    with np.load(path) as file:
        groups, history = pickle.loads(file["rest"].tobytes())
        for name in file.files:
            where, _, key = name.partition("/")
            if where == "model":
                weights[key] = torch.from_numpy(file[name])
            elif where == "optimizer":
                number, _, what = key.partition("/")
                state.setdefault(int(number), {})[what] = torch.from_numpy(file[name])
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return history


def fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    begin = np.array([group["lr"] for group in optimizer.param_groups])
    snapshots = [{name: value.numpy().copy() for name, value in model.state_dict().items()}]
    train, val = np.zeros(0), np.full(1, np.inf)
    for _ in range(num_epochs):
        rates = begin * plateau_rates(val[1:].tolist(), 1.0)[-1]
        for n, group in enumerate(optimizer.param_groups):
            group["lr"] = float(rates[n])
        mode(model)
        losses, sizes = [], []
        for inputs, targets in train_loader:
            loss = -F.log_softmax(model(inputs), dim=1)[np.arange(len(targets)), targets].mean()
            model.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            sizes.append(len(inputs))
        train = np.append(train, np.average(losses, weights=sizes))
        model.eval()
        with torch.no_grad():
            logits = [(F.log_softmax(model(inputs), dim=1), targets) for inputs, targets in val_loader]
        each = np.concatenate([-z.gather(1, t[:, None]).numpy()[:, 0] for z, t in logits])
        val = np.append(val, each.mean())
        snapshots.append({name: value.numpy().copy() for name, value in model.state_dict().items()})
        best = int(np.nanargmin(val))
        if len(val) - 1 - best >= patience:
            break
    best = int(np.nanargmin(val))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in snapshots[best].items()})
    return {
        "train_loss": train.tolist(),
        "val_loss": val[1:].tolist(),
        "best_epoch": best - 1 if best else None,
    }


def confusion_matrix(labels, predictions, num_classes):
    edges = np.arange(num_classes + 1) - 0.5
    counts, _, _ = np.histogram2d(labels.numpy(), predictions.numpy(), bins=(edges, edges))
    return torch.from_numpy(counts.astype(np.int64))


def grad_cam(model, layer, picture, label):
    modes = {module: module.training for module in model.modules()}
    leaf = torch.empty(0)

    def cut(module, inputs, output):
        nonlocal leaf
        leaf = output.detach().requires_grad_()
        return leaf

    handle = model.get_submodule(layer).register_forward_hook(cut)
    model.eval()
    with torch.enable_grad():
        z = model(picture[np.newaxis].clone())[0, label]
    handle.remove()
    for module, was in modes.items():
        module.training = was
    (slope,) = torch.autograd.grad(z, leaf)
    A, dA = leaf.detach().numpy()[0], slope.numpy()[0]
    raw = np.maximum(np.tensordot(dA.mean(axis=(1, 2)), A, axes=1), 0)
    return torch.from_numpy(raw / (raw.max() or 1.0))
