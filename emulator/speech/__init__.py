"""Text to speech for prompts: a cache on disk, and a child process that fills it.

eSpeak NG runs in a process of its own (``python -m emulator.speech.render``): inside
ours it would abort with two threads, and end the process on a bad data path. It is also
GPL-3, and stays a separate program. The wheel ``espeakng-loader`` brings it (extra
``speech``); without it, or when it fails, a prompt's rendering says why there is none.
"""
