"""What the generated map costs an nginx: the short form of ``troth bench nginx``, by its worker's processor time."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bench.nginx import BAR, measure, ratios
from troth.cli.bench import bench

SHORT = (0.3, 5)  # seconds a turn, rounds


pytestmark = pytest.mark.usefixtures("there")


def test_with_the_map_nginx_answers_seven_tenths_and_more_of_what_it_does_without(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {kind: ratios(turns).micros for kind, turns in measure(*SHORT).items()}
    with capsys.disabled():
        print("\nwith the map, for the same processor time: " + ", ".join(f"{k} {r:.2f}" for k, r in found.items()))
    assert len(found) == 3
    assert min(found.values()) >= BAR


def test_a_front_that_does_too_much_is_noticed() -> None:
    costly = " ".join(f'add_header X-Costly-{n} "$http_cookie$request_id" always;' for n in range(400))
    assert min(ratios(turns).micros for turns in measure(0.2, 3, costly).values()) < BAR


def test_the_command_knows_the_benchmark(capfd: pytest.CaptureFixture[str]) -> None:
    assert CliRunner().invoke(bench, ["nginx", "--help"]).exit_code == 0
    assert "how long each turn is" in capfd.readouterr().out
