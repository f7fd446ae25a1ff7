"""A receipt as one HTML file: readable without JavaScript, and checking itself where there is some.

The file asks nobody for anything: its policy (CSP) allows the one script and the one style sheet inside it, by
hash, and no request. The script recomputes what ``troth verify --receipt`` recomputes. A forged page can of
course claim whatever it likes; that is why the words on it send a doubting reader to a verifier of their own.
"""

from __future__ import annotations

import datetime as dt
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from troth.evidence.entries import read_entry, shown_as
from troth.evidence.receipts import BLOCK_END, BLOCK_START, Receipt, block, fingerprint
from troth.evidence.words import Words, read_words
from troth.store.checkpoint import parse_verifier_key

STEPS = ("block", "page", "signature", "proof", "subject")
STATES = ("holds", "fails", "cannot")


@cache
def part(name: str) -> str:
    """A file that stands beside this one and goes into every page."""
    return (Path(__file__).parent / name).read_text("utf-8")


def source_hash(text: str) -> str:
    """An inline script or style as a CSP names it."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def content_security_policy(script: str | None, style: str) -> str:
    """Nothing but these two inline parts; no request of any kind."""
    scripts = source_hash(script) if script else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src {source_hash(style)}; base-uri 'none'; form-action 'none'"
    )


def iso(at_ms: int) -> str:
    """UTC milliseconds as ISO 8601, to the millisecond."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain_time(at_ms: int) -> str:
    """UTC milliseconds for people: ``2026-01-15 12:30:05 UTC``."""
    return dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def receipt_page(
    receipt: Receipt,
    sentence: str,
    *,
    words: Words | None = None,
    clause_words: str = "",
    clause_link: str = "",
    published: str = "",
) -> str:
    """The page for one receipt.

    ``sentence`` says in the reader's language what was recorded; ``clause_words`` is the clause's own prose and
    ``clause_link`` its address; ``published`` names a place where the key's fingerprint can be found. All are
    plain text; nothing in them is taken as HTML. Words come from ``words`` (English without).
    """
    words = words or read_words()
    text = words.text
    entry = read_entry(receipt.entry)
    origin, size = receipt.checkpoint.split("\n")[:2]
    style, script = part("receipt.css"), part("receipt.js")

    def say(key: str, **values: object) -> str:
        return escape(text(f"receipt.{key}", **values))

    clause = f"<code>{escape(entry.clause)}</code>"
    if clause_link:
        clause = f'<a href="{escape(clause_link)}" rel="noreferrer">{clause}</a>'
    if clause_words:
        clause += f"<br>{escape(clause_words)}"
    rows = "\n".join(
        f'<tr><th scope="row">{say(f"member.{name}")}</th>'
        f'<td><code data-member="{name}">{escape(shown_as(value), quote=False)}</code></td></tr>'
        for name, value in entry.members().items()
    )
    verdicts = " ".join(f'data-{state}="{say(f"verdict_{state}")}"' for state in STATES)
    key_words = say("key_words", published=published or text("receipt.key_elsewhere"))
    private = f"\n<p>{say('private')}</p>" if receipt.opening is not None else ""
    return f"""<!doctype html>
<html lang="{words.language}" dir="{words.direction}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{content_security_policy(script, style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{say("title", origin=origin)}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{say("title", origin=origin)}</h1>
<h2>{say("recorded")}</h2>
<p>{escape(sentence)}</p>
<dl>
<dt>{say("when")}</dt><dd><time datetime="{iso(entry.at)}">{plain_time(entry.at)}</time></dd>
<dt>{say("clause")}</dt><dd>{clause}</dd>
<dt>{say("version")}</dt><dd>{escape(entry.policy)}</dd>
<dt>{say("number")}</dt><dd>{say("number_of", seq=receipt.seq, size=size)}</dd>
</dl>
<h2>{say("check")}</h2>
<p id="verdict" role="status" {verdicts}>{say("unchecked")}</p>
<ol>
{_steps(words)}
</ol>
<h2>{say("exactly")}</h2>
<p>{say("exactly_words")}</p>
<table>
{rows}
</table>
<h2>{say("key")}</h2>
<p>{key_words}</p>
<dl>
<dt>{say("fingerprint")}</dt><dd><code id="fingerprint">{fingerprint(parse_verifier_key(receipt.key)[1])}</code></dd>
<dt>{say("key")}</dt><dd><code id="key">{escape(receipt.key)}</code></dd>
</dl>
<h2>{say("limits")}</h2>
<p>{say("limits_words")}</p>{private}
<details>
<summary>{say("state")}</summary>
<pre>{escape(receipt.checkpoint)}</pre>
</details>
</main>
{BLOCK_START}{block(receipt)}{BLOCK_END}
<script>{script}</script>
</body>
</html>
"""


def _steps(words: Words) -> str:
    lines = []
    for step in STEPS:
        name = words.text(f"receipt.step_{step}")
        told = {state: words.text(f"receipt.step_{state}", step=name) for state in ("open", *STATES)}
        if step == "subject":
            told |= {state: words.text(f"receipt.subject_{state}") for state in ("undisclosed", "nobody")}
        data = " ".join(f'data-{state}="{escape(said)}"' for state, said in told.items() if state != "open")
        lines.append(
            f'<li data-step="{step}" data-state="open" {data}><span class="told">{escape(told["open"])}</span></li>'
        )
    return "\n".join(lines)
