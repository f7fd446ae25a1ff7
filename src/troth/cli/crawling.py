"""``troth crawl URL``: what a website sets and loads, as declarations to complete.

Pages are read and no script is run: what scripts load and set is told by the front's hints while a site is watched, and
by a browser. Each line that a person must decide about says TODO, so that nothing is declared by accident.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

import click

from troth.cli.looking import Answer, fetch
from troth.client.website.jar import bare, parts

MOST_PAGES: Final = 100
KINDS: Final = {
    "img": "image",
    "iframe": "frame",
    "embed": "frame",
    "video": "media",
    "audio": "media",
    "source": "media",
}
LINKS: Final = {"stylesheet": "style", "modulepreload": "script", "icon": "image"}


@dataclass
class Found:
    """What a site sets and loads: cookies with their life, origins with the kinds, hashes of inline scripts, pages."""

    cookies: dict[str, str] = field(default_factory=dict)
    origins: dict[str, set[str]] = field(default_factory=dict)
    hashes: set[str] = field(default_factory=set)
    pages: int = 0


class Markup(HTMLParser):
    """One page's links, loads and inline scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.loads: list[tuple[str, str]] = []
        self.inline: list[str] = []
        self._script: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "form":
            self.loads.append(("form", given.get("action", "")))
        elif tag == "link":
            kinds = [LINKS[rel] for rel in given.get("rel", "").lower().split() if rel in LINKS]
            self.loads += [(kind, given.get("href", "")) for kind in kinds]
        elif tag == "script" and "src" in given:
            self.loads.append(("script", given["src"]))
        elif tag == "script":
            self._script = []
        elif tag in KINDS:
            self.loads.append((KINDS[tag], given.get("src", "")))

    def handle_data(self, data: str) -> None:
        """Text; a script's is kept."""
        if self._script is not None:
            self._script.append(data)

    def handle_endtag(self, tag: str) -> None:
        """A script is whole."""
        if tag == "script" and self._script is not None:
            self.inline.append("".join(self._script))
            self._script = None


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
        for link in Markup(answer.text).links:
            there = urljoin(answer.url, link).partition("#")[0]
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
    page, here = Markup(answer.text), urlsplit(answer.url).netloc
    for kind, address in page.loads:
        there = urlsplit(urljoin(answer.url, address))
        if there.netloc and there.netloc != here and there.scheme in ("http", "https"):
            found.origins.setdefault(f"{there.scheme}://{there.netloc}", set()).add(kind)
    for script in page.inline:
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
