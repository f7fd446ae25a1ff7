"""``troth handover``: let a product hand people over who are signed in there, or stop it."""

from __future__ import annotations

from pathlib import Path

import click

from troth.cli.opened import DATA, TENANT, ask


@click.command()
@click.argument("name")
@DATA
@TENANT
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The product's own Ed25519 public key (PEM). Without it a pair is made, and the private half shown once.",
)
@click.option("--stop", is_flag=True, help="Take nobody from this product any more.")
def handover(name: str, data: Path, tenant: str | None, key: Path | None, stop: bool) -> None:
    """Let the product NAME (or its id) open the privacy centre for people who are signed in there.

    A key that was registered before counts no more. The product's id is told on standard error.
    """
    if stop and key is not None:
        raise click.UsageError("--key and --stop contradict each other")
    if stop:
        done = ask(data, "product.handover.stop", name=name, tenant=tenant)
        click.echo(f"product {done['product']}: " + ("stopped" if done["stopped"] else "did not hand over"), err=True)
        return
    private = ""
    if key is None:
        private, public = pair()
    else:
        public = key.read_text("utf-8", "replace")
    done = ask(data, "product.handover", name=name, key=public, tenant=tenant)
    click.echo(f"product {done['product']}", err=True)
    click.echo(private, nl=False)


def pair() -> tuple[str, str]:
    """A new private key and its public half, in PEM. The private half is made here and never leaves this command."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    made = Ed25519PrivateKey.generate()
    private = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()
