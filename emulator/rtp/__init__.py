"""RTP on the wire (RFC 3550, RFC 3551, RFC 4733): packets, statistics, ports.

The per-packet path passes buffers and integers; dataclasses appear only where packets
are rare (tests, tools, control packets).
"""
