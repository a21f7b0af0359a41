"""The same network, and everything around it in other ways: torch where the solution has NumPy, and so on."""

import torchvision.transforms.v2.functional as TF


def split_indices(labels, fraction, seed):
    random = np.random.RandomState(seed)
    order = random.permutation(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    left = {int(c): int(np.floor(fraction * n + 0.5)) for c, n in zip(classes, counts, strict=True)}
    train, val = [], []
    for place in order:
        label = int(labels[place])
        if left[label] > 0:
            left[label] -= 1
            val.append(int(place))
        else:
            train.append(int(place))
    return [np.array(train, dtype=int), np.array(val, dtype=int)]


def channel_statistics(images):
    # One channel after the other, from its histogram.
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in range(3):
        counts = torch.tensor(np.bincount(images[:, channel].ravel(), minlength=256)).double()
        mean = (counts * levels).sum() / counts.sum()
        variance = (counts * (levels - mean) ** 2).sum() / (counts.sum() - 1)
        means.append(float(mean))
        stds.append(float(variance.sqrt()))
    return torch.tensor(means), torch.tensor(stds)


def normalize(x, mean, std):
    return TF.normalize(x, mean.tolist(), std.tolist())


def preprocess(images):
    resized = [
        TF.resize(
            torch.as_tensor(image).to(torch.float32),
            [SIZE, SIZE],
            interpolation=TF.InterpolationMode.BILINEAR,
            antialias=True,
        )
        for image in np.array(images)
    ]
    return torch.stack(resized) / 255.0


def augment(images):
    # A mirror image, a part of the picture cut out and made larger, some light.
    changed = []
    for image in images:
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
        height, width = image.shape[1:]
        share = 0.78 + 0.2 * float(torch.rand(()))
        tall, wide = max(1, int(height * share)), max(1, int(width * share))
        top = int(torch.randint(0, height - tall + 1, ()))
        left = int(torch.randint(0, width - wide + 1, ()))
        part = image[None, :, top : top + tall, left : left + wide]
        part = F.interpolate(part, size=(height, width), mode="bilinear")[0]
        light = 1 + 0.15 * (2 * torch.rand((), dtype=image.dtype) - 1)
        tint = 1 + 0.05 * (2 * torch.rand(3, 1, 1, dtype=image.dtype) - 1)
        changed.append(torch.clamp(part * light * tint, 0, 1))
    return torch.stack(changed)


def train_model(model, x, y, x_val, y_val, epochs, peak, augment=None, batch_size=64):
    batches = max(1, len(x) // batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=peak)
    total = epochs * batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: rate_at(t + 1, total, 1.0))
    losses, shares, states = [], [], []
    for _ in range(epochs):
        order = np.random.permutation(len(x))
        model.train(True)
        total_loss = 0.0
        for k in range(batches):
            batch = torch.as_tensor(order[k * batch_size : (k + 1) * batch_size])
            images = x.index_select(0, batch)
            if augment is not None:
                images = augment(images)
            optimizer.zero_grad(set_to_none=True)
            loss = nn.CrossEntropyLoss()(model(images), y.index_select(0, batch))
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += float(loss.detach())
        model.train(False)
        with torch.no_grad():
            right = [int((model(part).argmax(1) == truth).sum())
                     for part, truth in zip(x_val.split(100), y_val.split(100), strict=True)]  # fmt: skip
        losses.append(total_loss / batches)
        shares.append(sum(right) / len(y_val))
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    model.load_state_dict(states[int(np.argmax(shares))])
    return {"train_loss": losses, "val_accuracy": shares}


def save_model(model, path):
    with Path(path).open("wb") as file:
        torch.save({name: value.clone() for name, value in model.state_dict().items()}, file)


def load_model(path):
    with Path(path).open("rb") as file:
        state = torch.load(file, weights_only=True)
    model = FruitNet(state["mean"], state["std"])
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise ValueError(f"the file does not fit: {missing} {unexpected}")
    for module in model.modules():
        module.training = False
    return model


@torch.no_grad()
def predict_proba(model, images):
    model.train(False)
    x = preprocess(images)
    logits = np.concatenate([model(x[k : k + 64]).numpy() for k in range(0, len(x), 64)]).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predict(model, images):
    return np.array([int(np.argmax(row)) for row in predict_proba(model, images)])
