"""Loops and few of torch's helpers: paths cut at their dots, plain gradient descent, hooks on both passes."""

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn


def replace_head(model, name, num_classes):
    parts = name.split(".")
    parent = model
    for part in parts[:-1]:
        parent = getattr(parent, part)
    old = getattr(parent, parts[-1])
    new = nn.Linear(old.weight.shape[1], num_classes).to(old.weight)
    parent._modules[parts[-1]] = new
    return new


def inside(path, names):
    parts = path.split(".")
    for name in names:
        wanted = name.split(".") if name else []
        if parts[: len(wanted)] == wanted:
            return True
    return False


def set_trainable(model, names):
    numbers = 0
    for path, parameter in model.named_parameters():
        parameter.requires_grad = inside(path, names)
        if parameter.requires_grad:
            numbers += math.prod(parameter.shape)
    return numbers


def fit_head(features, labels, num_classes, decay):
    # Gradient descent with Nesterov's momentum, in float64; the rate is that of the largest curvature.
    f = features.double()
    design = torch.cat([f, torch.ones(len(f), 1, dtype=torch.float64)], dim=1)
    rate = 1 / (0.5 * float(torch.linalg.matrix_norm(design, 2)) ** 2 / len(f) + decay)
    mask = torch.ones(f.shape[1] + 1, dtype=torch.float64)
    mask[-1] = 0
    target = F.one_hot(labels, num_classes).double()
    theta = torch.zeros(num_classes, f.shape[1] + 1, dtype=torch.float64)
    ahead, t = theta, 1.0
    for _ in range(4000):
        p = (design @ ahead.T).softmax(dim=1)
        slope = (p - target).T @ design / len(f) + decay * ahead * mask
        following = ahead - rate * slope
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        if float(((ahead - following) * (following - theta)).sum()) > 0:
            t_next, ahead = 1.0, following  # it has gone uphill: begin anew
        else:
            ahead = following + (t - 1) / t_next * (following - theta)
        theta, t = following, t_next
        if float(slope.abs().max()) < 1e-6:
            break
    head = nn.Linear(f.shape[1], num_classes).to(features.dtype)
    head.load_state_dict({"weight": theta[:, :-1], "bias": theta[:, -1]})
    return head


def training_mode(model):
    for module in model.modules():
        module.training = "BatchNorm" not in type(module).__name__


def parameter_groups(model, stages, rate, factor):
    left = {path for path, parameter in model.named_parameters() if parameter.requires_grad}
    groups = []
    for names in reversed(stages):
        members = [p for path, p in model.named_parameters() if p.requires_grad and inside(path, names)]
        left -= {path for path in left if inside(path, names)}
        if members:
            groups.insert(0, {"lr": rate, "params": members})
        rate = rate * factor
    if left:
        raise ValueError("in none of the stages: " + ", ".join(sorted(left)))
    return groups


def plateau_rates(losses, rate, factor=0.3, patience=2, floor=0.0):
    rates, since, best = [rate], 0, math.inf
    for loss in losses:
        if loss < best:
            best, since = loss, 0
        else:
            since += 1
            if since == patience:
                since = 0
                rate = rate * factor if rate * factor > floor else floor
        rates += [rate]
    return rates


def save_checkpoint(path, model, optimizer, history):
    everything = [model.state_dict(), optimizer.state_dict(), history]
    with Path(path).open("wb") as file:
        torch.save(everything, file)


def load_checkpoint(path, model, optimizer):
    with Path(path).open("rb") as file:
        of_model, of_optimizer, history = torch.load(file)
    with torch.no_grad():
        own = model.state_dict()
        for name in own:
            own[name].copy_(of_model[name])
    optimizer.load_state_dict(of_optimizer)
    return history


def fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    first_rates = [float(group["lr"]) for group in optimizer.param_groups]
    history = {"train_loss": [], "val_loss": [], "best_epoch": None}
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    waited = 0
    while len(history["val_loss"]) < num_epochs and waited < patience:
        factor = plateau_rates(list(history["val_loss"]), 1.0)[-1]
        for rate, group in zip(first_rates, optimizer.param_groups, strict=True):
            group["lr"] = factor * rate
        mode(model)
        losses = []
        for inputs, targets in train_loader:
            optimizer.zero_grad(set_to_none=True)
            each = F.cross_entropy(model(inputs), targets, reduction="none")
            each.mean().backward()
            optimizer.step()
            losses += each.tolist()
        history["train_loss"].append(sum(losses) / len(losses))
        model.eval()
        losses = []
        for inputs, targets in val_loader:
            with torch.inference_mode():
                losses += F.cross_entropy(model(inputs), targets, reduction="none").tolist()
        now = sum(losses) / len(losses)
        before = [loss for loss in history["val_loss"] if not math.isnan(loss)]
        history["val_loss"].append(now)
        waited += 1
        if not math.isnan(now) and all(now < loss for loss in before):
            waited, history["best_epoch"] = 0, len(history["val_loss"]) - 1
            kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    return history


def confusion_matrix(labels, predictions, num_classes):
    C = torch.zeros((num_classes, num_classes), dtype=torch.int64)
    for i, j in zip(labels.tolist(), predictions.tolist(), strict=True):
        C[i, j] += 1
    return C


def grad_cam(model, layer, picture, label):
    twin = copy.deepcopy(model).eval()  # may be spoiled
    for parameter in twin.parameters():
        parameter.requires_grad = True
    found = {}
    twin.get_submodule(layer).register_forward_hook(lambda module, inputs, out: found.update(A=out))
    twin.get_submodule(layer).register_full_backward_hook(lambda module, into, out: found.update(dA=out[0]))
    with torch.enable_grad():
        twin(picture.clone().unsqueeze(0).requires_grad_())[0][label].backward()
    A, slope = found["A"].detach()[0], found["dA"][0]
    heat = torch.zeros(A.shape[1:], dtype=A.dtype)
    for k in range(len(A)):
        heat += slope[k].mean() * A[k]
    heat = heat.relu()
    return heat / heat.max() if bool((heat > 0).any()) else torch.zeros_like(heat)


class Nearest(nn.Module):
    """Cosine similarity to the mean of each class, in the standardized features of two layers."""

    def __init__(self, network, pictures, labels):
        super().__init__()
        self.network = network
        f = self.both(pictures)
        self.mu, self.sigma = f.mean(dim=0), f.std(dim=0) + 1e-3
        f = F.normalize((f - self.mu) / self.sigma, dim=1)
        self.means = F.normalize(
            torch.stack([f[labels == k].mean(dim=0) for k in range(int(labels.max()) + 1)]), dim=1
        )

    def both(self, pictures):
        rows = []
        with torch.no_grad():
            for batch in prepare(pictures, 96).split(40):
                maps = self.network._swish(self.network._bn0(self.network._conv_stem(batch)))
                for block in self.network._blocks:
                    maps = block(maps)
                last = self.network._swish(self.network._bn1(self.network._conv_head(maps)))
                rows.append(torch.cat([maps.mean(dim=(2, 3)), last.mean(dim=(2, 3))], dim=1))
        return torch.cat(rows)

    def forward(self, pictures):
        return 10 * F.normalize((self.both(pictures) - self.mu) / self.sigma, dim=1) @ self.means.T


def transfer(pictures, labels, seed):
    return Nearest(load_backbone(), pictures, labels).eval()
