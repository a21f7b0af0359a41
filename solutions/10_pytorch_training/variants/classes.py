"""Classes: a dataset that computes late, a module of one's own, early stopping as an object; a small CNN."""

import copy
import random
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split


class ImageDataset(Dataset):
    def __init__(self, images, labels, mean=0.0, std=1.0):
        super().__init__()
        self.x, self.y, self.mean, self.std = images, labels, mean, std

    def __len__(self):
        return self.x.shape[0]

    def __getitem__(self, index):
        image = (np.asarray(self.x[index], dtype=np.float64) - self.mean) / self.std
        return torch.from_numpy(image).float().unsqueeze(0), int(self.y[index])


def make_loaders(dataset, num_val, batch_size, seed):
    split = torch.Generator()
    split.manual_seed(seed)
    train, val = random_split(dataset, [len(dataset) - num_val, num_val], generator=split)
    order = torch.Generator()
    order.manual_seed(seed + 1)
    return (
        DataLoader(train, batch_size=batch_size, shuffle=True, generator=order),
        DataLoader(val, batch_size=batch_size, shuffle=False),
    )


def binary_loss(logits, labels):
    return nn.BCEWithLogitsLoss()(logits, labels.unsqueeze(1).type_as(logits))


def num_correct(logits, labels):
    if logits.size(1) == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits.max(dim=1).indices.eq(labels).sum().item()


class Perceptron(nn.Module):
    def __init__(self, sizes, dropout):
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes[:-1]))
        self.out = nn.Linear(sizes[-2], sizes[-1])
        self.dropout = dropout

    def forward(self, x):
        x = x.flatten(start_dim=1)
        for layer in self.hidden:
            x = F.dropout(F.relu(layer(x)), self.dropout, training=self.training)
        return self.out(x)


def build_mlp(sizes, dropout=0.0):
    return Perceptron(sizes, dropout)


class Mean:
    """A mean that grows."""

    def __init__(self):
        self.value, self.weight = 0.0, 0

    def add(self, value, weight):
        self.weight += weight
        self.value += (value - self.value) * weight / self.weight


def train_epoch(model, loader, loss_fn, optimizer):
    mean = Mean()
    model.train()
    optimizer.zero_grad()
    for images, labels in loader:
        loss = loss_fn(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        mean.add(float(loss.detach()), images.shape[0])
    return mean.value


@torch.no_grad()
def evaluate(model, loader, loss_fn):
    was_training = model.training
    model.eval()
    loss, accuracy = Mean(), Mean()
    for images, labels in loader:
        logits = model(images)
        loss.add(loss_fn(logits, labels).item(), len(images))
        accuracy.add(num_correct(logits, labels) / len(images), len(images))
    model.train(was_training)
    return loss.value, accuracy.value


def warmup_cosine(num_epochs, warmup, peak, floor=0.0):
    rates = np.empty(num_epochs)
    rates[:warmup] = np.linspace(0, peak, warmup + 1)[1:][:num_epochs]
    turn = np.linspace(0, np.pi, num_epochs - warmup, endpoint=False)
    rates[warmup:] = (peak + floor) / 2 + (peak - floor) / 2 * np.cos(turn)
    return rates


class EarlyStopping:
    def __init__(self, patience):
        self.patience, self.best, self.bad, self.state = patience, None, 0, None

    def better(self, loss, model):
        if loss == loss and (self.best is None or loss < self.best):
            self.best, self.bad, self.state = loss, 0, copy.deepcopy(model.state_dict())
            return True
        self.bad += 1
        return False

    @property
    def over(self):
        return self.bad == self.patience


def fit(model, optimizer, run_epoch, validate, rates, patience):
    stopping, best_epoch = EarlyStopping(patience), 0
    train_losses, val_losses, accuracies = [], [], []
    for epoch in range(len(rates)):
        for group in optimizer.param_groups:
            group.update(lr=rates[epoch])
        train_losses.append(run_epoch())
        loss, accuracy = validate()
        val_losses.append(loss)
        accuracies.append(accuracy)
        if stopping.better(loss, model):
            best_epoch = epoch
        if stopping.over:
            break
    if stopping.state is not None:
        model.load_state_dict(stopping.state)
    return {
        "best_epoch": best_epoch,
        "train_loss": train_losses,
        "val_loss": val_losses,
        "val_accuracy": accuracies,
    }


def random_configs(space, num, seed):
    source = random.Random(seed)
    configs = []
    for _ in range(num):
        config = {}
        for name, choice in space.items():
            if isinstance(choice, list):
                config[name] = source.choice(choice)
            elif choice[0] == "uniform":
                config[name] = source.uniform(choice[1], choice[2])
            else:
                config[name] = choice[1] * (choice[2] / choice[1]) ** source.random()
        configs.append(config)
    return configs


class SmallConvNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.InstanceNorm2d(1),
            nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1), nn.BatchNorm2d(48), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(2 * 48, classes)

    def forward(self, x):
        maps = self.features(x)
        return self.head(torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1))


def digit_classifier(images, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = SmallConvNet(labels.max() + 1)
    data = TensorDataset(torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels))
    loader = DataLoader(data, batch_size=40, shuffle=True, generator=generator, drop_last=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(10):
        for x, y in loader:
            optimizer.zero_grad(set_to_none=False)
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()
