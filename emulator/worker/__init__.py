"""The process boundary: control on one side, media workers on the other.

Control sends *commands* down a stream socketpair, the worker sends *reports* up; audio
never crosses. ``messages`` is all that both sides share; ``host`` is control's side,
``child`` the worker's, and ``engine`` the media plane itself, which runs in any loop.
"""
