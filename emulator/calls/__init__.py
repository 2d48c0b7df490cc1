"""Calls: where signalling, flow and the media workers meet.

``door`` decides who may call what, ``call`` lives one call, ``manager`` holds them all.
Everything that happens to a call is an event on its ``timeline``.
"""
