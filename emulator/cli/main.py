"""Entry point: commands, options, and errors as one clear line."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from emulator import __version__
from emulator.errors import EmulatorError, ExitStatus

# As a shell reports a command that SIGINT ended.
INTERRUPTED = 130

app = typer.Typer(
    name="exotel-emulator",
    help="A full local emulator of the Exotel voice platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
flow_app = typer.Typer(help="Flow files.", no_args_is_help=True)
config_app = typer.Typer(help="Settings.", no_args_is_help=True)
app.add_typer(flow_app, name="flow")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file [default: config/emulator.yaml]."),
]
FlowDirectory = Annotated[
    Path | None, typer.Option("--flows", help="Directory of flow files.")
]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        print(f"exotel-emulator {__version__}")
        raise typer.Exit


@app.command()
def serve(
    config: ConfigFile = None,
    flows: FlowDirectory = None,
    sip_port: Annotated[
        int | None,
        typer.Option(help="SIP port, UDP and TCP; TLS takes the next (sip.port)."),
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="HTTP port (http.port).")
    ] = None,
    bind: Annotated[
        str | None, typer.Option(help="Address of every listener; sets all three.")
    ] = None,
    with_bots: Annotated[
        bool,
        typer.Option(help="Also run the echo bot on ports 5001 and 5002."),
    ] = False,
    ephemeral: Annotated[
        bool,
        typer.Option(
            "--ephemeral", help="Keep nothing: what is stored goes at the end."
        ),
    ] = False,
) -> None:
    """Run the emulator until SIGINT or SIGTERM."""
    # Imports allocate much and free nothing: collecting meanwhile costs a quarter of
    # the time to ready (950 ms instead of 730). ``serve`` switches it on again.
    gc.disable()
    from emulator.cli.commands import serve as command

    _finish(
        command.run(
            config=config,
            flows=flows,
            sip_port=sip_port,
            http_port=http_port,
            bind=bind,
            with_bots=with_bots,
            ephemeral=ephemeral,
        )
    )


@app.command()
def call(
    did: Annotated[str, typer.Argument(help="ExoPhone to dial, or a whole SIP URI.")],
    target: Annotated[
        str | None,
        typer.Option(help="host:port of the SIP listener [default: this machine's]."),
    ] = None,
    transport: Annotated[str, typer.Option(help="udp, tcp or tls.")] = "udp",
    codec: Annotated[
        str | None, typer.Option(help="PCMU, PCMA, or both in order of preference.")
    ] = None,
    srtp: Annotated[
        bool, typer.Option("--srtp", help="Offer SRTP, and nothing else.")
    ] = False,
    register: Annotated[
        str | None, typer.Option(help="Register first, as USER or USER:PASSWORD.")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds from the answer to the first word.", min=0)
    ] = 0.0,
    wav: Annotated[
        Path | None, typer.Option(help="Audio to say once the call is answered.")
    ] = None,
    dtmf: Annotated[
        str | None, typer.Option(help="Digits to press after the audio, as 12#.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="Extra INVITE header, as 'X-UUI: 7'; may be repeated."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Hang up so long after the answer.", min=0.1, max=86400),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write what was heard to this WAV file.")
    ] = None,
    caller: Annotated[
        str, typer.Option("--from", help="SIP user name of the caller.")
    ] = "caller",
    api: Annotated[
        str, typer.Option(help="Base URL of the emulator's HTTP listener.")
    ] = "http://127.0.0.1:8080",
    token: Annotated[
        str | None,
        typer.Option(envvar="EXOTEL_EMULATOR_TOKEN", help="Control API token."),
    ] = None,
) -> None:
    """Place a real SIP call, print its timeline and what was heard."""
    from emulator.cli.commands import call as command

    _finish(
        command.run(
            did=did,
            target=target,
            transport=transport,
            codec=codec,
            srtp=srtp,
            register=register,
            wait=wait,
            wav=wav,
            dtmf=dtmf,
            headers=header or [],
            seconds=seconds,
            save=save,
            caller=caller,
            api=api,
            token=token,
        )
    )


@app.command()
def demo(
    save: Annotated[Path, typer.Option(help="Where the heard audio goes.")] = Path(
        "demo-heard.wav"
    ),
) -> None:
    """Run emulator and echo bot, place one call, check what was heard."""
    from emulator.cli.commands import demo as command

    _finish(command.run(save=save))


@app.command()
def bot(
    name: Annotated[
        str | None, typer.Argument(help="Which bot; without a name they are listed.")
    ] = None,
    port: Annotated[
        int, typer.Option(help="TCP port to listen on.", min=0, max=65535)
    ] = 5001,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Run a reference bot, to call and to read: echo, tone, recorder and others."""
    from emulator.cli.commands import bot as command

    if name is None:
        _finish(command.show())
    _finish(command.run(name=name, host=host, port=port, with_parent=with_parent))


@flow_app.command("check")
def flow_check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Flow files or directories [default: flow.directory]."),
    ] = None,
    config: ConfigFile = None,
    profile: Annotated[
        str | None,
        typer.Option(help="observed or documented, in place of the settings' own."),
    ] = None,
) -> None:
    """Report every problem of flow files with file, line and column.

    Limits are those of the settings in force: of their profile, or of --profile.
    """
    from emulator.cli.commands import flow as command

    _finish(command.check(paths or [], config, profile))


@flow_app.command("show")
def flow_show(
    path: Annotated[Path, typer.Argument(help="A flow file.")],
    form: Annotated[
        str, typer.Option("--format", help="tree, mermaid or svg.")
    ] = "tree",
) -> None:
    """Draw a flow's applets and exits."""
    from emulator.cli.commands import flow as command

    _finish(command.show(path, form))


@flow_app.command("schema")
def flow_schema() -> None:
    """Print the JSON Schema of flow files, for editors."""
    from emulator.cli.commands import flow as command

    _finish(command.schema())


@config_app.command("show")
def config_show(config: ConfigFile = None) -> None:
    """Print the effective settings and where each came from."""
    from emulator.cli.commands import config as command

    _finish(command.show(config))


def _finish(status: ExitStatus) -> NoReturn:
    raise typer.Exit(int(status))


def main() -> None:
    """Run the command line; an expected error is one clear message, no traceback."""
    try:
        app()
    except EmulatorError as error:
        print(f"exotel-emulator: {error}", file=sys.stderr)
        sys.exit(int(error.exit_status))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
