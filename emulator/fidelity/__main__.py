"""``python -m emulator.fidelity > docs/fidelity.md``."""

import sys

from emulator.fidelity.page import render_page

sys.stdout.write(render_page())
