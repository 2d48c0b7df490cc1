"""A bare timer: how exactly this machine wakes anybody at all.

    python -m bench.probe --seconds 3

Wakes every 5 ms on absolute deadlines and does nothing. What it is late is the floor
below which no media worker can pace. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time

from bench.rtp_load import percentiles

TICK_S = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    seconds = parser.parse_args().seconds
    late_ms = []
    began_s = time.monotonic()
    for k in range(1, int(seconds / TICK_S)):
        due_s = began_s + k * TICK_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        late_ms.append((time.monotonic() - due_s) * 1000)
    result = {"late_ms_p50_p99_p999_max": percentiles(late_ms, 50, 99, 99.9, 100)}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
