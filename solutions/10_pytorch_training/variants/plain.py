"""Plain Python where torch has a function: formulas, loops, samplers, and weights copied one by one."""

import math

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler


class ImageDataset(Dataset):
    def __init__(self, images, labels, mean=0.0, std=1.0):
        self.pairs = [
            (
                torch.as_tensor((image.astype("float64") - mean) / std, dtype=torch.float32)[None, :, :],
                torch.tensor(int(label)),
            )
            for image, label in zip(images, labels, strict=True)
        ]

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return self.pairs[i]


class Fixed:
    """A sampler that always gives the same indices."""

    def __init__(self, indices):
        self.indices = indices

    def __iter__(self):
        return iter(self.indices)

    def __len__(self):
        return len(self.indices)


def make_loaders(dataset, num_val, batch_size, seed):
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    generator = torch.Generator().manual_seed(int(seed))
    sampler = SubsetRandomSampler(order[:-num_val], generator=generator)
    train_loader = DataLoader(dataset, batch_size=batch_size, sampler=sampler)
    val_loader = DataLoader(dataset, batch_size=batch_size, sampler=Fixed(order[-num_val:]))
    return train_loader, val_loader


def binary_loss(logits, labels):
    z = logits.reshape(-1)
    y = labels.double()
    return torch.mean(z.clamp(min=0) - z * y + torch.log1p(torch.exp(-z.abs())))


def num_correct(logits, labels):
    count = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        answer = int(row[0] > 0) if len(row) == 1 else row.index(max(row))
        count += answer == label
    return count


def build_mlp(sizes, dropout=0.0):
    model = nn.Sequential()
    model.add_module("rows", nn.Flatten())
    last = len(sizes) - 1
    for n in range(1, last + 1):
        model.add_module(f"linear{n}", nn.Linear(sizes[n - 1], sizes[n]))
        if n != last:
            model.add_module(f"dropout{n}", nn.Dropout(p=dropout))  # before the ReLU: it commutes
            model.add_module(f"relu{n}", nn.ReLU())
    return model


def train_epoch(model, loader, loss_fn, optimizer):
    model.train()
    losses, sizes = [], []
    for batch in loader:
        x, y = batch
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        sizes.append(len(x))
    return float(np.average(losses, weights=sizes))


def evaluate(model, loader, loss_fn):
    model.train(False)
    results = []
    for x, y in loader:
        with torch.no_grad():
            logits = model(x)
        results.append((float(loss_fn(logits, y)) * len(y), num_correct(logits, y), len(y)))
    loss, right, count = np.sum(results, axis=0)
    return float(loss / count), float(right / count)


def warmup_cosine(num_epochs, warmup, peak, floor=0.0):
    def rate(epoch):
        if epoch < warmup:
            return peak * (epoch + 1) / warmup
        return floor + (peak - floor) * math.cos(math.pi * (epoch - warmup) / (num_epochs - warmup) / 2) ** 2

    return [rate(epoch) for epoch in range(num_epochs)]


def fit(model, optimizer, run_epoch, validate, rates, patience):
    history = {"train_loss": [], "val_loss": [], "val_accuracy": [], "best_epoch": 0}
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for epoch, rate in enumerate(rates):
        for g in optimizer.param_groups:
            g["lr"] = rate
        history["train_loss"] += [run_epoch()]
        loss, accuracy = validate()
        earlier = [value for value in history["val_loss"] if not math.isnan(value)]
        history["val_loss"] += [loss]
        history["val_accuracy"] += [accuracy]
        if not math.isnan(loss) and loss < min(earlier, default=math.inf):
            history["best_epoch"] = epoch
            best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            last_improvement = epoch
        elif epoch - (last_improvement if earlier else -1) == patience:
            break
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(best[name])
    return history


def random_configs(space, num, seed):
    rng = np.random.RandomState(seed)
    columns = {}
    for name, choice in space.items():
        u = rng.random_sample(num)
        if isinstance(choice, list):
            columns[name] = [choice[int(len(choice) * value)] for value in u]
            continue
        kind, low, high = choice
        if kind == "log":
            columns[name] = np.exp(math.log(low) * (1 - u) + math.log(high) * u).tolist()
        else:
            columns[name] = (low * (1 - u) + high * u).tolist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


class PixelScale(nn.Module):
    """Standardises each pixel with numbers kept in the model."""

    def __init__(self, x):
        super().__init__()
        self.register_buffer("mean", x.mean(dim=0, keepdim=True))
        self.register_buffer("std", x.std(dim=0, keepdim=True) + 0.05)

    def forward(self, x):
        x = (x - x.mean(dim=(1, 2, 3), keepdim=True)) / (x.std(dim=(1, 2, 3), keepdim=True) + 1e-3)
        return (x - self.mean) / self.std


def digit_classifier(images, labels, seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    x, y = torch.from_numpy(images[:, None].copy()), torch.from_numpy(labels)
    centred = (x - x.mean(dim=(1, 2, 3), keepdim=True)) / (x.std(dim=(1, 2, 3), keepdim=True) + 1e-3)
    sizes = (x[0].numel(), 150, int(labels.max()) + 1)
    model = nn.Sequential(PixelScale(centred), build_mlp(sizes, 0.3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=2e-3, nesterov=True)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(20):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - epoch / 20)
        order = rng.permutation(len(x))
        for start in range(0, len(x), 50):
            batch = order[start : start + 50]
            optimizer.zero_grad()
            loss_fn(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model
