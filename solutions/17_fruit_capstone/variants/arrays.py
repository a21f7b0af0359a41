"""NumPy: sorted random numbers, whole-number sums, resizing as matrix products, reflected margins."""

from safetensors.torch import load_file, save_file


def split_indices(labels, fraction, seed):
    keys = np.random.default_rng(seed).random(len(labels))
    order = np.lexsort((keys, labels))
    _, begins, counts = np.unique(labels[order], return_index=True, return_counts=True)
    rank = np.arange(len(labels)) - np.repeat(begins, counts)
    wanted = np.repeat(np.rint(fraction * counts), counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[order] = rank < wanted
    shuffled = np.argsort(np.random.default_rng([seed, 1]).random(len(labels)))
    return shuffled[~chosen[shuffled]], shuffled[chosen[shuffled]]


def channel_statistics(images):
    wide = images.astype(np.int64)
    count = wide.size // 3
    total, squares = wide.sum(axis=(0, 2, 3)), np.einsum("ncij,ncij->c", wide, wide)
    variance = (count * squares - total**2) / count**2
    return torch.from_numpy(np.float32(total / count / 255)), torch.from_numpy(
        np.float32(variance**0.5 / 255)
    )


def normalize(x, mean, std):
    last = x.permute(0, 2, 3, 1)
    return ((last - mean) / std).permute(0, 3, 1, 2)


def tents(old):
    """How much of each old pixel of a line is in each of the SIZE new ones."""
    step = old / SIZE
    distance = np.abs(np.arange(old) + 0.5 - step * (np.arange(SIZE) + 0.5)[:, None])
    weights = np.clip(1 - distance / max(step, 1), 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def preprocess(images):
    rows, columns = tents(images.shape[2]), tents(images.shape[3])
    return torch.from_numpy((rows @ (images / 255) @ columns.T).astype(np.float32))


def augment(images):
    n, _, height, width = images.shape
    x = images.numpy()
    margin = max(1, min(height, width) // 8)
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="reflect")
    down, right = (torch.randint(0, 2 * margin + 1, (n, 1)).numpy() for _ in range(2))
    columns = np.where(torch.rand(n, 1).numpy() < 0.5, np.arange(width), np.arange(width)[::-1])
    moved = padded[
        np.arange(n)[:, None, None, None],
        np.arange(3)[:, None, None],
        (down + np.arange(height))[:, None, :, None],
        (right + columns)[:, None, None, :],
    ]
    light = 0.85 + 0.3 * torch.rand(n, 1, 1, 1).numpy()
    colour = 0.95 + 0.1 * torch.rand(n, 3, 1, 1).numpy()
    return torch.from_numpy(np.minimum(moved * light * colour, 1).astype(x.dtype))


def save_model(model, path):
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)


def load_model(path):
    zipped = Path(path).read_bytes()[:2] == b"PK"
    state = torch.load(path, weights_only=True) if zipped else load_file(path)
    model = FruitNet(*torch.from_numpy(np.eye(2, 3, dtype=np.float32)))
    model.load_state_dict(state)
    model.eval()
    return model


def predict_proba(model, images):
    proba = np.empty((len(images), 0))
    model.eval()
    for start in range(0, len(images), 100):
        with torch.no_grad():
            z = model(preprocess(images[start : start + 100])).numpy()
        if start == 0:
            proba = np.empty((len(images), z.shape[1]), dtype=np.float64)
        proba[start : start + 100] = 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)
    return proba


def predict(model, images):
    return np.argsort(predict_proba(model, images), axis=1)[:, -1]
