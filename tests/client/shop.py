"""A site that asks: a small policy with an essential place, an optional one, and cookies of every kind."""

from __future__ import annotations

from pathlib import Path

from tests.policies import FRONT, compiled
from troth.policy.model import CompiledPolicy
from troth.policy.site import site_of, to_json

BODY = """
We ask before a page shows a video and before we count visits.

```yaml clause
id: site.videos
permits:
  embed:
    VIDEO: {purpose: comfort, loads: [LOADS], title: Example Videos}
  cookie:
    last_video: {purpose: comfort, lasts: 30 days, value: {random: {at_least: 128 bits}}}
  consent:
    to: {purpose: comfort}
    ask: Yes, show me videos.
    asked: site
    loses: [videos]
```

A visitor who agrees has a number, for 90 days.

```yaml clause
id: site.visits
permits:
  cookie:
    troth_visitor: {purpose: analytics, lasts: 90 days, value: {random: {at_least: 128 bits}}}
  consent:
    to: {purpose: analytics}
    ask: Yes, count my visits.
    asked: site
```

These are needed: a session for 14 days, and your choice for 6 months.

```yaml clause
id: cookies.table
permits:
  cookie:
    sessionid: {purpose: account, essential: true, lasts: 14 days, value: {random: {at_least: 128 bits}}}
    csrftoken: {purpose: security, essential: true, lasts: 14 days, value: {random: {at_least: 128 bits}}}
    theme: {purpose: account, essential: true, lasts: 14 days, value: {choices: [plain, large]}}
    troth_choice: {purpose: choices, essential: true, lasts: 6 months, value: {flag: consents}}
```

The payment form of the card company stands in our shop.

```yaml clause
id: site.payment
permits:
  embed:
    https://pay.example.net: {purpose: payment, loads: [frame], essential: true}
```

If your browser sends the signal, we read it as a no.

```yaml clause
id: consent.gpc
requires:
  consent: {signal: Sec-GPC, means: refused}
```

We show things as you like them. Our sites:

```yaml clause
id: scope.services
define:
  surfaces:
    site:www: {hosts: [www.example.com, localhost, 127.0.0.1], mode: enforce, paths: {/new: observe}}
  purposes:
    comfort: {means: showing what somebody likes}
```
"""

VIDEO = "https://videos.example.net"


def policy(video: str = VIDEO, loads: str = "frame, image") -> CompiledPolicy:
    """The shop's policy, with the optional place at ``video``."""
    return compiled(FRONT + BODY.replace("VIDEO", video).replace("LOADS", loads))


def site_file(folder: Path, made: CompiledPolicy | None = None) -> Path:
    """The site file of a policy."""
    path = folder / "site.json"
    path.write_bytes(to_json(site_of(made or policy())))
    return path
