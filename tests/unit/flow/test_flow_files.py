"""The shipped flows load; each broken file gives the report that lies beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from emulator.cli.commands.flow import check
from emulator.errors import ConfigError, ExitStatus
from emulator.flow.catalogue import FlowFile, check_files, load_catalogue
from emulator.flow.fields import FlowPlace
from emulator.flow.loader import LoadRules
from emulator.flow.ports import Capability
from emulator.service import find_flow_files

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "flows").glob("*.yaml"))
BROKEN = sorted((ROOT / "tests/data/flows/broken").glob("*.yaml"))


def file(path: Path) -> FlowFile:
    (found,) = find_flow_files([path])
    return found


def rules(env: Mapping[str, str] | None = None) -> LoadRules:
    return LoadRules(frozenset(Capability), env or {})


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_file_gives_its_expected_report(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What ``exotel-emulator flow check`` prints where file and prompt lie."""
    shutil.copy(path, tmp_path)
    (tmp_path / "hello.wav").touch()
    monkeypatch.chdir(tmp_path)
    status = check([Path(path.name)], None, None)
    printed = capsys.readouterr().out
    assert printed == path.with_suffix(".txt").read_text()
    assert (status == ExitStatus.USAGE) == ("error: " in printed)


def test_what_cannot_be_carried_out_is_not_supported_yet() -> None:
    text = (
        'flow: a\napp_id: "1"\nstart: g\napplets:\n'
        '  g: {type: greeting, url: "http://h/hello", next: m}\n'
        '  m: {type: voicemail, prompt: {text: "Speak."}, mailbox: sales}\n'
    )
    can_little = LoadRules(frozenset({Capability.PLAY}))
    report = check_files([flow_file("a.yaml", text)], can_little)
    assert str(report) == (
        "error: a.yaml:5:28: applets.g.url: not supported yet: "
        "a request to an http(s) URL, playing an audio URL\n"
        "error: a.yaml:6:3: applets.m: not supported yet: recording a message"
    )


def test_every_problem_of_every_file_is_reported_at_once() -> None:
    alone = [check_files([file(path)], rules()) for path in BROKEN]
    together = check_files([file(path) for path in BROKEN], rules())
    assert len(together.problems) == sum(len(report.problems) for report in alone)
    assert [p.file for p in together.problems] == sorted(
        p.file for p in together.problems
    )


def test_the_shipped_flows_are_without_fault() -> None:
    report = check_files([file(path) for path in SHIPPED], rules())
    assert str(report) == ""
    assert {flow.flow for flow in report.flows} == {path.stem for path in SHIPPED}


def test_every_shipped_flow_greets_first_and_hangs_up_last() -> None:
    catalogue, _ = load_catalogue([file(path) for path in SHIPPED], rules())
    for flow in catalogue:
        assert flow.applets[flow.start].type == "greeting"
        assert any(applet.type == "hangup" for applet in flow.applets.values())


def test_the_bots_of_the_shipped_flows_come_from_the_environment() -> None:
    env = {"BOT_URL": "wss://a/?sample-rate=16000", "ECHO_BOT_URL": "ws://b/"}
    files = [file(ROOT / "flows/voicebot.yaml"), file(ROOT / "flows/echo.yaml")]
    catalogue, warnings = load_catalogue(files, rules(env))
    bots = [flow.applets["bot"] for flow in catalogue]
    assert [bot.model_dump()["url"] for bot in bots] == list(env.values())
    assert [w.message for w in warnings] == [
        "no sample-rate in the URL: 8000 Hz is used; add ?sample-rate=8000"
    ]


def test_a_stream_that_nobody_is_told_of_is_a_trap_once_webhooks_work() -> None:
    text = (
        'flow: a\napp_id: "1"\nstart: g\napplets:\n'
        '  g: {type: greeting, text: "Hello.", next: b}\n'
        '  b: {type: voicebot, url: "ws://b/?sample-rate=8000", next: c}\n'
        '  c: {type: connect, dial: ["user:alice"]}\n'
    )
    report = check_files([flow_file("a.yaml", text)], rules())
    [warning] = report.warnings
    assert str(warning) == (
        "a.yaml:6:3: applets.b: no Passthru right behind this stream: "
        "nobody hears how it went"
    )


def flow_text(name: str, app_id: str, text: str = "Hello.") -> str:
    greet = f"{{type: greeting, text: {text!r}}}"
    return f'flow: {name}\napp_id: "{app_id}"\nstart: g\napplets:\n  g: {greet}\n'


def flow_file(file: str, text: str) -> FlowFile:
    return FlowFile(file, text, FlowPlace("", lambda _: False))


def test_a_catalogue_finds_flows_by_name_and_by_app_id() -> None:
    files = [
        flow_file("a.yaml", flow_text("a", "1", "Hello.")),
        flow_file("b.yaml", flow_text("b", "2", "Bye.")),
        flow_file("c.yaml", flow_text("c", "3", "Hello.")),
    ]
    catalogue, warnings = load_catalogue(files, rules())
    assert len(catalogue) == 3 and warnings == ()
    assert catalogue.by_name("a") is catalogue.by_app_id("1") is not None
    assert catalogue.by_name("d") is catalogue.by_app_id("4") is None
    assert catalogue.texts() == ["Hello.", "Bye."]


def test_a_name_or_app_id_belongs_to_one_file() -> None:
    files = [
        flow_file("a.yaml", flow_text("a", "1")),
        flow_file("b.yaml", flow_text("b", "1")),
        flow_file("c.yaml", flow_text("a", "3")),
    ]
    with pytest.raises(ConfigError) as caught:
        load_catalogue(files, rules())
    assert str(caught.value) == (
        "the flows cannot be used: 2 problems\n"
        "  b.yaml:2:9: app_id: '1' is taken by a.yaml\n"
        "  c.yaml:1:7: flow: 'a' is taken by a.yaml"
    )


def test_a_file_that_cannot_be_read_hides_no_other_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"flow: a\n# \xff\n")
    (tmp_path / "b.yaml").mkdir()
    (tmp_path / "c.yaml").write_text(flow_text("c", "no id"))
    (tmp_path / "d.yaml").write_text(flow_text("d", "4"))
    report = check_files(find_flow_files([tmp_path]), rules())
    assert [flow.flow for flow in report.flows] == ["d"]
    said = [str(problem).removeprefix(f"{tmp_path}/") for problem in report.problems]
    assert said == [
        "a.yaml:2:3: is no UTF-8 text",
        "b.yaml:1:1: cannot be read: Is a directory",
        "c.yaml:2:9: app_id: must be digits, at most 20",
    ]


@pytest.mark.parametrize(
    ("applet", "warned"),
    [
        ('connect, url: "http://h/", record: {}, max_ring_s: 3', "max_ring_s record"),
        ('connect, dial: ["0991"], fallback_url: "http://h/"', "fallback_url"),
        ('gather, url: "http://h/", max_digits: 3, repeat: 1', "max_digits repeat"),
        ('gather, prompt: {text: a}, fallback_url: "http://h/"', "fallback_url"),
        ('gather, url: "http://h/", fallback_url: "http://h/"', ""),
    ],
)
def test_fields_that_mean_nothing_here_are_warned_of(applet: str, warned: str) -> None:
    text = f'flow: a\napp_id: "1"\nstart: g\napplets:\n  g: {{type: {applet}}}\n'
    report = check_files([flow_file("a.yaml", text)], LoadRules(frozenset(Capability)))
    assert report.problems == ()
    ignored = [p.path for p in report.warnings if "is ignored: " in p.message]
    assert sorted(path.rpartition(".")[2] for path in ignored) == warned.split()


def test_a_strange_key_is_complained_about_once() -> None:
    applet = '{type: timing, hours: {monday: "9-18"}}'
    text = f'flow: a\napp_id: "1"\nstart: t\napplets:\n  t: {applet}\n'
    report = check_files([flow_file("a.yaml", text)], LoadRules(frozenset(Capability)))
    (problem,) = report.problems
    assert problem.message.startswith("'monday' is none of mon, tue")


@pytest.mark.parametrize(
    ("applet", "said"),
    [
        (
            'greeting, text: "x", file: nope.wav, next: l',
            ["needs exactly one of 'text', 'file', 'audio_url' and 'url'",
             "there is no file 'nope.wav'", "there is no applet 'l'"],
        ),
        (
            'connect, url: "http://h/", dial: ["al"]',
            ["needs exactly one of 'dial', 'numbers_url' and 'url'",
             "must be user:<name>, sip:<trunk> or a telephone number"],
        ),
        (
            'ivr, prompt: {text: "", file: a.wav}, keys: {}',
            ["needs exactly one of 'text', 'file' and 'audio_url'",
             "must not be empty", "there is no file 'a.wav'", "must not be empty"],
        ),
        (
            'stream, action: stop, url: "ftp://h/"',
            ["'url' belongs to action: start, and only to it",
             "must begin with ws:// or wss://, not ftp://"],
        ),
    ],
)  # fmt: skip
def test_fields_that_do_not_fit_are_reported_beside_those_that_are_wrong(
    applet: str, said: list[str]
) -> None:
    text = f'flow: a\napp_id: "1"\nstart: g\napplets:\n  g: {{type: {applet}}}\n'
    report = check_files([flow_file("a.yaml", text)], rules())
    assert [problem.message for problem in report.problems] == said
