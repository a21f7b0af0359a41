"""Short: an ordered dict of layers, a sampler for the batches, AMSGrad with a rate that falls linearly."""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import nn
from torch.utils.data import BatchSampler, RandomSampler


def build_embedder(dim=64, channels=(16, 32, 64, 128)):
    layers = OrderedDict()
    for number, (before, after) in enumerate(pairwise((3, *channels)), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
        layers[f"norm{number}"] = nn.BatchNorm2d(after)
        layers[f"relu{number}"] = nn.ReLU()
        layers[f"pool{number}"] = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=False)
    layers["places"] = nn.Flatten(2)
    layers["mean"] = nn.AdaptiveAvgPool1d(1)
    layers["flat"] = nn.Flatten()
    layers["out"] = nn.Linear(channels[-1], dim)
    return nn.Sequential(layers)


def train_embedder(model, proxies, pictures, labels, transform, epochs, rate=0.005, batch_size=32):
    everything = nn.ModuleDict({"model": model, "proxies": proxies}).train()
    batches = BatchSampler(RandomSampler(range(len(labels))), batch_size, drop_last=False)
    optimizer = torch.optim.Adam(everything.parameters(), lr=rate, amsgrad=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=epochs * len(batches))

    def one_step(rows):
        optimizer.zero_grad()
        loss = proxy_loss(model(transform(pictures[rows])), proxies.weight, labels[rows])
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss.item() * len(rows)

    return [sum(map(one_step, batches)) / len(labels) for _ in range(epochs)]
