"""``python -m emulator``: the same as the ``exotel-emulator`` command."""

from emulator.cli.main import main

if __name__ == "__main__":
    main()
