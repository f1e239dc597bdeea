"""`trueup keys`: the keys that personal data are sealed with. They act on the file, or the reference, that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from controlplane.sealing.keys import Keys
    from controlplane.sealing.ring import Ring

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

    keys = Keys(load_settings())
    if not to_print and keys.path is not None and keys.path.exists():
        raise ConflictError(f"{keys.where}: there are keys already; rotate them with `trueup keys rotate`")
    _put(keys, Ring.new(SystemClock().now()), to_print)


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

    keys, now = Keys(load_settings()), SystemClock().now()
    ring = keys.ring().rotated(now)
    _put(keys, ring.rehashed(now) if hashing else ring, to_print)


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

    keys = Keys(load_settings())
    ring = keys.ring().without(key, SystemClock().now())
    if not yes:
        typer.confirm(f"What is sealed with {key} can never be read again. Destroy it?", abort=True)
    _put(keys, ring, to_print)


def _put(keys: Keys, ring: Ring, to_print: bool) -> None:
    if to_print:
        typer.echo(ring.text)
        return
    keys.put(ring)
    typer.echo(f"{keys.where}: {ring.keys[-1].id} seals", err=True)
