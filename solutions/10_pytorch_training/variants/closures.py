"""Closures and torch's helpers: optimiser steps with a closure, schedulers, batch samplers, saved bytes."""

import io
import math
import random
from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler


class ImageDataset(Dataset):
    def __init__(self, images, labels, mean=0.0, std=1.0):
        self.height, self.width = images.shape[1:]
        rows = np.subtract(images, mean, dtype=np.float64).reshape(len(images), -1) / std
        self.rows, self.labels = rows.astype(np.float32), [int(label) for label in labels]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return torch.tensor(self.rows[i]).view(1, self.height, self.width), self.labels[i]


def make_loaders(dataset, num_val, batch_size, seed):
    chosen = set(random.Random(seed).sample(range(len(dataset)), num_val))
    parts = [[], []]
    for i in range(len(dataset)):
        parts[i in chosen].append(dataset[i])
    train, val = parts
    sampler = RandomSampler(train, generator=torch.Generator().manual_seed(seed))
    train_loader = DataLoader(train, batch_sampler=BatchSampler(sampler, batch_size, drop_last=False))
    return train_loader, DataLoader(val, batch_size=batch_size)


def binary_loss(logits, labels):
    return F.cross_entropy(F.pad(logits, (1, 0)), labels)  # class 0 has the logit 0


def num_correct(logits, labels):
    scores = logits.detach().cpu().numpy()
    if scores.shape[1] == 1:
        answers = np.heaviside(scores[:, 0], 0.0)
    else:
        answers = np.argmax(scores, axis=1)
    return int(np.count_nonzero(answers == labels.cpu().numpy()))


class Hidden(nn.Linear):
    """A linear layer with its ReLU and dropout."""

    def __init__(self, inputs, outputs, dropout):
        super().__init__(inputs, outputs)
        self.dropout = dropout

    def forward(self, x):
        return F.dropout(super().forward(x).clamp(min=0), self.dropout, self.training)


def build_mlp(sizes, dropout=0.0):
    def from_layer(inputs, outputs, *others):
        if not others:
            return nn.Linear(inputs, outputs)
        return nn.Sequential(Hidden(inputs, outputs, dropout), from_layer(outputs, *others))

    return nn.Sequential(nn.Flatten(), from_layer(*sizes))


def train_epoch(model, loader, loss_fn, optimizer):
    model.train()
    where = next(iter(model.parameters())).device

    def step(images, labels):
        def closure():
            optimizer.zero_grad()
            loss = loss_fn(model(images), labels)
            loss.backward()
            return loss

        return optimizer.step(closure).item()

    sums = [(len(y), len(y) * step(x.to(where), y.to(where))) for x, y in loader]
    return math.fsum(part for _, part in sums) / sum(size for size, _ in sums)


def evaluate(model, loader, loss_fn):
    where = next(iter(model.parameters())).device

    def batches():
        for images, labels in loader:
            labels = labels.to(where)
            with torch.set_grad_enabled(False):
                logits = model.eval()(images.to(where))
                yield loss_fn(logits, labels).item(), num_correct(logits, labels) / len(labels), len(labels)

    *means, sizes = np.array(list(batches())).T
    return [np.average(values, weights=sizes) for values in means]


def warmup_cosine(num_epochs, warmup, peak, floor=0.0):
    rates = [peak * (epoch + 1) / warmup for epoch in range(warmup)]
    if num_epochs > warmup:
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=peak)
        schedule = CosineAnnealingLR(optimizer, T_max=num_epochs - warmup, eta_min=floor)
        for _ in range(num_epochs - warmup):
            rates.extend(schedule.get_last_lr())
            optimizer.step()
            schedule.step()
    return np.fromiter(rates, dtype=float)


def fit(model, optimizer, run_epoch, validate, rates, patience):
    names = "train_loss", "val_loss", "val_accuracy"
    lists = defaultdict(list, {name: [] for name in names})
    saved, best_epoch = io.BytesIO(), None

    def epoch(rate):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        for name, value in zip(names, (run_epoch(), *validate()), strict=True):
            lists[name].append(value)

    for e, rate in enumerate(rates):
        epoch(rate)
        lowest = math.inf if best_epoch is None else lists["val_loss"][best_epoch]
        if lists["val_loss"][-1] < lowest:
            best_epoch = e
            saved.seek(0)
            torch.save(model.state_dict(), saved)
        elif e - (-1 if best_epoch is None else best_epoch) >= patience:
            break
    if best_epoch is not None:
        saved.seek(0)
        model.load_state_dict(torch.load(saved))
    lists["best_epoch"] = best_epoch
    return lists


def random_configs(space, num, seed):
    def draw(choice, source):
        match choice:
            case list():
                return source.choice(choice)
            case ("uniform", low, high):
                return source.uniform(low, high)
            case ("log", low, high):
                return math.exp(source.uniform(math.log(low), math.log(high)))

    return [
        {name: draw(choice, random.Random(f"{seed}, {k}, {name}")) for name, choice in space.items()}
        for k in range(num)
    ]
