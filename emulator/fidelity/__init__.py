"""What is imitated, how well that is known, and where it may differ.

    row.py         one behaviour: evidence, source, place, setting
    wire.py        the stream to the bot, beside its knobs
    flows.py       applets and webhooks
    telephone.py   numbers, SIP, RTP, recordings
    conflicts.py   where the references disagree, and what is done
    page.py        all of it as ``docs/fidelity.md``

*verified* means that a capture agrees, *documented* that a manual says so, *assumed*
that nothing does. What a setting chooses is declared with the setting's name; the
stream's knobs carry their own evidence (``stream_options``).
"""
