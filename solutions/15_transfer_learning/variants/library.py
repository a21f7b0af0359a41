"""torch's own schedulers, Adam for the head, sets of parameters, one-hot tables."""

import copy
import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


def replace_head(model, name, num_classes):
    old = model.get_submodule(name)
    new = nn.Linear(old.in_features, num_classes).to(old.weight.device, old.weight.dtype)
    *_, last = name.split(".")
    model.get_submodule(name[: -len(last) - 1] if "." in name else "").add_module(last, new)
    return new


def members(model, names):
    """The parameters that are named, or inside of a module that is, in the order of the model."""
    modules = dict(model.named_modules())
    parameters = dict(model.named_parameters())
    wanted = set()
    for name in names:
        wanted |= {id(p) for p in modules[name].parameters()} if name in modules else {id(parameters[name])}
    return [p for p in model.parameters() if id(p) in wanted]


def set_trainable(model, names):
    model.requires_grad_(False)
    for parameter in members(model, names):
        parameter.requires_grad_(True)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def fit_head(features, labels, num_classes, decay):
    head = nn.Linear(features.shape[1], num_classes).to(features.dtype)
    groups = [{"params": [head.weight], "weight_decay": decay}, {"params": [head.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.Adam(groups, lr=0.2)
    steps = 3000
    schedule = LambdaLR(optimizer, lambda step: max(1 - step / steps, 1e-3) ** 2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features), labels).backward()
        optimizer.step()
        schedule.step()
    return head


def training_mode(model):
    model.train().apply(
        lambda module: (
            module.train(not isinstance(module, _BatchNorm)) if not list(module.children()) else None
        )
    )


def parameter_groups(model, stages, rate, factor):
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    parts = [[p for p in members(model, names) if id(p) in trainable] for names in stages]
    if trainable - {id(p) for part in parts for p in part}:
        raise ValueError("something that is trainable is in none of the stages")
    rates = [rate * factor**power for power in reversed(range(len(stages)))]
    return [{"params": part, "lr": each} for part, each in zip(parts, rates, strict=True) if len(part) > 0]


def plateau_rates(losses, rate, factor=0.3, patience=2, floor=0.0):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = ReduceLROnPlateau(
        optimizer,
        factor=factor,
        patience=patience - 1,
        threshold=0.0,
        threshold_mode="abs",
        min_lr=floor,
        eps=0.0,
    )
    rates = [rate]
    for loss in losses:
        schedule.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def save_checkpoint(path, model, optimizer, history):
    kept = {"weights": copy.deepcopy(model.state_dict()), "steps": copy.deepcopy(optimizer.state_dict())}
    torch.save({**kept, "h": history}, path)


def load_checkpoint(path, model, optimizer):
    saved = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(saved.pop("weights"), strict=True)
    optimizer.load_state_dict(saved.pop("steps"))
    return saved["h"]


@torch.no_grad()
def mean_loss(model, loader):
    model.eval()
    logits, labels = zip(*((model(inputs), targets) for inputs, targets in loader), strict=True)
    return F.cross_entropy(torch.cat(logits), torch.cat(labels)).item()


def fine_tune(model, optimizer, train_loader, val_loader, num_epochs, patience, mode=training_mode):
    factors = [1.0]
    schedule = LambdaLR(optimizer, [lambda epoch: factors[-1]] * len(optimizer.param_groups))
    train_losses, val_losses = [], []
    best_epoch, best_state = None, copy.deepcopy(model.state_dict())
    for epoch in itertools.count():
        if epoch == num_epochs or epoch - (-1 if best_epoch is None else best_epoch) > patience:
            break
        mode(model)
        totals = []
        for inputs, targets in train_loader:
            loss = nn.CrossEntropyLoss()(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals.append((float(loss.detach()), len(targets)))
        train_losses.append(sum(a * n for a, n in totals) / sum(n for _, n in totals))
        val_losses.append(mean_loss(model, val_loader))
        if val_losses[-1] < min([each for each in val_losses[:-1] if each == each], default=float("inf")):
            best_epoch, best_state = epoch, copy.deepcopy(model.state_dict())
        if epoch + 1 < num_epochs and epoch - (-1 if best_epoch is None else best_epoch) < patience:
            factors.append(plateau_rates(val_losses, 1.0)[-1])
            schedule.step()
    model.load_state_dict(best_state)
    return {"train_loss": train_losses, "val_loss": val_losses, "best_epoch": best_epoch}


def confusion_matrix(labels, predictions, num_classes):
    rows, columns = (F.one_hot(each, num_classes) for each in (labels, predictions))
    return rows.T @ columns


def grad_cam(model, layer, picture, label):
    training = [module for module in model.modules() if module.training]
    kept = []
    hook = model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    try:
        model.eval()
        z = model(picture.unsqueeze(0).clone().requires_grad_(True))
        slope = torch.autograd.grad(z[:, label].sum(), kept[0])[0]
    finally:
        hook.remove()
        for module in training:
            module.training = True
    alpha = slope.flatten(2).mean(dim=2)
    heat = F.relu(torch.einsum("nc,nchw->nhw", alpha, kept[0].detach())).squeeze(0)
    return torch.nan_to_num(heat / heat.max())


class Voting(nn.Module):
    """A head on the features of a picture and its mirror image."""

    def __init__(self, network, mean, deviation, head):
        super().__init__()
        self.network, self.head = network, head
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, pictures):
        x = prepare(pictures, 80)
        with torch.no_grad():
            logits = [
                self.head((embed(self.network, each) - self.mean) / self.deviation) for each in (x, x.flip(3))
            ]
        return sum(logits) / 2


def transfer(pictures, labels, seed):
    torch.manual_seed(seed)
    network = load_backbone()
    x = prepare(pictures, 80)
    f = embed(network, torch.cat([x, x.flip(3)]))
    deviation, mean = torch.std_mean(f, dim=0)
    deviation = deviation + 1e-2
    head = nn.Linear(f.shape[1], int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.5)
    inputs, targets = (f - mean) / deviation, labels.repeat(2)
    for _ in range(25):
        for rows in torch.randperm(len(inputs)).split(30):
            optimizer.zero_grad()
            F.cross_entropy(head(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    return Voting(network, mean, deviation, head)
