"""Writes halfway.npz: a small encoder-decoder that has learned half of what it needs (64 % exact answers).

From there a right `train` needs a second to get far above what the test asks for, and a wrong one does not
get there; from the start it would need half a minute for each submission. Run: python make_halfway.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from autograder.checking.namespace import load_cells
from autograder.notebook.percent import read_source

HERE = Path(__file__).resolve().parent
STEPS, BATCH, RATE, WARM_UP = 320, 256, 8e-3, 100


def main() -> None:
    """Train with a learning rate that rises and stays, and stop half-way."""
    torch.set_num_threads(1)
    source = HERE.parents[1] / "solutions" / HERE.name / "transformer.py"
    solution = load_cells(read_source(source))
    asked, answers = solution["draw_exercises"](15000)
    params = solution["init_transformer"](15, 15, D=32, num_blocks=1)
    weights = [tensor.requires_grad_() for tensor in solution["leaves"](params)]
    optimizer = torch.optim.Adam(weights, lr=RATE, betas=(0.9, 0.98))
    generator = torch.Generator().manual_seed(0)
    for step in range(1, STEPS + 1):
        optimizer.param_groups[0]["lr"] = RATE * min(1, step / WARM_UP)
        batch = torch.randint(len(asked), (BATCH,), generator=generator)
        target = answers[batch]
        read = torch.cat([torch.full((BATCH, 1), 1), target[:, :-1]], dim=1)
        logits = solution["transformer_forward"](asked[batch], read, params, 4)
        loss = solution["sequence_loss"](logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # In half precision, as it is only a beginning.
    np.savez(HERE / "halfway.npz", *[tensor.detach().half().numpy() for tensor in weights])


if __name__ == "__main__":
    main()
