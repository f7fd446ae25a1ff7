"""``troth crawl URL``: what a website sets and loads, as declarations to complete.

Pages are read and no script is run: what scripts load and set is told by the front's hints while a site is watched, and
by a browser. Each line that a person must decide about says TODO, so that nothing is declared by accident.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from troth.cli.looking import Answer, fetch
from troth.client.website.jar import bare, parts
from troth.policy.content import DIRECTIVES

MOST_PAGES: Final = 100
#: What may be declared for a directive; plugins are let in from nowhere, so theirs is declared as a frame.
KINDS: Final = {directive: kind for kind, directive in DIRECTIVES.items()} | {"object-src": "frame"}


@dataclass
class Found:
    """What a site sets and loads: cookies with their life, origins with the kinds, hashes of inline scripts, pages."""

    cookies: dict[str, str] = field(default_factory=dict)
    origins: dict[str, set[str]] = field(default_factory=dict)
    hashes: set[str] = field(default_factory=set)
    pages: int = 0


def crawl_site(url: str, most: int = MOST_PAGES) -> Found:
    """Follow a site's own links and take down what its pages set and load. ``OSError`` where it does not answer."""
    found, waiting, seen = Found(), [url], {url}
    host = urlsplit(url).netloc
    while waiting and found.pages < most:
        try:
            answer = fetch(waiting.pop(0), {})
        except OSError:
            if not found.pages:
                raise
            continue
        take(answer, found)
        for there in answer.page.links:
            if urlsplit(there).netloc == host and there not in seen:
                seen.add(there)
                waiting.append(there)
    return found


def take(answer: Answer, found: Found) -> None:
    """Take down one page."""
    found.pages += 1
    for header in answer.every("set-cookie"):
        name, value, attributes = parts(header)
        if value:
            found.cookies.setdefault(bare(name), life(attributes.get("max-age", "")))
    here = urlsplit(answer.url).netloc
    for load in answer.page.loads:
        if load.address.netloc != here and load.directive in KINDS:
            found.origins.setdefault(load.origin, set()).add(KINDS[load.directive])
    for script in answer.page.inline:
        digest = hashlib.sha256(script.encode()).digest()
        found.hashes.add("sha256-" + base64.b64encode(digest).decode())


def life(max_age: str) -> str:
    """A life as a policy writes it, rounded up; "" for the browser's session."""
    if not re.fullmatch(r"[0-9]{1,10}", max_age) or max_age == "0":
        return ""
    seconds = int(max_age)
    for length, word in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= length:
            count = -(-seconds // length)
            return f"{count} {word if count > 1 else word.removesuffix('s')}"
    return f"{seconds} seconds"


def declarations(found: Found) -> str:
    """The declarations, with what a person must decide marked."""
    lines = ["TODO: say in a sentence what these are for.", "", "```yaml clause", "id: site.found", "permits:"]
    if found.cookies:
        lines.append("  cookie:")
    for name, lasts in sorted(found.cookies.items()):
        kept = f", lasts: {lasts}" if lasts else ""
        lines.append(
            f"    {name}: {{purpose: TODO{kept}, value: {{random: {{at_least: 128 bits}}}}}}  # essential: true?"
        )
    if found.origins:
        lines.append("  embed:")
    for origin, kinds in sorted(found.origins.items()):
        lines.append(f"    {origin}: {{purpose: TODO, loads: [{', '.join(sorted(kinds))}]}}  # essential: true?")
    return "\n".join([*lines, "```", ""])


@click.command()
@click.argument("url")
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="Append the declarations to this file.")
@click.option("--most", default=MOST_PAGES, show_default=True, type=click.IntRange(1, 10_000), help="Pages to read.")
@click.option("--hashes", is_flag=True, help="Also print the hashes of inline scripts, for level 3.")
def crawl(url: str, write: Path | None, most: int, hashes: bool) -> None:
    """Read a website's pages and turn what they set and load into declarations to complete. No script is run."""
    if not url.startswith(("http://", "https://")):
        raise click.UsageError("a website's address begins with https:// or http://")
    try:
        found = crawl_site(url, most)
    except OSError as fault:
        raise click.ClickException(f"the site does not answer: {fault}") from fault
    click.echo(f"{found.pages} pages, {len(found.cookies)} cookies, {len(found.origins)} other places", err=True)
    if found.cookies or found.origins:
        text = declarations(found)
        if write is None:
            click.echo(text)
        else:
            with write.open("a", encoding="utf-8") as file:
                file.write("\n" + text)
            click.echo(f"declarations to complete were appended to {write}", err=True)
    if hashes:
        for each in sorted(found.hashes):
            click.echo(each)
