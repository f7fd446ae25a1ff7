"""``troth init``: five questions, then a policy, a configuration, a root key and the first operator's link."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import json
import re
from pathlib import Path

import click

from troth.errors import StartRefused

SIGN_IN = ("link", "account")
PLAIN = re.compile(r"[^\W\d_][\w .,&@-]*[\w.]")
TOML = """# Troth's configuration. Every setting can also be given as TROTH_<NAME> in the environment.
policy = "policy.md"
host = "127.0.0.1"
port = {port}
base_url = {base_url}

[mail]
# The relay for outgoing mail. Outside this machine it must offer STARTTLS with a verified certificate.
host = "127.0.0.1"
port = 25
sender = {contact}
"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", prompt="1/5 Who is responsible? (the controller's full name)")
@click.option("--contact", prompt="2/5 Which address answers questions about privacy?")
@click.option("--hosts", prompt="3/5 Which hosts do your pages have? (separated by spaces)", default="localhost")
@click.option("--policy", prompt="4/5 An existing policy file to start from? (empty: the example)", default="")
@click.option(
    "--sign-in",
    prompt="5/5 How do people sign in? (link: by mail; account: your products keep accounts and ask here)",
    type=click.Choice(SIGN_IN),
    default="link",
)
@click.option("--country", default="IE", show_default=True, help="Where the controller is (ISO 3166).")
@click.option("--port", default=8420, show_default=True, type=click.IntRange(1, 65535), help="Where to listen.")
def init(folder: Path, name: str, contact: str, hosts: str, policy: str, sign_in: str, country: str, port: int) -> None:
    """Set up a system in FOLDER: five questions."""
    from troth.cli.opened import ask
    from troth.use.dkim import make_keys
    from troth.vault.provider import FileProvider
    from troth.world import SystemRandomness

    if folder.exists() and any(folder.iterdir()):
        raise StartRefused(f"{folder} is not empty: name a new folder, so that no key is ever overwritten")
    if not hosts.split():
        raise StartRefused("name at least one host: links in mails begin with it")
    source = existing(Path(policy)) if policy else starting_policy(name, contact, hosts.split(), country)
    check(source, Path(policy or "policy.md"))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "policy.md").write_text(source, "utf-8")
    first = hosts.split()[0]
    base = f"http://{first}:{port}" if first in ("localhost", "127.0.0.1") else f"https://{first}"
    (folder / "troth.toml").write_text(
        TOML.format(port=port, base_url=json.dumps(base), contact=json.dumps(contact)), "utf-8"
    )
    FileProvider.create(folder / "keys" / "root.key", SystemRandomness())
    signing = make_keys(folder / "dkim", f"troth{dt.datetime.now(tz=dt.UTC):%Y%m}")
    link = ask(folder, "operator.invite", name="admin")["link"]
    click.echo(
        f"\nSet up in {folder}: policy.md, troth.toml, keys/root.key (keep a copy of it apart from all backups)."
    )
    click.echo("Name a folder on another disk as keys_copy in troth.toml: no backup holds the keys that open the data.")
    click.echo("Mail is signed with the keys in dkim/. Publish their halves in the DNS (troth dkim shows them again):")
    for key in signing:
        click.echo(f"  {key.record(contact.rpartition('@')[2])}")
    click.echo(f"Begin with: troth serve --data {folder}")
    click.echo(f"The first operator's link, good once: {link}")
    if sign_in == "account":
        click.echo(f"Give each product its key: troth product NAME --data {folder}")


def starting_policy(name: str, contact: str, hosts: list[str], country: str) -> str:
    """The example vendor's policy with this controller's name, contact, country and hosts, in force from today."""
    text = example()
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    told = {
        "name: Example Backup Ltd": f"name: {scalar(name)}",
        "contact: privacy@example.com": f"contact: {scalar(contact)}",
        "country: IE": f"country: {scalar(country)}",
        "version: 2026-01-15": f"version: {today}",
        "effective: 2026-02-15": f"effective: {today}",
    }
    for old, new in told.items():
        text = text.replace(old, new, 1)
    own = ", ".join(json.dumps(host) for host in dict.fromkeys([*hosts, "localhost", "127.0.0.1"]))
    return re.sub(r"(site:www: \{hosts: )\[[^]]*\]", lambda found: f"{found[1]}[{own}]", text, count=1)


def scalar(value: str) -> str:
    """The value as YAML: as people write it where that is plain, quoted where it could be read as something else."""
    return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)


def existing(path: Path) -> str:
    """The policy to start from; ``StartRefused`` where it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise StartRefused(f"the policy {path.name} cannot be read: {type(fault).__name__}") from fault


def check(source: str, path: Path) -> None:
    """Nothing is made for a policy that does not compile: all its errors, and where to begin."""
    from troth.policy import compile as compile_policy

    compilation = compile_policy(source, filename=path.name)
    if compilation.policy is None:
        errors = tuple(d.render() for d in compilation.diagnostics if d.severity == "error")
        raise StartRefused("the policy does not compile, so nothing was set up", gaps=errors)


def example() -> str:
    """The example policy: from the repository, or from the installed package."""
    here = Path(__file__).resolve().parents[3] / "policies" / "example" / "policy.md"
    if here.exists():
        return here.read_text("utf-8")
    return importlib.resources.files("troth").joinpath("policies/example.md").read_text("utf-8")
