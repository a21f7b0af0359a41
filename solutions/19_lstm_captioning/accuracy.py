"""RNN, LSTM and attention in NumPy on Flickr8k, with features of EfficientNet-Lite0: losses and BLEU.

`run` is called by `autograder accuracy`; a shortened run: python accuracy.py --epochs 1 --photographs 500.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

from autograder.audit.accuracy import Figure
from autograder.checking.namespace import Namespace, load_cells
from autograder.datasets.captions import decode
from autograder.notebook.percent import read_source

HERE = Path(__file__).parent
NETWORK = {"wordvec_dim": 128, "hidden_dim": 192}
BATCH, RATE, EPOCHS, LONGEST, BEAM = 64, 2e-3, 5, 20, 3
"""An epoch goes over as many captions as there are: five for each photograph."""


def photographs_module() -> ModuleType:
    """photographs.py of assignment 18, which reads Flickr8k and measures."""
    path = HERE.parent / "18_rnn_captioning" / "photographs.py"
    spec = importlib.util.spec_from_file_location("photographs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["photographs"] = module  # where dataclasses look for their names
    spec.loader.exec_module(module)
    return module


def run(
    seed: int = 0, device: str = "cpu", *, epochs: float = EPOCHS, num_train: int | None = None,
    num_test: int | None = None,
) -> list[Figure]:  # fmt: skip
    """Train each of the three networks on the captions of 6,000 photographs.

    Args:
        seed: of the weights and of the mini-batches.
        device: where the features are computed; the networks are NumPy and run on the processor.
        epochs: how often each caption is seen, on average.
        num_train: photographs to train on; all 6,000 by default.
        num_test: photographs to measure on; all 1,000 of each part by default.

    Returns:
        The loss of a caption on the development photographs: the LSTM's to beat the plain network's, that of
        attention to beat the LSTM's. BLEU-1 to BLEU-4 on the test photographs, of the LSTM and of attention
        with a beam of 3, to beat always the same caption.
    """
    photographs = photographs_module()
    began = time.perf_counter()
    corpus = photographs.load_corpus(device, num_train, num_test)
    looked = time.perf_counter() - began
    solution = Namespace(load_cells(read_source(HERE / "lstm_captioning.py")))
    steps = max(int(epochs * 5 * len(corpus.train.captions) / BATCH), 1)
    losses, said, seconds = {}, {}, {}
    for cell_type in ("rnn", "lstm", "attention"):
        began = time.perf_counter()
        part = "grid" if cell_type == "attention" else "pooled"
        train, dev, test = (getattr(which, part) for which in (corpus.train, corpus.dev, corpus.test))
        model = solution.CaptioningRNN(
            corpus.word_to_idx, train.shape[1], cell_type=cell_type, seed=seed, **NETWORK
        )
        solution.train(
            model, train, corpus.train.captions, steps, batch_size=BATCH, learning_rate=RATE, seed=seed
        )
        losses[cell_type] = photographs.mean_loss(model, dev, corpus.dev.captions)
        if cell_type != "attention":
            found = model.sample(test, LONGEST)
        else:
            found = [solution.beam_search(model, test[n : n + 1], BEAM, LONGEST)[0] for n in range(len(test))]
        said[cell_type] = [decode(caption, corpus.vocabulary) for caption in found]
        seconds[cell_type] = time.perf_counter() - began + looked
    picture = HERE.parents[1] / ".autograder" / "accuracy" / "19_lstm_captioning.png"
    photographs.show(corpus, said, picture)

    used = f"{len(corpus.train.captions):,} photographs, {epochs:g} epochs"
    sizes = f"{used}, {len(corpus.dev.captions):,} development, {len(corpus.test.captions):,} test"
    figures = [
        Figure(
            what=f"loss of a caption, {name}, Flickr8k development; to beat: {other}", ours=losses[cell_type],
            headline=losses[least], sizes=sizes, seconds=seconds[cell_type], unit="number",
            smaller_is_better=True,
        )
        for name, cell_type, other, least in (
            ("LSTM", "lstm", "plain RNN", "rnn"), ("attention", "attention", "LSTM", "lstm"),
        )
    ]  # fmt: skip
    baseline = photographs.bleu(photographs.always_the_same(corpus), corpus.test.captions, corpus.vocabulary)
    for name, cell_type in (("LSTM", "lstm"), (f"attention, beam of {BEAM}", "attention")):
        scores = photographs.bleu(said[cell_type], corpus.test.captions, corpus.vocabulary)
        figures += [
            Figure(
                what=f"{name}, Flickr8k test, BLEU-{n}; to beat: always the same caption", ours=score,
                headline=least, sizes=sizes, seconds=seconds[cell_type],
            )
            for n, (score, least) in enumerate(zip(scores, baseline, strict=True), start=1)
        ]  # fmt: skip
    return figures


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
