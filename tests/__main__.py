"""``python -m tests``: the checks of the house, then the tests; the last line tells if the real policy was tested."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEED = Path(os.environ.get("TROTH_SEED") or ROOT.parent / "shared" / "seed")


def step(name: str, *command: str) -> bool:
    """Run one check, say how long it took, and whether it passed."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False)
    return told(name, done.returncode == 0, began)


def told(name: str, good: bool, began: float) -> bool:
    """Print how one check ended."""
    print(f"--- {name}: {'passed' if good else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return good


def main(arguments: list[str]) -> int:
    """Everything that must hold; 0 only if all of it does."""
    seeded = any(SEED.glob("000_*.txt"))
    if os.environ.get("CI") == "true" and not seeded:
        print(f"CI must test the real policy, but there is no text in {SEED.name} (set TROTH_SEED).")
        return 2
    good = [
        step("ruff check", "ruff", "check", "-q", "."),
        step("ruff format", "ruff", "format", "-q", "--check", "."),
        step("mypy", "mypy"),
        layers(),
    ]
    workers = [] if "-n" in arguments else ["-n", str(min(os.cpu_count() or 2, 4))]
    good.append(step("tests", "pytest", "-q", *workers, *arguments))
    print(f"The real policy's text was {'tested' if seeded else 'NOT tested: no text found (set TROTH_SEED)'}.")
    return 0 if all(good) else 1


def layers() -> bool:
    """Imports go downward only (import-linter has a command, not a module to run)."""
    began = time.monotonic()
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, check=False, capture_output=True)
    if done.returncode:
        print(done.stdout.decode())
    return told("import layers", done.returncode == 0, began)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
