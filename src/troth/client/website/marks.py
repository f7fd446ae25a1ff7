"""The mark on a link that leads away (clause ``links.leaving``, mechanism ``link.registered``).

Written by the style sheet that stands on every page, so that no page is rewritten: whatever address is neither this
host nor another of the policy's gets a sign, which screen readers read out in words.
"""

from __future__ import annotations

from troth.client.website.wording import languages
from troth.policy.site import Site


def marks(site: Site, host: str) -> str:
    """The rules for pages of ``host`` (with its port)."""
    own = sorted({host, *site.hosts} - {""})
    if not all(name.isascii() and not set(name) & set("\"'\\<>{}()") for name in own):
        return ""
    ours = ",".join(
        f'[href="{scheme}://{name}"],[href^="{scheme}://{name}/"],[href^="{scheme}://{name}:"]'
        for name in own
        for scheme in ("http", "https")
    )
    away = ':is(a[href^="http://"],a[href^="https://"])' + (f":not({ours})" if ours else "")
    rules = [f'{away}::after{{content:"\\2009\\2197";text-decoration:none}}']
    for code, words in languages().items():
        rules.append(f'{away}:lang({code})::after{{content:"\\2009\\2197" / "{words("leads-away")}"}}')
    return "\n".join(rules) + "\n"
