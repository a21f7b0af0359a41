"""Another network, in half precision in a safetensors file that is written and read by hand.

Its weights, compact/model.safetensors, are made by ../weights.py.
"""

import json

DTYPES = {"F16": (torch.float16, "<f2"), "F32": (torch.float32, "<f4"), "I64": (torch.int64, "<i8")}


class Residual(nn.Module):
    """x + what two convolutions make of it."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels), nn.GroupNorm(8, channels)])

    def forward(self, x):
        inner = self.second(F.relu(self.norms[0](self.first(x))))
        return F.relu(x + self.norms[1](inner))


class FruitNet(nn.Module):
    """Without batch normalisation: groups of channels, two residual blocks, mean and maximum side by side."""

    def __init__(self, mean, std, num_classes=6):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean).float().reshape(3, 1, 1).clone())
        self.register_buffer("std", torch.as_tensor(std).float().reshape(3, 1, 1).clone())
        self.stem = nn.Conv2d(3, 32, 5, stride=2, padding=2)
        self.early = Residual(32)
        self.widen = nn.Conv2d(32, 48, 3, stride=2, padding=1)
        self.late = Residual(48)
        self.head = nn.Conv2d(96, num_classes, 1)

    def forward(self, x):
        x = normalize(x, self.mean.reshape(3), self.std.reshape(3))
        x = self.late(F.relu(self.widen(self.early(F.relu(self.stem(x))))))
        both = torch.cat([F.adaptive_max_pool2d(x, 1), F.adaptive_avg_pool2d(x, 1)], dim=1)
        return self.head(both).flatten(1)


def save_model(model, path):
    header, parts, begin = {}, [], 0
    for name, value in model.state_dict().items():
        value = value.detach().half() if value.is_floating_point() else value.detach()
        kind = next(key for key, (dtype, _) in DTYPES.items() if dtype == value.dtype)
        raw = value.contiguous().numpy().astype(DTYPES[kind][1]).tobytes()
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [begin, begin + len(raw)]}
        parts.append(raw)
        begin += len(raw)
    encoded = json.dumps(header).encode()
    Path(path).write_bytes(len(encoded).to_bytes(8, "little") + encoded + b"".join(parts))


def load_model(path):
    content = Path(path).read_bytes()
    model = FruitNet(torch.zeros(3), torch.ones(3))
    if content[:2] == b"PK":  # somebody saved it by torch
        state = torch.load(path, weights_only=True)
    else:
        start = 8 + int.from_bytes(content[:8], "little")
        state = {}
        for name, entry in json.loads(content[8:start]).items():
            first, last = entry["data_offsets"]
            numbers = np.frombuffer(content[start + first : start + last], DTYPES[entry["dtype"]][1])
            state[name] = torch.tensor(numbers.astype(np.float32)).reshape(entry["shape"])
    model.load_state_dict(state)
    return model.eval()
