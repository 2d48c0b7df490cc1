"""The transaction tables against RFC 3261 figures 5-8 and RFC 6026."""

from __future__ import annotations

import pytest

from emulator.errors import LocalProtocolError
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response
from emulator.sip.timers import SipTimers, Timer
from emulator.sip.transaction import (
    Deliver,
    Failed,
    Send,
    StartTimer,
    Terminated,
    Transaction,
    TransactionEffect,
    client_table,
    make_cancel,
    server_table,
)
from emulator.sip.transaction_tables import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Again,
    AtT2,
    Input,
    Start,
    State,
    Stop,
    Table,
)

S, In = State, Input

# (state, cause): next state, of the figures' arrows.
Figure = dict[tuple[State, Input | Timer], State]
FIGURE_5: Figure = {
    (S.CALLING, Timer.A): S.CALLING,
    (S.CALLING, Timer.B): S.TERMINATED,
    (S.CALLING, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.CALLING, In.RECEIVE_1XX): S.PROCEEDING,
    (S.CALLING, In.RECEIVE_2XX): S.ACCEPTED,
    (S.CALLING, In.RECEIVE_3XX_TO_6XX): S.COMPLETED,
    (S.PROCEEDING, In.RECEIVE_1XX): S.PROCEEDING,
    (S.PROCEEDING, In.RECEIVE_2XX): S.ACCEPTED,
    (S.PROCEEDING, In.RECEIVE_3XX_TO_6XX): S.COMPLETED,
    # Not in the figure: §16.6's timer, so that nothing stays open for ever.
    (S.PROCEEDING, Timer.C): S.TERMINATED,
    # Nor these: §9.1 ends the wait 64*T1 after the CANCEL.
    (S.PROCEEDING, In.SEND_CANCEL): S.PROCEEDING,
    (S.PROCEEDING, Timer.CANCELLED): S.TERMINATED,
    (S.PROCEEDING, In.CANCEL_ERROR): S.TERMINATED,
    (S.COMPLETED, In.RECEIVE_3XX_TO_6XX): S.COMPLETED,
    (S.COMPLETED, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.COMPLETED, Timer.D): S.TERMINATED,
    (S.ACCEPTED, In.RECEIVE_2XX): S.ACCEPTED,
    (S.ACCEPTED, Timer.M): S.TERMINATED,
}
FIGURE_6: Figure = {
    (S.TRYING, Timer.E): S.TRYING,
    (S.TRYING, Timer.F): S.TERMINATED,
    (S.TRYING, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.TRYING, In.RECEIVE_1XX): S.PROCEEDING,
    (S.TRYING, In.RECEIVE_2XX): S.COMPLETED,
    (S.TRYING, In.RECEIVE_3XX_TO_6XX): S.COMPLETED,
    (S.PROCEEDING, Timer.E): S.PROCEEDING,
    (S.PROCEEDING, Timer.F): S.TERMINATED,
    (S.PROCEEDING, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.PROCEEDING, In.RECEIVE_1XX): S.PROCEEDING,
    (S.PROCEEDING, In.RECEIVE_2XX): S.COMPLETED,
    (S.PROCEEDING, In.RECEIVE_3XX_TO_6XX): S.COMPLETED,
    (S.COMPLETED, Timer.K): S.TERMINATED,
}
FIGURE_7: Figure = {
    (S.PROCEEDING, In.RECEIVE_REQUEST): S.PROCEEDING,
    (S.PROCEEDING, In.SEND_1XX): S.PROCEEDING,
    (S.PROCEEDING, In.SEND_2XX): S.ACCEPTED,
    (S.PROCEEDING, In.SEND_3XX_TO_6XX): S.COMPLETED,
    (S.PROCEEDING, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.COMPLETED, In.RECEIVE_REQUEST): S.COMPLETED,
    (S.COMPLETED, Timer.G): S.COMPLETED,
    (S.COMPLETED, In.RECEIVE_ACK): S.CONFIRMED,
    (S.COMPLETED, Timer.H): S.TERMINATED,
    (S.COMPLETED, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.CONFIRMED, Timer.I): S.TERMINATED,
    (S.ACCEPTED, In.RECEIVE_REQUEST): S.ACCEPTED,
    (S.ACCEPTED, In.RECEIVE_ACK): S.ACCEPTED,
    (S.ACCEPTED, In.SEND_2XX): S.ACCEPTED,
    (S.ACCEPTED, Timer.L): S.TERMINATED,
    (S.ACCEPTED, In.TRANSPORT_ERROR): S.ACCEPTED,
}
FIGURE_8: Figure = {
    (S.TRYING, In.SEND_1XX): S.PROCEEDING,
    (S.TRYING, In.SEND_2XX): S.COMPLETED,
    (S.TRYING, In.SEND_3XX_TO_6XX): S.COMPLETED,
    (S.PROCEEDING, In.RECEIVE_REQUEST): S.PROCEEDING,
    (S.PROCEEDING, In.SEND_1XX): S.PROCEEDING,
    (S.PROCEEDING, In.SEND_2XX): S.COMPLETED,
    (S.PROCEEDING, In.SEND_3XX_TO_6XX): S.COMPLETED,
    (S.PROCEEDING, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.COMPLETED, In.RECEIVE_REQUEST): S.COMPLETED,
    (S.COMPLETED, In.TRANSPORT_ERROR): S.TERMINATED,
    (S.COMPLETED, Timer.J): S.TERMINATED,
}
MACHINES = {
    "figure 5": (INVITE_CLIENT, FIGURE_5),
    "figure 6": (NON_INVITE_CLIENT, FIGURE_6),
    "figure 7": (INVITE_SERVER, FIGURE_7),
    "figure 8": (NON_INVITE_SERVER, FIGURE_8),
}
FROM_RESPONSES = {In.RECEIVE_1XX, In.RECEIVE_2XX, In.RECEIVE_3XX_TO_6XX}
CLIENT_CAUSES = {*FROM_RESPONSES, In.TRANSPORT_ERROR}
SERVER_CAUSES = {In.RECEIVE_REQUEST, In.TRANSPORT_ERROR}


@pytest.mark.parametrize("name", MACHINES)
def test_every_arrow_of_the_figure_is_in_the_table(name: str) -> None:
    table, figure = MACHINES[name]
    for pair, following in figure.items():
        assert table[pair][0] is following, pair


@pytest.mark.parametrize("name", MACHINES)
def test_what_the_figure_lacks_changes_no_state(name: str) -> None:
    table, figure = MACHINES[name]
    for (state, cause), (following, actions) in table.items():
        if (state, cause) in figure or cause is In.START:
            continue
        harmless = following is state and not actions
        # Sending failed before any response was made: nothing is left to do.
        given_up = cause is In.TRANSPORT_ERROR and following is S.TERMINATED
        assert harmless or given_up, (state, cause)


def causes_of(table: Table) -> set[Input]:
    if table in (INVITE_CLIENT, NON_INVITE_CLIENT):
        return CLIENT_CAUSES
    acks = {In.RECEIVE_ACK} if table is INVITE_SERVER else set()
    return SERVER_CAUSES | acks


@pytest.mark.parametrize("name", MACHINES)
def test_everything_a_peer_or_socket_can_cause_is_in_the_table(name: str) -> None:
    table, _ = MACHINES[name]
    states = {state for state, _ in table}
    for state in states:
        for cause in causes_of(table):
            assert (state, cause) in table, (state, cause)


@pytest.mark.parametrize("name", MACHINES)
def test_a_timer_that_runs_in_a_state_has_an_entry_there(name: str) -> None:
    """Follow every path and keep the set of timers that may run in each state."""
    table, _ = MACHINES[name]
    seen: set[tuple[State, frozenset[Timer]]] = set()
    first = next(iter(table))[0]
    todo = [(first, frozenset[Timer]())]
    while todo:
        here = todo.pop()
        if here in seen or here[0] is S.TERMINATED:
            continue
        seen.add(here)
        state, running = here
        for timer in running:
            assert (state, timer) in table, (state, timer)
        for (at, cause), (following, actions) in table.items():
            if at is state and (not isinstance(cause, Timer) or cause in running):
                fired = {cause} if isinstance(cause, Timer) else set()
                now = set(running) - fired
                for action in actions:
                    if isinstance(action, Stop):
                        now.discard(action.timer)
                    elif isinstance(action, Start | Again | AtT2):
                        now.add(action.timer)
                todo.append((following, frozenset(now)))


# --- machines at work ---


def request(method: str) -> Request:
    return Request(
        method,
        "sip:b@b.example",
        Headers(
            [
                ("Via", "SIP/2.0/UDP a.example;branch=z9hG4bK1"),
                ("Route", "<sip:p.example;lr>"),
                ("From", "<sip:a@a.example>;tag=1"),
                ("To", "<sip:b@b.example>"),
                ("Call-ID", "c"),
                ("CSeq", f"9 {method}"),
            ]
        ),
    )


def response(status: int, method: str) -> Response:
    items = list(request(method).headers.without("Route").replaced("To", "<x:y>;tag=2"))
    return Response(status, "x", Headers(items))


def transaction(table: Table, method: str, *, reliable: bool = False) -> Transaction:
    return Transaction(table, request(method), SipTimers(), reliable=reliable)


def kinds(effects: list[TransactionEffect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def timers(effects: list[TransactionEffect]) -> dict[Timer, float]:
    return {e.timer: e.delay_s for e in effects if isinstance(e, StartTimer)}


def test_client_invite_starts_a_and_b_on_udp_and_only_b_on_tcp() -> None:
    assert timers(transaction(INVITE_CLIENT, "INVITE").start()) == {
        Timer.A: 0.5,
        Timer.B: 32.0,
    }
    tcp = transaction(INVITE_CLIENT, "INVITE", reliable=True)
    assert timers(tcp.start()) == {Timer.B: 32.0}


def test_client_failure_is_acknowledged_with_the_same_branch_and_the_new_tag() -> None:
    client = transaction(INVITE_CLIENT, "INVITE")
    client.start()
    effects = client.receive_response(response(486, "INVITE"))
    assert kinds(effects)[:4] == ["StopTimer", "StopTimer", "Send", "Deliver"]
    sent = next(e.message for e in effects if isinstance(e, Send))
    assert isinstance(sent, Request)
    assert (sent.method, sent.cseq.number, sent.to.tag) == ("ACK", 9, "2")
    assert sent.via.branch == "z9hG4bK1"
    assert sent.headers.all("Route") == ["<sip:p.example;lr>"]
    again = client.receive_response(response(486, "INVITE"))
    assert again == [Send(sent, is_retransmission=True)]


def test_client_failure_over_tcp_ends_at_once() -> None:
    client = transaction(INVITE_CLIENT, "INVITE", reliable=True)
    client.start()
    effects = client.receive_response(response(404, "INVITE"))
    assert isinstance(effects[-1], Terminated)
    assert client.is_terminated
    assert client.receive_response(response(404, "INVITE")) == []


def test_client_non_invite_slows_down_to_t2_once_it_is_proceeding() -> None:
    client = transaction(NON_INVITE_CLIENT, "BYE")
    client.start()
    client.receive_response(response(100, "BYE"))
    assert timers(client.timer_fired(Timer.E)) == {Timer.E: 4.0}


def test_a_stopped_timer_that_fires_late_does_nothing() -> None:
    client = transaction(INVITE_CLIENT, "INVITE")
    client.start()
    client.receive_response(response(180, "INVITE"))
    assert client.timer_fired(Timer.A) == []


def test_client_time_out_is_reported_once() -> None:
    client = transaction(NON_INVITE_CLIENT, "OPTIONS")
    client.start()
    effects = client.timer_fired(Timer.F)
    assert Failed("no response within 32.0 s", True) in effects
    assert isinstance(effects[-1], Terminated)


def test_server_repeats_its_last_response() -> None:
    server = transaction(INVITE_SERVER, "INVITE")
    server.start()
    assert server.receive_request(request("INVITE")) == []
    ringing = response(180, "INVITE")
    server.respond(ringing)
    assert server.receive_request(request("INVITE")) == [Send(ringing, True)]


def test_server_absorbs_an_accepted_invite_and_hands_up_its_ack() -> None:
    server = transaction(INVITE_SERVER, "INVITE")
    server.start()
    server.respond(response(200, "INVITE"))
    assert server.receive_request(request("INVITE")) == []
    ack = request("ACK")
    assert server.receive_request(ack) == [Deliver(ack)]


def test_server_ringing_after_the_answer_is_our_mistake() -> None:
    server = transaction(INVITE_SERVER, "INVITE")
    server.start()
    server.respond(response(200, "INVITE"))
    with pytest.raises(LocalProtocolError, match="SEND_1XX in ACCEPTED"):
        server.respond(response(180, "INVITE"))


def test_server_non_invite_over_tcp_ends_with_its_response() -> None:
    server = transaction(NON_INVITE_SERVER, "BYE", reliable=True)
    server.start()
    assert kinds(server.respond(response(200, "BYE"))) == ["Send", "Terminated"]


def test_cancel_repeats_the_invite_s_branch_route_and_number() -> None:
    cancel = make_cancel(request("INVITE"))
    assert cancel.via.branch == "z9hG4bK1"
    assert (cancel.cseq.number, cancel.cseq.method) == (9, "CANCEL")
    assert cancel.headers.all("Route") == ["<sip:p.example;lr>"]


def test_tables_belong_to_methods() -> None:
    assert client_table("INVITE") is INVITE_CLIENT
    assert client_table("BYE") is NON_INVITE_CLIENT
    assert server_table("INVITE") is INVITE_SERVER
    assert server_table("OPTIONS") is NON_INVITE_SERVER
