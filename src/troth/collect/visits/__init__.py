"""Visits to websites, counted without spying: what a browser may say, how it is added up, what may be shown of it.

``site.count`` is the first tier: no cookie, and a keyed hash of address and program whose key dies with its day, so
that persons can be counted and not followed. ``site.view`` is the second: who agreed is a subject like any other, and
what they visited lies sealed under keys of their own. Both are points of the policy: without them nothing is counted.
"""
