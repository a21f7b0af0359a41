"""The recurrent captioning network in NumPy on Flickr8k, with features of EfficientNet-Lite0: BLEU.

`run` is called by `autograder accuracy`; a shortened run: python accuracy.py --epochs 1 --photographs 500.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from pathlib import Path
from types import ModuleType

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets.captions import decode
from autograder.notebook.percent import read_source

HERE = Path(__file__).parent
NETWORK = {"wordvec_dim": 128, "hidden_dim": 256}
BATCH, RATE, EPOCHS, LONGEST = 64, 2e-3, 8, 20
"""An epoch goes over as many captions as there are: five for each photograph."""


def photographs_module() -> ModuleType:
    """photographs.py, which lies beside this file."""
    spec = importlib.util.spec_from_file_location("photographs", HERE / "photographs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["photographs"] = module  # where dataclasses look for their names
    spec.loader.exec_module(module)
    return module


def run(
    seed: int = 0, device: str = "cpu", *, epochs: float = EPOCHS, num_train: int | None = None,
    num_test: int | None = None,
) -> list[Figure]:  # fmt: skip
    """Train on the captions of 6,000 photographs; BLEU on 1,000 test photographs.

    Args:
        seed: of the weights and of the mini-batches.
        device: where the features are computed; the network is NumPy and runs on the processor.
        epochs: how often each caption is seen, on average.
        num_train: photographs to train on; all 6,000 by default.
        num_test: photographs to measure on; all 1,000 by default.

    Returns:
        BLEU-1 to BLEU-4, each to beat what always the same caption reaches; for comparison what the caption
        of the most similar training photograph reaches.
    """
    photographs = photographs_module()
    began = time.perf_counter()
    corpus = photographs.load_corpus(device, num_train, num_test)
    solution = Namespace(load_cells(read_source(HERE / "rnn_captioning.py")))
    train, test = corpus.train, corpus.test
    model = solution.CaptioningRNN(corpus.word_to_idx, train.pooled.shape[1], seed=seed, **NETWORK)
    steps = max(int(epochs * 5 * len(train.captions) / BATCH), 1)
    solution.train(
        model, train.pooled, train.captions, steps, batch_size=BATCH, learning_rate=RATE, seed=seed
    )
    said = [decode(caption, corpus.vocabulary) for caption in model.sample(test.pooled, LONGEST)]
    seconds = time.perf_counter() - began
    nearest, same = photographs.of_the_nearest(corpus), photographs.always_the_same(corpus)
    picture = HERE.parents[1] / ".autograder" / "accuracy" / "18_rnn_captioning.png"
    photographs.show(corpus, {"RNN": said, "nearest": nearest}, picture)

    sizes = f"{len(train.captions):,} photographs, {epochs:g} epochs, {len(test.captions):,} test"
    ours, theirs, baseline = (
        photographs.bleu(words, test.captions, corpus.vocabulary) for words in (said, nearest, same)
    )
    return [
        *(
            Figure(what=f"RNN, Flickr8k test, BLEU-{n}; to beat: always the same caption", ours=score,
                   headline=least, sizes=sizes, seconds=seconds)
            for n, (score, least) in enumerate(zip(ours, baseline, strict=True), start=1)
        ),
        *(
            Figure(what=f"caption of the most similar photograph, Flickr8k test, BLEU-{n}", ours=score,
                   headline=None, sizes=sizes, seconds=0.0)
            for n, score in enumerate(theirs, start=1)
        ),
    ]  # fmt: skip


def main() -> None:
    """A run of any length from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--photographs", type=int, default=None, help="train on so many")
    parser.add_argument("--test", type=int, default=None, help="measure on so many")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    for figure in run(
        0, options.device, epochs=options.epochs, num_train=options.photographs, num_test=options.test
    ):
        print(f"{figure.what}: {figure.shown(figure.ours)} ({figure.shown(figure.headline)})")


if __name__ == "__main__":
    main()
