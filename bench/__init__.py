"""Measurements of the emulator; ``make bench`` runs them."""
