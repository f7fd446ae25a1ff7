"""Pieces of policies for tests: the smallest that compiles, and what tests put into it."""

from __future__ import annotations

import functools
from pathlib import Path

from troth.policy import compile
from troth.policy.diagnostics import render_all
from troth.policy.model import CompiledPolicy

ROOT = Path(__file__).resolve().parent.parent

FRONT = """---
policy: example
version: 2026-01-15
effective: 2026-02-15
controller: {name: Example Backup Ltd, contact: privacy@example.com, country: IE}
language: en
surfaces: [site:www]
notice_period: 30 days
---
"""

STATES = """
An account begins with your registration and ends when you close it.

```yaml clause
id: account.life
define:
  states:
    account.active: {from: [account.created], to: [account.closed]}
```
"""

KEEP = """
We keep your data as long as you have an account, and 30 days more.

```yaml clause
id: retain.while-used
requires:
  keep:
    account: {phases: [{while: account.active}, {for: 30 days, only: [restore, rights]}]}
```
"""

REGISTRATION = """
To register you give us your name, your e-mail address and, if you like, your phone number.

```yaml clause
id: collect.registration
permits:
  collect:
    point: registration
    fields:
      name: {category: user.name, required: true}
      email: {category: user.contact.email, required: true, identifier: true}
      phone: {category: user.contact.phone}
    uses:
      - {purpose: account, basis: contract, fields: [name, email], keep: account}
      - {purpose: support, basis: contract, fields: [name, email, phone], keep: account, needs: [ticket]}
      - {purpose: rights, basis: legal_obligation, fields: [email], keep: account, survives: [restricted]}
```
"""

NEWSLETTER = """
The newsletter goes to the name and e-mail address that you give us, once you have said yes to it.

```yaml clause
id: collect.newsletter
permits:
  collect:
    point: newsletter
    fields:
      name: {category: user.name}
      email: {category: user.contact.email, required: true, identifier: true}
    consent:
      to: {purpose: newsletter, channel: email}
      ask: Yes, send me the newsletter.
      confirm: double
    uses:
      - {purpose: newsletter, basis: consent, channel: email, fields: [name, email], keep: newsletter}
```

We keep it while you are subscribed, and 7 days more.

```yaml clause
id: retain.newsletter
requires:
  keep:
    newsletter: {phases: [{while: newsletter.active}, {for: 7 days, only: [rights]}]}
  states:
    newsletter.active: {from: [newsletter.confirmed], to: [newsletter.withdrawn]}
```
"""

CLOSED = """
Nothing is collected and nothing is shared but what stands here.

```yaml clause
id: scope.closed-list
asserts:
  closed: [collect, share]
```
"""

#: The smallest policy with something to decide: one point, one retention class.
MINIMAL = FRONT + STATES + KEEP + REGISTRATION

#: With consent and the closing statement too.
FULL = MINIMAL + NEWSLETTER + CLOSED


def clause(declaration: str, prose: str = "A sentence about it.") -> str:
    """A sentence and the declaration under it."""
    return f"\n{prose}\n\n```yaml clause\n{declaration.strip()}\n```\n"


def compiled(source: str = MINIMAL, *more: str) -> CompiledPolicy:
    """The compiled policy of a source (and further pieces); fails with the compiler's words."""
    compilation = compile("".join([source, *more]))
    assert compilation.policy is not None, render_all(compilation.diagnostics)
    return compilation.policy


def codes(source: str, *more: str) -> list[str]:
    """The codes of what the compiler says about a source, in order."""
    return [d.code for d in compile("".join([source, *more])).diagnostics]


def example_source() -> str:
    """The example vendor's policy as it stands in the repository."""
    return (ROOT / "policies" / "example" / "policy.md").read_text("utf-8")


@functools.cache
def example() -> CompiledPolicy:
    """The example vendor's policy, compiled."""
    return compiled(example_source())
