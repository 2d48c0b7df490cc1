"""A local emulator of the Exotel voice platform."""

__version__ = "0.1.0"
