"""``python -m emulator.worker FD``: a media worker; only its host starts one."""

from __future__ import annotations

import sys

from emulator.worker.child import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
