"""Whole tensors: a dataset of tensors, the loss by logsigmoid, modules in a list, a history of arrays."""

import copy
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset


class ImageDataset(TensorDataset):
    def __init__(self, images, labels, mean=0.0, std=1.0):
        x = torch.from_numpy((np.expand_dims(images, 1) - mean) / std).to(torch.float32)
        super().__init__(x, torch.from_numpy(np.array(labels, dtype="int64")))


def make_loaders(dataset, num_val, batch_size, seed):
    g = torch.Generator().manual_seed(seed * 7919 + 11)
    perm = torch.randperm(len(dataset), generator=g)
    val, train = perm[:num_val].sort().values, perm[num_val:].sort().values
    train_loader = DataLoader(Subset(dataset, train), batch_size, True, generator=g)
    return [train_loader, DataLoader(Subset(dataset, val), batch_size)]


def binary_loss(logits, labels):
    z = logits.squeeze(-1)
    return torch.where(labels == 1, -F.logsigmoid(z), -F.logsigmoid(-z)).mean()


def num_correct(logits, labels):
    answers = torch.where(
        torch.tensor(logits.shape[1] == 1), logits[:, 0].sigmoid() > 0.5, logits.argmax(1).bool()
    )
    if logits.shape[1] > 1:
        answers = logits.softmax(1).argmax(1)
    return torch.sum(answers == labels)


def build_mlp(sizes, dropout=0.0):
    parts = [nn.Flatten()]
    for a, b in pairwise(sizes):
        parts.extend([nn.Linear(a, b), nn.ReLU(inplace=True), nn.Dropout(dropout)])
    return nn.Sequential(*parts[:-2])


def train_epoch(model, loader, loss_fn, optimizer):
    model.train()
    total = torch.zeros((), dtype=torch.float64)
    for x, y in loader:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.detach().double() * y.shape[0]
    return total / len(loader.dataset)


def evaluate(model, loader, loss_fn):
    model.eval()
    with torch.no_grad():
        parts = [(model(x), y) for x, y in loader]
    logits, labels = (torch.cat(part) for part in zip(*parts, strict=True))
    return loss_fn(logits, labels).item(), num_correct(logits, labels) / len(labels)


def warmup_cosine(num_epochs, warmup, peak, floor=0.0):
    e = torch.arange(num_epochs, dtype=torch.float64)
    w = torch.tensor(float(warmup), dtype=torch.float64)
    fall = torch.cos((e - w) / (num_epochs - w).clamp(min=1) * torch.pi)
    rates = torch.where(e < w, peak * (e + 1) / w.clamp(min=1), torch.lerp(
        torch.tensor(floor, dtype=torch.float64), torch.tensor(peak, dtype=torch.float64), 0.5 + fall / 2
    ))  # fmt: skip
    return rates.numpy()


def fit(model, optimizer, run_epoch, validate, rates, patience):
    train, val, accuracy, states = [], [], [], []
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        train.append(run_epoch())
        results = validate()
        val.append(results[0])
        accuracy.append(results[1])
        states.append(copy.deepcopy(model.state_dict()))
        known = np.nan_to_num(np.array(val), nan=np.inf)
        best = int(known.argmin())
        if len(val) - 1 - (best if np.isfinite(known[best]) else -1) >= patience:
            break
    model.load_state_dict(states[best])
    return {"train_loss": train, "val_loss": val, "val_accuracy": accuracy, "best_epoch": best}


def random_configs(space, num, seed):
    g = torch.Generator().manual_seed(seed)

    def uniform(low, high):
        return low + (high - low) * torch.rand((), generator=g, dtype=torch.float64).item()

    def one(choice):
        if type(choice) is list:
            return choice[int(torch.randint(len(choice), (), generator=g))]
        if choice[0] == "log":
            return 10 ** uniform(np.log10(choice[1]), np.log10(choice[2]))
        return uniform(choice[1], choice[2])

    return [{name: one(choice) for name, choice in space.items()} for _ in range(num)]


def digit_classifier(images, labels, seed):
    torch.manual_seed(seed)
    x, y = torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)
    classes = int(y.max()) + 1
    model = nn.Sequential(
        nn.InstanceNorm2d(1),
        nn.Flatten(),
        nn.LazyLinear(200),
        nn.GELU(),
        nn.Dropout(0.4),
        nn.LazyLinear(classes),
    )
    model(x[:2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    model.train()
    for _ in range(25):
        for batch in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model
