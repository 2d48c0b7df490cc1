"""Digest authentication in both roles."""

from __future__ import annotations

import pytest

from emulator.ids import IdSource
from emulator.sip.auth import (
    NONCE_LIFETIME_S,
    Credentials,
    DigestClient,
    DigestServer,
    Problem,
    Verdict,
    digest_response,
    parse_digest,
)
from emulator.sip.errors import SipParseError
from emulator.sip.headers import Headers
from emulator.sip.message import Request, Response

URI = "sip:example.org"
OWN = 'Digest realm="emulator", username="alice", nonce="n",'


def request(*headers: tuple[str, str]) -> Request:
    return Request("REGISTER", URI, Headers(headers))


def challenge(*values: str, status: int = 401) -> Response:
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    return Response(status, "x", Headers([(name, value) for value in values]))


def server(*, is_proxy: bool = False) -> DigestServer:
    return DigestServer(
        "emulator", {"alice": "secret"}.get, IdSource(1), is_proxy=is_proxy
    )


def client(password: str = "secret") -> DigestClient:
    return DigestClient(Credentials("alice", password), IdSource(2))


def challenged(made: DigestServer, answering: DigestClient, now_s: float) -> None:
    response = Response(401, "x", Headers(made.challenge(now_s)))
    assert answering.accept(response)


def test_the_example_of_rfc_7616_has_its_response() -> None:
    fields = {
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
    }
    who = ("Mufasa", "http-auth@example.org", "Circle of Life", "GET")
    assert digest_response("MD5", *who, fields) == "8ca523f5e9506fed4657c9700eebdbec"
    assert digest_response("SHA-256", *who, fields) == (
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    )


def test_a_client_is_recognised_and_may_use_its_nonce_again() -> None:
    made, answering = server(), client()
    assert made.check(request(), 0.0) == Verdict("", Problem.MISSING)
    challenged(made, answering, 0.0)
    for _ in range(3):
        headers = answering.headers("REGISTER", URI)
        assert made.check(request(*headers), 1.0) == Verdict("alice")


def test_the_stronger_algorithm_is_offered_and_taken_first() -> None:
    made, answering = server(), client()
    challenged(made, answering, 0.0)
    ((_, value),) = answering.headers("REGISTER", URI)
    assert "algorithm=SHA-256" in value


def test_a_client_that_knows_md5_only_is_recognised() -> None:
    made, answering = server(), client()
    md5_only = [h for h in made.challenge(0.0) if "MD5" in h[1]]
    assert answering.accept(Response(401, "x", Headers(md5_only)))
    headers = answering.headers("REGISTER", URI)
    assert made.check(request(*headers), 0.0) == Verdict("alice")


def test_a_replayed_request_is_stale() -> None:
    made, answering = server(), client()
    challenged(made, answering, 0.0)
    once = request(*answering.headers("REGISTER", URI))
    assert made.check(once, 0.0).problem is None
    assert made.check(once, 0.0) == Verdict("alice", Problem.STALE)


def test_an_old_nonce_and_one_of_another_server_are_stale() -> None:
    made, answering = server(), client()
    challenged(made, answering, 0.0)
    late = request(*answering.headers("REGISTER", URI))
    assert made.check(late, NONCE_LIFETIME_S + 1).problem is Problem.STALE
    restarted = DigestServer("emulator", {"alice": "secret"}.get, IdSource(9))
    assert restarted.check(late, 0.0).problem is Problem.STALE
    assert "stale=true" in made.challenge(0.0, stale=True)[0][1]


def test_a_wrong_password_or_user_is_wrong() -> None:
    made, answering = server(), client("guess")
    challenged(made, answering, 0.0)
    wrong = request(*answering.headers("REGISTER", URI))
    assert made.check(wrong, 0.0) == Verdict("alice", Problem.WRONG)
    nobody = DigestClient(Credentials("mallory", "x"), IdSource(2))
    challenged(made, nobody, 0.0)
    headers = nobody.headers("REGISTER", URI)
    assert made.check(request(*headers), 0.0) == Verdict("mallory", Problem.WRONG)


def test_credentials_for_another_method_are_wrong() -> None:
    made, answering = server(), client()
    challenged(made, answering, 0.0)
    headers = answering.headers("INVITE", URI)
    assert made.check(request(*headers), 0.0).problem is Problem.WRONG


def test_credentials_for_another_realm_are_not_ours() -> None:
    made, answering = server(), client()
    answering.accept(challenge('Digest realm="other", nonce="n", qop="auth"'))
    headers = answering.headers("REGISTER", URI)
    assert made.check(request(*headers), 0.0).problem is Problem.MISSING


@pytest.mark.parametrize(
    "value",
    [
        "Digest realm",
        'Digest realm="emulator"',
        f'{OWN} uri="sip:example.org", response="x", qop=auth',
    ],
)
def test_malformed_credentials_are_refused(value: str) -> None:
    with pytest.raises(SipParseError):
        server().check(request(("Authorization", value)), 0.0)


@pytest.mark.parametrize("scheme", ["Basic YWxpY2U6eA==", "Bearer abc", "bearer", ""])
def test_credentials_of_another_scheme_are_passed_over(scheme: str) -> None:
    made, answering = server(), client()
    other = ("Authorization", scheme)
    assert made.check(request(other), 0.0).problem is Problem.MISSING
    challenged(made, answering, 0.0)
    good = answering.headers("REGISTER", URI)
    assert made.check(request(other, *good), 0.0) == Verdict("alice")


@pytest.mark.parametrize("user", ["alice", "nobody"])
@pytest.mark.parametrize("field", ["response", "nonce", "cnonce", "uri"])
@pytest.mark.parametrize("junk", ["ö", "\udcff", "\u0660", ""])
def test_odd_characters_in_a_digest_are_wrong_whoever_it_is(
    user: str, field: str, junk: str
) -> None:
    fields = {"response": "0" * 64, "nonce": "n", "cnonce": "c", "uri": URI}
    written = ", ".join(f'{k}="{v}"' for k, v in (fields | {field: junk}).items())
    value = f'Digest realm="emulator", username="{user}", nc=00000001, {written}'
    verdict = server().check(request(("Authorization", value)), 0.0)
    assert verdict == Verdict(user, Problem.WRONG)


@pytest.mark.parametrize("nonce", ["ö", "a-\udcff", "-", ""])
def test_a_nonce_of_odd_characters_is_not_ours(nonce: str) -> None:
    made, answering = server(), client()
    assert answering.accept(challenge('Digest realm="emulator", nonce="n", qop="auth"'))
    ((name, value),) = answering.headers("REGISTER", URI)
    fields = parse_digest(value) | {"nonce": nonce}
    fields["response"] = digest_response(
        "MD5", "alice", "emulator", "secret", "REGISTER", fields
    )
    written = ", ".join(f'{key}="{text}"' for key, text in fields.items())
    verdict = made.check(request((name, f"Digest {written}")), 0.0)
    assert verdict == Verdict("alice", Problem.STALE)


def test_a_proxy_challenges_by_407() -> None:
    made, answering = server(is_proxy=True), client()
    assert made.status == 407
    assert answering.accept(Response(407, "x", Headers(made.challenge(0.0))))
    ((name, value),) = answering.headers("REGISTER", URI)
    assert name == "Proxy-Authorization"
    assert made.check(request((name, value)), 0.0) == Verdict("alice")


def test_a_client_gives_up_when_its_credentials_were_refused() -> None:
    answering = client()
    assert answering.accept(challenge('Digest realm="r", nonce="1", qop="auth"'))
    answering.headers("REGISTER", URI)
    assert not answering.accept(challenge('Digest realm="r", nonce="2", qop="auth"'))
    stale = 'Digest realm="r", nonce="3", qop="auth", stale=TRUE'
    assert answering.accept(challenge(stale))


STALE_AGAIN = 'Digest realm="r", nonce="n", qop="auth", stale=true'


def test_a_client_gives_up_when_every_nonce_is_called_stale() -> None:
    answering = client()
    taken = [answering.accept(challenge(STALE_AGAIN)) for _ in range(5)]
    assert taken == [True, True, True, False, False]


def test_a_nonce_that_has_aged_is_renewed_in_every_hour() -> None:
    answering = client()
    for _ in range(24):
        assert answering.accept(challenge(STALE_AGAIN))
        answering.satisfied()


def test_a_client_takes_the_first_challenge_that_it_understands() -> None:
    answering = client()
    assert not answering.accept(challenge("Bearer x"))
    assert not answering.accept(
        challenge('Digest realm="r", nonce="1", algorithm=SHA-512-256')
    )
    assert answering.accept(
        challenge(
            'Digest realm="r", nonce="1", algorithm=SHA-512-256',
            'Digest realm="r", nonce="2", opaque="o"',
        )
    )
    ((_, value),) = answering.headers("REGISTER", URI)
    fields = parse_digest(value)
    assert (fields["nonce"], fields["opaque"]) == ("2", "o")
    # Without qop it is RFC 2069's digest: no counts.
    assert "nc" not in fields


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("alice", "secret"))
