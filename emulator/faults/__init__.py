"""Faults as data: what can go wrong on purpose, for which calls, standing for what.

    kinds.py   every fault: its parameters, and the failure of the real world behind it
    rules.py   a rule: one fault, and the calls that it is for
    book.py    the rules in force; chooses the faults of each call
    page.py    the same declarations as a page of the documentation

The settings, the control API and ``docs/faults.md`` are all made of ``kinds``; the
rooms that carry a fault out read its parameters and know nothing of rules.
"""

from emulator.faults.book import CallTraits, FaultBook
from emulator.faults.kinds import KINDS, Fault, FaultKind, Layer, Parameter, find_kind
from emulator.faults.rules import FaultRule

__all__ = [
    "KINDS",
    "CallTraits",
    "Fault",
    "FaultBook",
    "FaultKind",
    "FaultRule",
    "Layer",
    "Parameter",
    "find_kind",
]
