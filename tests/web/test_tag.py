"""The tag that is shipped is the one that its source makes, and it is small."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from troth.web.static import FOLDER

TAG = Path(__file__).parents[2] / "tag"
BUNDLE = FOLDER / "t.js"
MOST = 1536  # bytes, compressed: the tracker alone


def test_the_tag_is_small_and_speaks_to_nobody_else() -> None:
    bundle = BUNDLE.read_bytes()
    assert len(gzip.compress(bundle, 9)) <= MOST
    for word in (b"http:", b"https:", b"cookie", b"localStorage", b"sessionStorage", b"indexedDB", b"eval"):
        assert word not in bundle


@pytest.mark.full
def test_the_bundle_is_what_its_source_makes(tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        if os.environ.get("CI") == "true":
            pytest.fail("npm is not installed: apt-get install npm")
        pytest.skip("npm is not installed: apt-get install npm")
    copy = tmp_path / "tag"
    shutil.copytree(TAG, copy, ignore=shutil.ignore_patterns("node_modules"))
    for command in (("ci", "--ignore-scripts"), ("run", "check"), ("run", "build", "--", str(tmp_path / "t.js"))):
        done = subprocess.run([npm, *command], cwd=copy, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "t.js").read_bytes() == BUNDLE.read_bytes()
