"""What is read of a browser's name for itself: which kind of device it is, and whether it is a person's at all.

Two questions, by words that stand in the name, and nothing more: no version, no system, no list of features, so that
no fingerprint can be made of what is kept. Who calls itself a browser and is a program is counted as a person.
"""

from __future__ import annotations

from functools import lru_cache

BOTS = (
    "bot",
    "crawl",
    "spider",
    "slurp",
    "headless",
    "lighthouse",
    "preview",
    "monitor",
    "scan",
    "fetch",
    "python",
    "curl",
    "wget",
    "java/",
    "go-http",
    "okhttp",
    "axios",
    "feed",
    "phantom",
    "selenium",
)
LEAST = 20  # a browser says more than this about itself


@lru_cache(maxsize=1024)
def is_bot(agent: str) -> bool:
    """Whether this says of itself that it is a program, or says too little for a browser."""
    plain = agent.lower()
    return len(plain) < LEAST or any(word in plain for word in BOTS)


@lru_cache(maxsize=1024)
def device_of(agent: str) -> str:
    """``phone``, ``tablet`` or ``desktop``."""
    plain = agent.lower()
    if "ipad" in plain or "tablet" in plain or ("android" in plain and "mobile" not in plain):
        return "tablet"
    return "phone" if "mobi" in plain or "iphone" in plain else "desktop"
