"""The question, the page of choices and the way back to it: forms that work with scripts off.

The banner stands first in the body and in its flow: it covers nothing, moves nothing once it is drawn, and is the
first thing a keyboard reaches. Accepting and refusing are one click each, beside each other, with the same weight.
There is no way to close it that is not one of these answers: ignoring it is a no.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

from troth.client.website.wording import Words
from troth.policy.choices import Asked, Choice
from troth.policy.site import PREFIX, Site

CHOICES: Final = f"{PREFIX}/choices"
STYLE: Final = f"{PREFIX}/choices.css"
SHEET: Final = f'<link rel="stylesheet" href="{STYLE}">'
ANSWER, GRANTED, BACK = "answer", "granted", "back"
ALL, NONE, THESE = "all", "none", "these"


def banner(site: Site, words: Words, back: str, policy_url: str, *, rules: str = "", below: bool = False) -> str:
    """The question on the first layer; ``below`` where it can only be written after the page.

    Its style ``rules`` stand in it, so that it can be answered without waiting for a second file.
    """
    return (
        f'<section class="troth-banner{" troth-below" if below else ""}" {_tongue(words)}'
        f' aria-labelledby="troth-title">'
        f"{f'<style>{rules}</style>' if rules else ''}"
        f'<form method="post" action="{CHOICES}">{_hidden(back)}'
        f'<p class="troth-title" id="troth-title">{_say(words, "title")}</p>'
        f'<p>{_say(words, "text")} <a href="{escape(policy_url)}">{_say(words, "policy")}</a></p>'
        f'<p class="troth-answers">{_answers(words)}</p>'
        f"<details><summary>{_say(words, 'choose')}</summary>{_questions(site, words, Choice())}"
        f'<p class="troth-answers">{_button(words, THESE, "save")}</p></details></form></section>'
    )


def link(words: Words, choice: Choice) -> str:
    """The way back, at the end of every page."""
    key = "link-signal" if choice.by_signal else "link"
    return (
        f'<nav class="troth-link" {_tongue(words)} aria-label="{_say(words, "region")}">'
        f'<a href="{CHOICES}">{_say(words, key)}</a></nav>'
    )


def choices_page(site: Site, words: Words, choice: Choice, back: str, policy_url: str, trouble: str = "") -> str:
    """The page of choices: what stands now, each question, and everything that is declared."""
    state = (
        "signal" if choice.by_signal else "granted" if choice.granted else "refused" if choice.decided else "nothing"
    )
    parts = [f"<h1>{_say(words, 'page-title')}</h1>"]
    if trouble:
        parts.append(f'<p role="alert"><strong>{_say(words, trouble)}</strong></p>')
    if site.choices.asked:
        parts.append(
            f'<p role="status">{_say(words, f"now-{state}")}</p>'
            f'<form method="post" action="{CHOICES}">{_hidden(back)}{_questions(site, words, choice)}'
            f'<p class="troth-answers">{_button(words, THESE, "save")}</p>'
            f'<p class="troth-answers">{_answers(words)}</p></form>'
            f"<p>{_say(words, 'still-there')}</p>"
        )
    else:
        parts.append(f"<p>{_say(words, 'no-questions')}</p>")
    parts += [_cookies(site, words), _embeds(site, words)]
    parts.append(
        f'<p><a href="{escape(back)}">{_say(words, "back")}</a> · '
        f'<a href="{escape(policy_url)}">{_say(words, "policy")}</a></p>'
    )
    return (
        f'<!doctype html><html {_tongue(words)}><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<title>{_say(words, "page-title")} · {escape(site.controller)}</title><link rel="stylesheet" href="{STYLE}">'
        f'</head><body class="troth-page"><main>{"".join(parts)}</main></body></html>'
    )


def _say(words: Words, key: str, **values: str) -> str:
    return escape(words(key, **values))


def _tongue(words: Words) -> str:
    return f'lang="{words.code}" dir="{words.direction}"'


def _hidden(back: str) -> str:
    return f'<input type="hidden" name="{BACK}" value="{escape(back)}">'


def _button(words: Words, value: str, key: str) -> str:
    return f'<button name="{ANSWER}" value="{value}">{_say(words, key)}</button>'


def _answers(words: Words) -> str:
    return _button(words, NONE, "refuse") + _button(words, ALL, "accept")


def _questions(site: Site, words: Words, choice: Choice) -> str:
    return "".join(_question(site, words, asked, asked.purpose in choice.granted) for asked in site.choices.asked)


def _question(site: Site, words: Words, asked: Asked, ticked: bool) -> str:
    lost = words("lost", lost=", ".join(asked.lost)) if asked.lost else words("lost-nothing")
    box = f'<input type="checkbox" name="{GRANTED}" value="{escape(asked.purpose)}"{" checked" if ticked else ""}>'
    text = f'<span lang="{escape(site.language)}" dir="auto">{escape(asked.ask)}</span>'
    return f'<p class="troth-question"><label>{box} {text}</label><small>{escape(lost)}</small></p>'


def _cookies(site: Site, words: Words) -> str:
    rows = (
        _row(words, name, rule.essential, name, rule.purpose, rule.lasts.text if rule.lasts else words("session"))
        for name, rule in site.cookies.items()
    )
    return _table(words, "cookies", ("cookie-name", "cookie-purpose", "cookie-life", "cookie-need"), rows)


def _embeds(site: Site, words: Words) -> str:
    if not site.embeds:
        return ""
    rows = (_row(words, e.origin, e.essential, e.title or e.origin, e.purpose, ", ".join(e.loads)) for e in site.embeds)
    return _table(words, "embeds", ("embed-place", "cookie-purpose", "embed-loads", "cookie-need"), rows)


def _row(words: Words, name: str, essential: bool, *cells: str) -> str:
    """A row; what needs no yes is marked, so that ``troth doctor`` can read it in every language."""
    mark = f' data-essential="{escape(name)}"' if essential else ""
    written = "".join(f"<td>{escape(cell)}</td>" for cell in (*cells, words("no" if essential else "yes")))
    return f"<tr{mark}>{written}</tr>"


def _table(words: Words, caption: str, heads: tuple[str, ...], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{_say(words, key)}</th>' for key in heads)
    return (
        f'<div class="troth-table" role="region" tabindex="0" aria-labelledby="troth-{caption}"><table>'
        f'<caption id="troth-{caption}">{_say(words, caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
