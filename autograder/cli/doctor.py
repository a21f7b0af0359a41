"""`doctor`: what this machine can enforce, and what is missing."""

from __future__ import annotations

import os

from autograder.sandbox.abilities import conclusion, examine


def run_doctor() -> int:
    """Print a line for each layer, below one that is missing what mends it, and last a line that concludes.

    0 when submissions may be graded here, else 1.
    """
    # For tests and for the curious: what would be said without a layer.
    without = [name for name in os.environ.get("AUTOGRADER_DOCTOR_WITHOUT", "").split(",") if name]
    abilities = examine(without)
    for ability in abilities:
        print(f"{'yes' if ability.works else 'NO ':3}  {ability.name}: {ability.detail}")
        if not ability.works:
            print(f"     To mend it: {ability.remedy}")
    good, line = conclusion(abilities)
    print(line)
    return 0 if good else 1
