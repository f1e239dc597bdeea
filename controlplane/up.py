"""`trueup up`: the plane and, unless told otherwise, the sandbox retailer, in one process group."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from controlplane.errors import SettingsError
from controlplane.settings import Settings, load_settings
from controlplane.store.owner import only_one

STARTUP = 30.0
"""Seconds that the sandbox may take to answer."""


def up(
    sandbox: Annotated[bool, typer.Option(help="Start the simulated retailer too.")] = True,
    pack: Annotated[str, typer.Option(help="Policy pack that a new installation begins with.")] = "sandbox",
    port: Annotated[int | None, typer.Option(help="Port to listen on (TRUEUP_PORT).")] = None,
) -> None:
    """Run the plane until Ctrl-C; starting again goes on where it was."""
    settings = load_settings(port=port)
    prepare_home(settings)
    with ExitStack() as stack:
        stack.enter_context(only_one(settings))
        check_port(settings.host, settings.port, "TRUEUP_PORT")
        if sandbox:
            start_sandbox(stack, settings)
        run_plane(stack, settings, pack)


def prepare_home(settings: Settings) -> None:
    """Make the home folder. Raises SettingsError when it cannot be written to."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.secrets.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"TRUEUP_HOME={settings.home}: {error.strerror}; give a folder that can be written to"
        ) from None


def check_port(host: str, port: int, variable: str) -> None:
    """Raise SettingsError when the port is taken or the host is none of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise SettingsError(f"TRUEUP_HOST={host}: {error.strerror}; give an address of this machine") from None
            remedy = f"stop what listens there, or set {variable} to another port"
            raise SettingsError(
                f"{variable}={port}: cannot listen on {host}:{port} ({error.strerror}); {remedy}"
            ) from None


def start_sandbox(stack: ExitStack, settings: Settings) -> None:
    """Start the simulated retailer as a process of its own and wait until it answers."""
    port = int(settings.sandbox_url.rsplit(":", 1)[1])
    check_port("127.0.0.1", port, "TRUEUP_SANDBOX_PORT")
    home = settings.home / "sandbox"
    home.mkdir(exist_ok=True)
    log = stack.enter_context((settings.home / "sandbox.log").open("ab"))
    command = [
        sys.executable, "-m", "controlplane.sandbox", "--port", str(port), "--home", str(home),
        "--plane", settings.url, "--rate", str(settings.sandbox_rate), "--with-parent",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603
    stack.callback(stop_process, process)
    wait_until_healthy(process, f"{settings.sandbox_url}/healthz", settings.home / "sandbox.log")


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and end it when it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait for an answer at the address. Raises SettingsError pointing at the log when none comes."""
    import httpx

    from controlplane.clock import SystemClock

    clock = SystemClock()
    started, pause = clock.stopwatch(), threading.Event()
    while clock.stopwatch() - started < STARTUP and process.poll() is None:
        try:
            if httpx.get(url, timeout=1, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            clock.wait(pause, 0.05)
    raise SettingsError(f"the sandbox did not start; its log is {log}")


def run_plane(stack: ExitStack, settings: Settings, pack: str) -> None:
    """Wire the plane, start what works by itself, serve until a signal, stop in reverse."""
    from controlplane.serve import start_plane

    login = start_plane(stack, settings, pack)
    typer.echo(banner(settings, login))
    stop = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: stop.set())
    stop.wait()
    typer.echo("\nstopping: what is under way is finished first …")


def banner(settings: Settings, login: str) -> str:
    """Return what a person sees first."""
    lines = (
        "",
        f"  Trueup is up:  {settings.url}",
        f"  login:         {login}",
        f"  data:          {settings.home}",
        "",
        "  Ctrl-C stops it; starting again goes on where it was.",
    )
    return "\n".join(lines)
