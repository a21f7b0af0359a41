"""Down the tree of modules by recursion, Newton's method, a variable added to what a layer gives."""

import copy
import io
import math
import zipfile
from collections import Counter
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import nn


def replace_head(model, name, num_classes):
    first, _, rest = name.partition(".")
    child = model._modules[first]
    if rest:
        return replace_head(child, rest, num_classes)
    new = copy.deepcopy(child).requires_grad_(True)
    new.out_features = num_classes
    for kind, shape in (("weight", (num_classes, child.in_features)), ("bias", (num_classes,))):
        setattr(new, kind, nn.Parameter(child.weight.new_empty(shape)))
    new.reset_parameters()
    setattr(model, first, new)
    return new


def inside(model, names, path="", chosen=False):
    """(parameter, whether it is chosen), of the model and all that is in it."""
    chosen = chosen or path in names
    start = path and path + "."
    for name, parameter in model.named_parameters(recurse=False):
        yield parameter, chosen or start + name in names
    for name, child in model.named_children():
        yield from inside(child, names, start + name, chosen)


def set_trainable(model, names):
    count = 0
    for parameter, chosen in inside(model, names):
        parameter.requires_grad = chosen
        if chosen:
            count += len(parameter.flatten())
    return count


def fit_head(features, labels, num_classes, decay):
    f = features.double()
    if f.shape[1] > len(f):  # the best weights are combinations of the examples
        basis = torch.linalg.qr(f.T).Q
    else:
        basis = torch.eye(f.shape[1], dtype=f.dtype)
    x = torch.cat([f @ basis, torch.ones(len(f), 1, dtype=f.dtype)], dim=1)
    N, D = x.shape
    target = torch.eye(num_classes, dtype=f.dtype)[labels]
    penalty = decay * torch.ones(D, dtype=f.dtype)
    penalty[-1] = 0
    theta = torch.zeros(num_classes, D, dtype=f.dtype)

    def loss(theta):
        z = x @ theta.T
        return float((z.logsumexp(1) - (z * target).sum(1)).mean() + (penalty * theta**2).sum() / 2)

    for _ in range(50):
        p = (x @ theta.T).softmax(dim=1)
        slope = (p - target).T @ x / N + penalty * theta
        if float(slope.abs().max()) < 1e-9:
            break
        spread = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        H = torch.einsum("nkl,nd,ne->kdle", spread, x, x).reshape(theta.numel(), theta.numel()) / N
        H += torch.diag(penalty.repeat(num_classes) + 1e-9)
        step = torch.linalg.solve(H, slope.flatten()).reshape(theta.shape)
        length = 1.0
        while loss(theta - length * step) > loss(theta) and length > 1e-8:
            length /= 2
        theta = theta - length * step
    head = nn.Linear(features.shape[1], num_classes, dtype=features.dtype)
    with torch.no_grad():
        head.weight.copy_(theta[:, :-1] @ basis.T)
        head.bias.copy_(theta[:, -1])
    return head


def training_mode(model):
    model.training = not isinstance(model, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
    for child in model.children():
        training_mode(child)


def parameter_groups(model, stages, rate, factor):
    if not stages:
        if any(p.requires_grad for p in model.parameters()):
            raise ValueError("something trainable is in none of the stages")
        return []

    def group(stages, rate):
        *earlier, names = stages
        own = [p for p, chosen in inside(model, names) if chosen and p.requires_grad]
        before = group(earlier, rate * factor) if earlier else []
        return [*before, {"params": own, "lr": rate}] if own else before

    groups = group(stages, rate)
    there = sum(len(each["params"]) for each in groups)
    if there != sum(p.requires_grad for p in model.parameters()):
        raise ValueError("something trainable is in none of the stages")
    return groups


def plateau_rates(losses, rate, factor=0.3, patience=2, floor=0.0):
    def following(state, loss):
        rate, lowest, left = state
        if loss < lowest:
            return rate, loss, patience
        if left > 1:
            return rate, lowest, left - 1
        return max(rate * factor, floor), lowest, patience

    return [state[0] for state in accumulate(losses, following, initial=(rate, math.inf, patience))]


def save_checkpoint(path, model, optimizer, history):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, part in (
            ("weights", model.state_dict()),
            ("steps", optimizer.state_dict()),
            ("h", history),
        ):
            buffer = io.BytesIO()
            torch.save(part, buffer)
            file.writestr(name, buffer.getvalue())


def load_checkpoint(path, model, optimizer):
    with zipfile.ZipFile(path) as file:
        weights, steps, history = (
            torch.load(io.BytesIO(file.read(name)), weights_only=True) for name in ("weights", "steps", "h")
        )
    model.load_state_dict(weights)
    optimizer.load_state_dict(steps)
    return history


def fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    history = {"best_epoch": None, "val_loss": [], "train_loss": []}
    rates = [group["lr"] for group in optimizer.param_groups]

    def one_pass(loader, step):
        losses = Counter()
        for x, y in loader:
            total = F.nll_loss(model(x).log_softmax(-1), y, reduction="sum")
            if step:
                optimizer.zero_grad()
                (total / len(y)).backward()
                optimizer.step()
            losses.update(sum=total.item(), count=len(y))
        return losses["sum"] / losses["count"]

    def go(epoch, waited, lowest, best):
        if epoch == num_epochs or waited == patience:
            return best
        factor = plateau_rates(history["val_loss"], 1.0)[epoch]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group.update(lr=rate * factor)
        mode(model)
        history["train_loss"].append(one_pass(train_loader, True))
        model.eval()
        with torch.no_grad():
            loss = one_pass(val_loader, False)
        history["val_loss"].append(loss)
        if loss < lowest:
            history["best_epoch"] = epoch
            return go(epoch + 1, 0, loss, copy.deepcopy(model.state_dict()))
        return go(epoch + 1, waited + 1, lowest, best)

    model.load_state_dict(go(0, 0, math.inf, copy.deepcopy(model.state_dict())))
    return history


def confusion_matrix(labels, predictions, num_classes):
    table = torch.zeros(num_classes, num_classes, dtype=torch.long)
    table.index_put_((labels, predictions), torch.ones_like(labels), accumulate=True)
    return table


def grad_cam(model, layer, picture, label):
    found = {}

    def add(module, inputs, output):
        found["A"] = output.detach().clone()
        found["more"] = torch.zeros_like(output[:, :, :1, :1]).detach().requires_grad_()
        return output + found["more"]

    def modes(module, into=None):
        own = [module.training] if into is None else [setattr(module, "training", into.pop(0))]
        return own + [each for child in module.children() for each in modes(child, into)]

    before = modes(model)
    handle = model.get_submodule(layer).register_forward_hook(add)
    try:
        with torch.enable_grad():
            z = model.eval()(picture.clone().unsqueeze(0))
            slope = torch.autograd.grad(z[0, label], [found["more"]])[0]
    finally:
        handle.remove()
        modes(model, before)
    alpha = slope / found["A"][0, 0].numel()
    seen = (alpha * found["A"]).sum(dim=1).squeeze(0).clip(min=0)
    return seen / seen.max().clip(min=torch.finfo(seen.dtype).tiny)
