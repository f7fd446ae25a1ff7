"""Many visits, written through the door's own writes: what a site has after some weeks."""

from __future__ import annotations

import random

from troth.collect.visits.counting import Visit
from troth.web.running import Running
from troth.world import DAY_MS, SetClock

PAGES = ("/", "/downloads", "/blog", "/blog/restores-that-work", "/pricing", "/support", "/blog/spring-backups")
REFERRERS = ("", "", "", "search.example.net", "news.example.org")
CAMPAIGNS = ("", "", "", "spring / mail")
COUNTRIES = ("IE", "IE", "DE", "FR", "")
DEVICES = ("desktop", "desktop", "phone", "tablet")
EVENTS = ("", "", "", "", "download:/setup.exe", "signup", "outbound:docs.example.net")


def fill(system: Running, clock: SetClock, days: int, a_day: int, *, seed: int = 7) -> None:
    """So many days up to now, each with about ``a_day`` visits of a third as many visitors; past days are closed."""
    chance = random.Random(seed)
    now = clock.now_ms
    for back in range(days - 1, -1, -1):
        clock.now_ms = now - back * DAY_MS
        if back < days - 1:
            system.day_closing.run()
        begin = clock.now_ms - clock.now_ms % DAY_MS
        until = clock.now_ms if back == 0 else begin + DAY_MS - 1
        clock.now_ms = until
        visits = []
        for _ in range(int(a_day * (0.6 + 0.8 * chance.random()))):
            hour = min(int(chance.gauss(14, 4)) % 24, (until - begin) // 3_600_000)
            who = chance.randrange(a_day // 3).to_bytes(16, "big")
            page = PAGES[min(int(chance.expovariate(0.6)), len(PAGES) - 1)]
            visits.append(
                Visit(
                    begin + hour * 3_600_000,
                    "site:www" if chance.random() < 0.8 else "site:central",
                    who,
                    None,
                    page,
                    chance.choice(REFERRERS),
                    chance.choice(CAMPAIGNS),
                    chance.choice(EVENTS),
                    chance.choice(COUNTRIES),
                    chance.choice(DEVICES),
                )
            )
        for first in range(0, len(visits), 256):
            system.store.write(system.visits.prepare(visits[first : first + 256]))
    system.day_closing.run()
