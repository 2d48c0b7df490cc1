"""HTTP: the emulator's own control API; the imitated one arrives beside it.

Routes that exist only because this is an emulator live under ``/emulator/v1``.
"""
