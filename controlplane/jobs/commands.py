"""`trueup ledger`: archive what is old, list the parts of the archive, put them back.

Where a plane runs on the embedded store, it is asked to do it: the store belongs to that process. Otherwise the store is opened.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Annotated, Any, Protocol

import typer

from controlplane.client import PlaneClient
from controlplane.settings import Settings
from rules import cells

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Archive old messages, list the parts of the archive, put them back.",
)  # fmt: skip

LOOK_EVERY = 0.3
"""Seconds between two looks at a run that was asked for."""
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
SCOPE = ("kind", "domain", "about", "cutoff", "archive")
PART = ("at", "kind", "domain", "rows", "state", "restored_until", "uri")


@app.command()
def archive(
    now: Annotated[bool, typer.Option("--now", help="Do it now; otherwise only what is due is shown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what is old from when on and where it goes; with --now, archive and delete it. By itself it is done every hour."""
    with _ledger() as ledger:
        if now:
            _say(ledger.archive(), as_json)
        else:
            _table(ledger.plan(), SCOPE, as_json)


@app.command()
def parts(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what was archived or deleted, the newest first. In a pipe, columns are parted by tabs."""
    with _ledger() as ledger:
        _table(ledger.parts(limit), PART, as_json)


@app.command()
def restore(
    uri: Annotated[str, typer.Argument(help="Address of a part, as `trueup ledger parts` lists it.")],
    since: Annotated[str | None, typer.Option(help="Only what was accepted at this instant or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what was accepted before this instant.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this business key.")] = None,
    keep: Annotated[str, typer.Option(help="For how long the rows stay before they are deleted again.")] = "30d",
    as_json: AsJson = False,
) -> None:
    """Put archived rows back as history: nothing is processed or sent again."""
    asked = {"uri": uri, "since": since, "until": until, "subject": subject, "keep": keep}
    with _ledger() as ledger:
        _say(ledger.restore(asked), as_json)


# --- who does it ---


class Ledger(Protocol):
    """What the commands ask for."""

    def plan(self) -> list[dict[str, Any]]:
        """Return what is due."""
        ...

    def archive(self) -> dict[str, Any]:
        """Archive and delete what is due; return what was done."""
        ...

    def parts(self, limit: int) -> list[dict[str, Any]]:
        """Return what was archived."""
        ...

    def restore(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Put rows back; return what was done."""
        ...


@contextmanager
def _ledger() -> Iterator[Ledger]:
    """Give the running plane where one owns the store, else the store. Raises SettingsError, NotFoundError."""
    from controlplane.errors import NotFoundError
    from controlplane.settings import load_settings
    from controlplane.store.owner import held, only_one

    settings = load_settings()
    if not settings.is_sqlite:
        with _opened(settings) as ledger:
            yield ledger
    elif not settings.home.is_dir():
        raise NotFoundError(
            f"TRUEUP_HOME={settings.home}: no plane has run there; name the folder of the one that is meant"
        )
    elif held(settings):
        yield Remote(settings)
    else:
        with only_one(settings), _opened(settings) as ledger:
            yield ledger


@contextmanager
def _opened(settings: Settings) -> Iterator[Ledger]:
    from controlplane.wiring import opened

    store = opened(settings)
    try:
        yield Opened(store)
    finally:
        store.close()


class Opened:
    """The store, opened by this command. Who has the key to the database needs no right; what he does is told like what others do."""

    def __init__(self, store: Any) -> None:
        from controlplane.clock import SystemClock
        from controlplane.registry import Registry
        from controlplane.sync.ledger.archive import Archiver, Restorer

        self._store, clock = store, SystemClock()
        self._clock, self._actor = clock, f"console ({getpass.getuser()})"
        registry = Registry(store, clock)
        self._archiver, self._restorer = Archiver(store, clock, registry), Restorer(store, clock, registry)

    def plan(self) -> list[dict[str, Any]]:
        """See Ledger."""
        return [scope.told() for scope in self._archiver.plan()]

    def archive(self) -> dict[str, Any]:
        """See Ledger."""
        from controlplane import audit

        with self._store.write() as conn:
            audit.record(conn, self._clock, actor=self._actor, action="ledger.archive", subject="ledger/archive")
        return self._archiver.run(anew=True)

    def parts(self, limit: int) -> list[dict[str, Any]]:
        """See Ledger."""
        from controlplane.sync.ledger.archive import parts

        with self._store.read() as connection:
            return [dict(one) for one in parts(connection, limit)]

    def restore(self, asked: dict[str, Any]) -> dict[str, Any]:
        """See Ledger."""
        from controlplane.errors import TrueupError
        from controlplane.sync.ledger.archive import Wanted, how_long, part_of

        wanted = Wanted.read(asked["since"], asked["until"], asked["subject"])
        part = self._restorer.ask(asked["uri"], wanted, how_long(asked["keep"]), self._actor)
        with suppress(TrueupError):  # of this part it stands in its row; others were asked for by others
            self._restorer.run()
        with self._store.read() as connection:
            return _outcome(part_of(connection, part))


class Remote:
    """The running plane, asked over its API."""

    def __init__(self, settings: Settings) -> None:
        self._plane = PlaneClient(settings)

    def plan(self) -> list[dict[str, Any]]:
        """See Ledger."""
        return list(self._plane.get("ledger/retention")["scopes"])

    def archive(self) -> dict[str, Any]:
        """See Ledger."""
        return self._ended(self._plane.post("ledger/archive", {})["run"])

    def parts(self, limit: int) -> list[dict[str, Any]]:
        """See Ledger."""
        return list(self._plane.get("ledger/parts", {"limit": limit})["parts"])

    def restore(self, asked: dict[str, Any]) -> dict[str, Any]:
        """See Ledger."""
        from controlplane.errors import TrueupError

        told = self._plane.post("ledger/restore", asked)
        why = ""
        try:
            self._ended(told["run"])
        except TrueupError as error:  # of this part, or of another that somebody asked for
            why = str(error)
        return _outcome(self._plane.get(f"ledger/parts/{told['part']}"), why)

    def _ended(self, run_id: str) -> dict[str, Any]:
        """Wait for the end of a run; ending this command does not end the run. Raises UnavailableError when it failed."""
        import threading

        from controlplane.clock import SystemClock
        from controlplane.errors import UnavailableError

        clock, pause = SystemClock(), threading.Event()
        while True:
            run = self._plane.get(f"ledger/runs/{run_id}")
            if run["state"] == "done":
                return dict(run["detail"]["result"])
            if run["state"] == "failed":
                raise UnavailableError(str(run["detail"].get("error", "the run failed; see the plane's log")))
            clock.wait(pause, LOOK_EVERY)


# --- how it is told ---


def _outcome(part: dict[str, Any], why: str = "") -> dict[str, Any]:
    """Return what was put back of a part. Raises UnavailableError when it was not, or not yet; `why`: what its run said."""
    from controlplane.errors import UnavailableError

    restored = part["restored"]
    if restored is None:
        said = why or "it was not its turn yet"
        raise UnavailableError(
            f"{part['uri']} is not put back ({said}); it stays asked for, and asking again does no harm"
        )
    if restored["state"] == "failed":
        raise UnavailableError(str(restored["error"]))
    return {"part": part["id"], "uri": part["uri"]} | {name: restored[name] for name in ("state", "rows", "there")}


def _say(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    if told.get("elsewhere"):
        typer.echo("another process is at it just now (after a crash: for five minutes still); nothing was done here")
        return
    rows = ", ".join(f"{count} {table}" for table, count in sorted(told["rows"].items())) or "nothing"
    if "there" in told:
        typer.echo(f"put back: {rows}; there already: {told['there']}")
        if told["state"] == "stopped":
            typer.echo(
                "the process ended before all was put back; ask again, or leave it to the plane: within the hour"
            )
    else:
        typer.echo(
            f"deleted: {rows}; parts archived: {told['parts']}; kept, for something happened to them: {told['held']}"
        )


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str], as_json: bool) -> None:
    shown = [{name: _cell(row.get(name)) for name in names} for row in rows]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=_cell))
    elif not shown:
        typer.echo("nothing")
    else:
        typer.echo("\t".join(names))
        for row in shown:
            typer.echo(cells.line([row[name] for name in names]))


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value)
