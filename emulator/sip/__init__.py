"""SIP: our own stack, protocol core without I/O and a thin asyncio shell around it.

::

    transport/         sockets: bytes <-> messages (framing.py, message.py)
         |  ^
         v  |                                      effects.py: what every layer returns
    endpoint.py        asyncio shell: carries effects out, owns sockets and timers
         |  ^
    --------------------------------- no I/O below this line -------------------------
         v  |
    agent.py           user agent core: finds the session of a message (RFC 3261 §8,
         |  ^          §12), screening.py, registrar.py and auth.py at its door
    transactions.py    the four machines, as tables (§17, RFC 6026): transaction.py,
         |  ^          transaction_tables.py
         v  |
    uas.py  uac.py     one INVITE session each (§13-§15), built in the layers that
                       usage.py lists; request.py for requests outside dialogs

Every layer takes an input (a message, a timer, a verb of the user) and returns a list
of small frozen *effects*; the shell carries them out in order. ``session.py`` is the
handle that the rest of the emulator holds; what happens arrives there as the frozen
events of ``events.py``.
"""
