"""SDP: session descriptions and the offer/answer negotiation over them.

SIP carries a description as opaque text; this room reads and writes it (RFC 8866) and
decides what offer and answer agree on (RFC 3264). Nothing here does I/O.
"""
