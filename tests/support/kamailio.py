"""Kamailio as a test's proxy: in the path by Record-Route, with a list of stand-ins."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.processes import Process, free_port

# What the documentation leaves to whoever runs it.
_FRAME = """\
#!KAMAILIO
log_stderror=yes
children=1
tcp_children=1
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
"""
LISTED = "/etc/kamailio/dispatcher.list"
# The first destination that answers gets the call; the others are its stand-ins.
_CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=1
tcp_children=1
auto_aliases=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "list_file", "{directory}/dispatcher.list")
modparam("dispatcher", "flags", 2)
modparam("tm", "fr_timer", 1500)
modparam("tm", "failure_exec_mode", 1)
modparam("tm", "fr_inv_timer", 30000)
modparam("rr", "enable_double_rr", 1)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (has_totag()) {{
        if (loose_route() || t_check_trans()) {{
            t_relay();
        }} else if (!is_method("ACK")) {{
            sl_send_reply("404", "Not Here");
        }}
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    t_check_trans();
    if (is_method("INVITE")) record_route();
    if (!ds_select_dst("1", "8")) {{
        sl_send_reply("503", "No Destination");
        exit;
    }}
    t_on_failure("NEXT");
    t_relay();
}}

failure_route[NEXT] {{
    if (t_is_canceled()) exit;
    if (t_check_status("5[0-9][0-9]|408") && ds_next_dst()) {{
        t_on_failure("NEXT");
        t_relay();
    }}
}}
"""


def configure(
    directory: Path, port: int, destinations: Sequence[str], page: str | None = None
) -> Path:
    """Write a configuration; ``destinations`` are SIP URIs, the first one first.

    Args:
        page: What the documentation tells people to write, instead of our own.
    """
    lines = [
        f"1 {uri} 0 {len(destinations) - rank}" for rank, uri in enumerate(destinations)
    ]
    (directory / "dispatcher.list").write_text("\n".join(lines) + "\n")
    file = directory / "kamailio.cfg"
    if page is None:
        text = _CONFIG.format(port=port, directory=directory)
    else:
        listed = str(directory / "dispatcher.list")
        text = _FRAME.format(port=port) + page.replace(LISTED, listed)
    file.write_text(text)
    return file


@contextlib.contextmanager
def kamailio(
    program: str,
    directory: Path,
    destinations: Sequence[str],
    page: str | None = None,
) -> Iterator[tuple[Process, int]]:
    """Run a proxy in front of destinations; yields it and its UDP and TCP port."""
    port = free_port()
    file = configure(directory, port, destinations, page)
    process = Process(
        program, "-DD", "-E", "-f", str(file), "-Y", str(directory), "-m", "16",
        "-M", "4", cwd=directory,
    )  # fmt: skip
    try:
        _wait_until_it_answers(process, port)
        yield process, port
    finally:
        process.end()


def _wait_until_it_answers(process: Process, port: int, deadline_s: float = 20) -> None:
    """Ask by OPTIONS to itself, which the proxy answers with 483 at once."""
    end_s = time.monotonic() + deadline_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.2)
        own = f"127.0.0.1:{sock.getsockname()[1]}"
        ping = (
            f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {own};branch=z9hG4bKping\r\n"
            f"From: <sip:ping@{own}>;tag=ping\r\nTo: <sip:127.0.0.1:{port}>\r\n"
            "Call-ID: ping\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 0\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        while time.monotonic() < end_s:
            sock.sendto(ping.encode(), ("127.0.0.1", port))
            with contextlib.suppress(OSError):
                if sock.recv(4096).startswith(b"SIP/2.0 483"):
                    return
    raise AssertionError(f"kamailio does not answer:\n{process.output}")
