"""Audio: codecs, prompts, playout, conversion. No sockets, no clock, no threads.

Audio is 8 kHz mono everywhere but inside ``resample``: either G.711 bytes in the leg's
own codec (one byte is 0.125 ms), or int16 little-endian PCM.
"""
