"""``python -m tests.language.regenerate``: write the generated parts of the reference anew."""

from __future__ import annotations

import json
from pathlib import Path

from troth.policy.schema import json_schema, manual

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def files() -> dict[Path, str]:
    """Each generated file and what must stand in it."""
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    return {REFERENCE / "language.md": manual(), REFERENCE / "clause.schema.json": schema}


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
