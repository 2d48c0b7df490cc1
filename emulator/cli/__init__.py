"""The ``exotel-emulator`` command.

``main`` declares the commands and their options and loads nothing heavy; each command's
work is a module of ``commands``, imported when it runs.
"""
