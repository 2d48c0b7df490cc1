"""The WebSocket conversation with a customer's bot; the platform is the client.

    client ── frames ──> assembler ── whole messages ──> protocol ──> effects
      │                                                     │
      └── picows, TCP, TLS, timers        url, messages, rules, options

``client`` is the only module that knows sockets and loops; the rest is pure. The media
path passes bytes and integers, everything else frozen effects.
"""
