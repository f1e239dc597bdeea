"""`trueup keys`: the keys that personal data are sealed with. They act on the file, or the reference, that the settings name.

What was done is told to the plane that runs here, which notes it in its action log; where none runs, it is noted in the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controlplane.audit.keys import Deed
    from controlplane.sealing.keys import Keys
    from controlplane.sealing.ring import Ring
    from controlplane.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="List, rotate and destroy the keys of sealed records.",
)  # fmt: skip
Print = Annotated[
    bool, typer.Option("--print", help="Print the new keys instead of writing them: for a place that is not a file.")
]


@app.command("list")
def list_keys() -> None:
    """List the keys by their ids; never a key itself."""
    from controlplane.sealing.keys import Keys
    from controlplane.settings import load_settings

    keys = Keys(load_settings())
    ring = keys.ring()
    typer.echo(f"{len(ring.keys)} keys in {keys.where}", err=True)
    for key in ring.keys:
        typer.echo(f"{key.id}\t{key.made_at}\t{'seals' if key is ring.keys[-1] else 'opens'}")
    typer.echo(f"{ring.hashing.id}\t{ring.hashing.made_at}\thashes")
    for key_id, at in ring.destroyed.items():
        typer.echo(f"{key_id}\t{at}\tdestroyed")


@app.command()
def new(to_print: Print = False) -> None:
    """Make the first keys of an installation, where the plane does not do so itself; keys that are there stay."""
    from controlplane.clock import SystemClock
    from controlplane.errors import ConflictError
    from controlplane.sealing.keys import Keys
    from controlplane.sealing.ring import Ring
    from controlplane.settings import load_settings

    settings = load_settings()
    keys = Keys(settings)
    if not to_print and keys.path is not None and keys.path.exists():
        raise ConflictError(f"{keys.where}: there are keys already; rotate them with `trueup keys rotate`")
    _put(settings, keys, Ring.new(SystemClock().now()), "new", to_print)


@app.command()
def rotate(
    hashing: Annotated[
        bool, typer.Option("--hashing", help="The key of the hashes too: what was hashed before matches nothing new.")
    ] = False,
    to_print: Print = False,
) -> None:
    """Seal what comes from now on with a new key; what is sealed already opens with its old one."""
    from controlplane.clock import SystemClock
    from controlplane.sealing.keys import Keys
    from controlplane.settings import load_settings

    settings, now = load_settings(), SystemClock().now()
    keys = Keys(settings)
    ring = keys.ring().rotated(now)
    _put(settings, keys, ring.rehashed(now) if hashing else ring, "rotate", to_print)


@app.command()
def destroy(
    key: Annotated[str, typer.Argument(help="Id of a key that does not seal any more.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    to_print: Print = False,
) -> None:
    """Destroy a key: what was sealed with it can never be read again, by anybody. Copies of it have to be destroyed too."""
    from controlplane.clock import SystemClock
    from controlplane.sealing.keys import Keys
    from controlplane.settings import load_settings

    settings = load_settings()
    keys = Keys(settings)
    ring = keys.ring().without(key, SystemClock().now())
    if not yes:
        typer.confirm(f"What is sealed with {key} can never be read again. Destroy it?", abort=True)
    _put(settings, keys, ring, "destroy", to_print)


@app.command()
def record() -> None:
    """Note in the action log how the keys are by now, where they were put in place by hand; nothing where it knows already."""
    from controlplane.sealing.keys import Keys
    from controlplane.settings import load_settings

    settings = load_settings()
    _tell(settings, Keys(settings).ring(), "rotate")


def _put(settings: Settings, keys: Keys, ring: Ring, deed: Deed, to_print: bool) -> None:
    if to_print:
        typer.echo(ring.text)
        typer.echo("once they are in place, note it in the action log: trueup keys record", err=True)
        return
    keys.put(ring)
    typer.echo(f"{keys.where}: {ring.keys[-1].id} seals", err=True)
    _tell(settings, ring, deed)


def _tell(settings: Settings, ring: Ring, deed: Deed) -> None:
    """Note it in the action log, by the plane that runs here or in the database. Raises ConflictError where neither could."""
    from controlplane.client import PlaneClient
    from controlplane.errors import ConflictError, TrueupError, UnavailableError

    try:
        told = PlaneClient(settings).post("keys/actions", {"deed": deed})["noted"]
    except UnavailableError:
        told = _note(settings, ring, deed)
    except TrueupError as error:
        why = "the keys are as told, and the action log does not know it"
        raise ConflictError(f"{why}: {error}. Mend that, and note it with `trueup keys record`") from error
    said = {True: "noted in the action log", False: "the action log knows it", None: "there is no action log yet"}
    typer.echo(said[told], err=True)


def _note(settings: Settings, ring: Ring, deed: Deed) -> bool | None:
    """Note it in the database that no plane of this machine has open; None where there is no database yet."""
    import getpass
    from contextlib import ExitStack
    from pathlib import Path

    from sqlalchemy import inspect, make_url

    from controlplane.audit.keys import note
    from controlplane.clock import SystemClock
    from controlplane.store import open_store
    from controlplane.store.owner import only_one

    if settings.is_sqlite and not Path(make_url(settings.store_url).database or "").exists():
        return None
    with ExitStack() as stack:
        if settings.is_sqlite:
            stack.enter_context(only_one(settings))
        store = open_store(settings.store_url)
        stack.callback(store.close)
        if not inspect(store.engine).has_table("audit_head"):
            return None
        with store.write() as conn:
            return note(conn, SystemClock(), ring, deed, f"console ({getpass.getuser()})")
