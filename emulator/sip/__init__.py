"""SIP: our own stack, protocol core without I/O and a thin asyncio shell around it.

::

    transport.py   sockets: bytes <-> messages (framing.py, message.py)
         |  ^
         v  |                                     effects.py: what every layer returns
    endpoint.py    asyncio shell: carries effects out, owns sockets and timers
         |  ^
    ------------------------------- no I/O below this line ------------------------
         v  |
    agent.py       user agent core: matches requests to dialogs (RFC 3261 §8, §12)
         |  ^
    transactions.py, transaction.py      the four machines, as tables (§17, RFC 6026)
         |  ^
    invite.py, uas.py, uac.py, dialog.py  the INVITE usage: one session each (§13-§15)

Every layer takes an input (a message, a timer, a verb of the user) and returns a list
of small frozen *effects*; the shell carries them out in order. ``session.py`` is the
handle that the rest of the emulator holds; what happens arrives there as the frozen
events of ``events.py``.
"""
