"""The published pages as files, for a site that serves them itself: readable without Troth, cookies or scripts."""

from __future__ import annotations

from html import escape
from pathlib import Path

from troth.policy.model import CompiledPolicy
from troth.policy.render import render, render_clause
from troth.policy.writing import direction

PAGE = """<!doctype html>
<html lang="{language}" dir="{direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""
STYLE = Path(__file__).parent / "static" / "troth.css"


def write_pages(policy: CompiledPolicy, folder: Path) -> int:
    """Write ``index.html`` and ``clauses/<id>.html`` into ``folder``; how many pages."""
    style = STYLE.read_text("utf-8")
    (folder / "clauses").mkdir(parents=True, exist_ok=True)
    made = render(policy, clause_href="clauses/{id}.html")
    write(folder / "index.html", policy, made.title, made.html, style)
    for name in policy.clauses:
        body = (
            f'<p><a href="../index.html#{escape(name)}">{escape(made.title)}</a></p>' + render_clause(policy, name).html
        )
        write(folder / "clauses" / f"{name}.html", policy, name, body, style)
    return 1 + len(policy.clauses)


def write(path: Path, policy: CompiledPolicy, title: str, body: str, style: str) -> None:
    """One page."""
    page = PAGE.format(
        language=escape(policy.language),
        direction=direction(policy.language),
        title=escape(title),
        style=style,
        body=body,
    )
    path.write_text(page, "utf-8")
