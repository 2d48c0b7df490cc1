from __future__ import annotations

from pathlib import Path

import pytest

from emulator.cli.commands.config import show
from emulator.config import LoadedSettings, Settings, load_settings
from emulator.config.crosschecks import contradictions
from emulator.errors import ConfigError
from emulator.events import JsonValue

ROOT = Path(__file__).resolve().parents[3]


def load(
    text: str = "",
    env: dict[str, str] | None = None,
    options: dict[str, tuple[str, JsonValue]] | None = None,
) -> LoadedSettings:
    return load_settings(
        file="emu.yaml", text=text, env=env or {}, options=options or {}
    )


def problems(**kwargs: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**kwargs)  # type: ignore[arg-type]
    return str(caught.value)


def test_nothing_gives_the_defaults() -> None:
    assert load().settings == Settings()


def test_the_sample_file_equals_the_defaults() -> None:
    path = ROOT / "config" / "emulator.yaml"
    loaded = load_settings(file=str(path), text=path.read_text(), env={}, options={})
    assert loaded.settings == Settings()


def test_later_sources_win_and_are_named() -> None:
    text = "sip:\n  port: 5070\n  bind: 127.0.0.2\ncalls: {ring_ms: 1}\n"
    loaded = load(
        text,
        env={
            "EXOTEL_EMULATOR_SIP__PORT": "5080",
            "EXOTEL_EMULATOR_CALLS__RING_MS": "2",
        },
        options={"sip.port": ("--sip-port", 5090)},
    )
    assert loaded.settings.sip.port == 5090
    assert loaded.settings.sip.bind == "127.0.0.2"
    assert loaded.settings.calls.ring_ms == 2
    assert loaded.origins["sip.port"] == "--sip-port"
    assert loaded.origins["calls.ring_ms"] == "$EXOTEL_EMULATOR_CALLS__RING_MS"
    assert loaded.origins["sip.bind"] == "emu.yaml:3"


def test_a_profile_sets_knobs_and_the_user_beats_it() -> None:
    documented = load("profile: documented\n").settings.stream
    assert (documented.media_chunk_ms, documented.close_mode) == (100, "normal")
    mixed = load("profile: documented\nstream: {media_chunk_ms: 20}\n").settings.stream
    assert (mixed.media_chunk_ms, mixed.close_mode) == (20, "normal")


@pytest.mark.parametrize("given", ["[20000, 30000]", "20000-30000", '"20000 - 30000"'])
def test_a_range_of_ports_is_a_list_or_has_a_dash(given: str) -> None:
    loaded = load(f"media: {{rtp_range: {given}}}\n")
    assert loaded.settings.media.rtp_range == (20000, 30000)


@pytest.mark.parametrize(
    ("low", "high", "workers", "pairs"),
    [(10000, 10003, 3, 2), (10001, 10004, 2, 1), (10001, 10002, 1, 0)],
)
def test_each_worker_needs_a_pair_of_ports(
    low: int, high: int, workers: int, pairs: int
) -> None:
    text = f"media: {{workers: {workers}, rtp_range: [{low}, {high}]}}\n"
    told = problems(text=text)
    assert "media.rtp_range" in told
    assert f"{pairs} pairs" in told
    assert f"media.workers: {workers}" in told
    load(f"media: {{workers: {workers}, rtp_range: [{low}, {low + 2 * workers}]}}\n")


def test_a_profile_reaches_into_sections_and_the_user_beats_it_there() -> None:
    loaded = load("profile: documented\nstream: {custom_params: {max_chars: 99}}\n")
    limits = loaded.settings.stream.custom_params
    assert (limits.max, limits.max_chars) == (3, 99)
    assert loaded.origins["stream.custom_params.max"] == "profile documented"
    options = loaded.settings.stream.options()
    assert (options["custom_params_max"], options["custom_params_max_chars"]) == (3, 99)
    assert options["media_format_encoding"] == "audio/x-raw"


def test_a_profile_over_a_section_that_is_none_is_told_as_the_users_mistake() -> None:
    report = problems(text="profile: documented\nstream: {custom_params: 3}\n")
    assert "emu.yaml:2" in report and "stream.custom_params: must be a map" in report


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("stream: {custom_params_max: 3}", "stream.custom_params.max"),
        ("stream: {custom_params_max_chars: 3}", "stream.custom_params.max_chars"),
        ("stream: {custom_params_limit: 3}", "stream.custom_params.max"),
        ("stream: {media_format_encoding: raw}", "stream.media_format.encoding"),
        ("stream: {media_format_bit_rate: '16'}", "stream.media_format.bit_rate"),
        ("stream: {encoding: mulaw}", "stream.codec"),
        ("stream: {direction_word: inbound}", "passthru.direction_word"),
        ("passthru: {passthru_method: POST}", "passthru.method"),
        ("media: {rtp_port_min: 1}", "media.rtp_range"),
        ("rtp: {range: 1}", "media.rtp_range"),
        ("sip: {extra_tcp_ports: []}", "sip.ports.tcp"),
        ("max_streams: 7", "stream.max_streams"),
    ],
)
def test_another_name_of_a_setting_leads_to_its_own(written: str, meant: str) -> None:
    report = problems(text=written)
    assert f"unknown field (did you mean {meant!r}?)" in report


def test_another_name_in_a_variable_leads_to_its_own() -> None:
    report = problems(env={"EXOTEL_EMULATOR_STREAM__CUSTOM_PARAMS_MAX": "3"})
    assert "$EXOTEL_EMULATOR_STREAM__CUSTOM_PARAMS_MAX" in report
    assert "did you mean 'stream.custom_params.max'?" in report


def test_an_illegal_knob_names_its_line_and_the_choices() -> None:
    report = problems(text="stream:\n  media_chunk_ms: 30\n  close_mod: normal\n")
    assert "emu.yaml:2" in report and "20, 40" in report
    assert "emu.yaml:3" in report and "close_mode" in report


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("sip: {transports: []}", "sip.transports"),
        (
            "trunks: [{name: a, sid: b, destinations: ['1.2.3.4:99999']}]",
            "destinations",
        ),
        (
            "trunks: [{name: a, sid: b, destinations: ['x;transport=sctp']}]",
            "transport",
        ),
        ("trunks: [{name: a, sid: b, destinations: ['']}]", "destinations"),
        ("media: {rtp_range: [20000, 10000]}", "media.rtp_range"),
        ("media: {rtp_range: 10000}", "media.rtp_range"),
        ("media: {rtp_range: 1-a}", "media.rtp_range"),
    ],
)
def test_what_could_not_take_a_call_is_refused(text: str, field: str) -> None:
    assert field in problems(text=text)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "numbers:\n- {number: '0801x', flow: a}",
            2,
            ["numbers[0].number", "'0801x' is no telephone number"],
        ),
        ("users: [{name: a, password: a, number: '12'}]", 1, ["users[0].number"]),
        (
            "trunks:\n- name: a\n  sid: b\n  numbers: [{number: me}]",
            4,
            ["trunks[0].numbers[0].number"],
        ),
        (
            (
                "numbers:\n- {number: '08010000001', flow: a}\n"
                "- {number: '+91 8010000001', flow: b}"
            ),
            3,
            ["numbers[1].number", "numbers[0]", "spelt '08010000001'"],
        ),
        (
            "users:\n- {name: a, password: a}\n- {name: a, password: b}",
            3,
            ["users[1].name: 'a' is that of users[0] already"],
        ),
        (
            (
                "users:\n- {name: a, password: a, number: '09900000001'}\n"
                "- {name: b, password: b, number: '919900000001'}"
            ),
            3,
            ["users[1].number"],
        ),
        ("trunks:\n- {name: a, sid: x}\n- {name: b, sid: x}", 3, ["trunks[1].sid"]),
        ("trunks:\n- {name: a, sid: x}\n- {name: a, sid: y}", 3, ["trunks[1].name"]),
    ],
)
def test_parties_are_numbers_and_there_once(
    text: str, line: int, words: list[str]
) -> None:
    report = problems(text=text)
    assert f"emu.yaml:{line}:" in report
    for word in words:
        assert word in report


def test_a_number_twice_in_a_variable_is_the_variables_fault() -> None:
    report = problems(
        text="numbers:\n- {number: '0801', flow: a}\n- {number: '0802', flow: a}",
        env={
            "EXOTEL_EMULATOR_NUMBERS": '[{number: "0801", flow: a}, '
            '{number: "0801", flow: b}]'
        },
    )
    assert "$EXOTEL_EMULATOR_NUMBERS: numbers[1].number" in report
    assert "emu.yaml" not in report


def test_the_variable_that_breaks_a_range_is_named() -> None:
    report = problems(
        text="media:\n  rtp_range: [10000, 20000]\n",
        env={"EXOTEL_EMULATOR_MEDIA__RTP_RANGE": "30000-20000"},
    )
    assert "$EXOTEL_EMULATOR_MEDIA__RTP_RANGE: media.rtp_range" in report
    assert "must be above the first, 30000" in report
    assert "emu.yaml" not in report


def test_every_problem_is_reported_with_file_line_and_field() -> None:
    text = "sip:\n  prot: 5060\n  port: 99999\nmedia: {workers: many}\n"
    report = problems(text=text)
    assert "emu.yaml:2" in report and "sip.prot" in report and "port" in report
    assert "emu.yaml:3" in report
    assert "emu.yaml:4" in report and "media.workers" in report


def test_a_bad_variable_is_named_instead_of_the_file() -> None:
    report = problems(env={"EXOTEL_EMULATOR_SIP__PORT": "high"})
    assert "$EXOTEL_EMULATOR_SIP__PORT" in report
    assert "emu.yaml" not in report


def test_an_unknown_variable_is_an_error() -> None:
    assert "$EXOTEL_EMULATOR_SPI__PORT" in problems(
        env={"EXOTEL_EMULATOR_SPI__PORT": "5060"}
    )


def test_a_list_may_come_from_a_variable() -> None:
    env = {"EXOTEL_EMULATOR_NUMBERS": '[{number: "0802", flow: x, voip: false}]'}
    (number,) = load(env=env).settings.numbers
    assert (number.number, number.flow, number.voip) == ("0802", "x", False)


def test_a_document_that_is_no_mapping_is_refused() -> None:
    assert "mapping" in problems(text="- 1\n")


def test_a_bad_network_is_named() -> None:
    text = 'trunks:\n  - {name: t, sid: t1, whitelisted_ips: ["10.0.0.0/99"]}\n'
    report = problems(text=text)
    assert "emu.yaml:2" in report and "whitelisted_ips" in report


def test_secrets_do_not_show() -> None:
    assert "emulator" not in repr(Settings().account.api_token)


def test_headers_for_bots_are_listed_without_their_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "emulator.yaml"
    file.write_text('stream: {upgrade_headers: {Authorization: "Bearer S3CRET"}}')
    show(file)
    shown = capsys.readouterr().out
    assert "{'Authorization': '***'}" in shown
    assert "S3CRET" not in shown


@pytest.mark.parametrize(
    ("sip", "media", "is_heard"),
    [
        ("::1", "127.0.0.1", False),
        ("127.0.0.1", "::1", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("0.0.0.0", "0.0.0.0", True),
        ("::1", "::1", True),
    ],
)
def test_sdp_may_not_name_an_address_without_rtp(
    sip: str, media: str, is_heard: bool
) -> None:
    settings = Settings.model_validate({"sip": {"bind": sip}, "media": {"bind": media}})
    found = [text for path, text in contradictions(settings) if path[0] == "media"]
    assert bool(found) is not is_heard
    assert all("sip.bind" in text for text in found)


# Of the references' tables, and of the rooms that exist (streaming spec §8, rest spec
# §11, decisions): those of the Exotel REST API come with it.
REFERENCE_NAMES = """
stream.media_chunk_ms stream.numeric_types stream.media_format.encoding
stream.media_format.bit_rate stream.bit_rate_tracks_sample_rate
stream.custom_params.max stream.custom_params.max_chars
stream.omit_empty_custom_parameters stream.sample_rate_in_custom_params
stream.accept_camel_case stream.strict_string_numbers stream.min_chunk_policy
stream.codec stream.clear_granularity stream.send_clear_to_bot stream.mark_on_clear
stream.bot_stop stream.on_bot_close stream.dtmf_shape stream.close_mode
stream.close_delay_ms stream.caller_hangup_status stream.number_format
stream.accept_sample_rate_underscore stream.handshake_timeout_s
stream.first_message_timeout_s stream.ignore_pings stream.timestamp_origin
stream.sid_style stream.one_way_audio stream.max_streams stream.max_session_s
passthru.method passthru.timeout_s passthru.after_hangup passthru.direction_word
passthru.disconnected_by_vocab passthru.stream_fields_encoding
quirks.no_greeting_disconnect quirks.no_greeting_disconnect_s
sip.strict_transport sip.ports.tcp sip.ports.tls sip.register
sip.require_account_header sip.require_account_domain sip.require_e164
sip.custom_headers sip.custom_header_max_bytes
media.rtp_range account.region recordings.auth flow.silent_greeting_ms profile
""".split()


def test_every_knob_of_the_references_is_listed_under_their_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(None)
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert [name for name in REFERENCE_NAMES if name not in listed] == []
