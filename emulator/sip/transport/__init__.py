"""Sockets and interfaces: all that SIP asks of the operating system."""
