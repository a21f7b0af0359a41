"""What the kernel takes for a fork that does nothing, with the libraries loaded, and for each page that the
child writes to: every test has a fork, so that no test sees what another left, and no grader that forks for
each test can be faster than this.
"""

from __future__ import annotations

import json
import subprocess
import sys

from measuring import BenchError

_SCRIPT = """\
import gc, json, os, statistics, sys, time
import numpy
if sys.argv[1] == "torch":
    import torch
    torch.set_num_threads(1)
    torch.ones(2).sum()
from autograder.sandbox import pages
gc.collect()
gc.freeze()
pages.gather(pages.private_regions())
shared = bytearray(PAGES * 4096)
def forking(pages):
    took = []
    for _ in range(100):
        start = time.perf_counter()
        child = os.fork()
        if child == 0:
            for place in range(0, pages * 4096, 4096):
                shared[place] = 1
            os._exit(0)
        os.waitpid(child, 0)
        took.append(time.perf_counter() - start)
    return statistics.median(took)
bare = forking(0)
json.dump([bare, (forking(PAGES) - bare) / PAGES], sys.stdout)
"""
PAGES = 1000


def fork_seconds(library: str) -> tuple[float, float]:
    """Seconds from a fork to the end of the child that does nothing, as in the sandbox, and seconds more for
    each page that it writes to.

    `library`: "numpy" or "torch", loaded in the process that forks. Raises `BenchError`.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"PAGES = {PAGES}\n{_SCRIPT}", library],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"forking with {library} loaded failed:\n{done.stderr[-2000:]}")
    bare, page = json.loads(done.stdout)
    return float(bare), float(page)
