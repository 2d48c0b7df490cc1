"""``python -m emulator.faults > docs/faults.md``."""

import sys

from emulator.faults.page import render_page

sys.stdout.write(render_page())
