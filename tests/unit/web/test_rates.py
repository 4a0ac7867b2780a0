"""Token buckets: so many at once, so many a second, each client by itself, and a bounded number of clients."""

from __future__ import annotations

import pytest

from ragd.web.rates import Rates, client_of


def test_a_burst_is_taken_then_one_for_each_moment_that_refills_it() -> None:
    rates = Rates(2.0, 3)
    assert [rates.take("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert rates.take("a", 0.4) == pytest.approx(0.1)
    assert rates.take("a", 0.5) == 0.0
    assert rates.take("a", 0.5) == 0.5
    assert [rates.take("a", 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_a_refused_request_does_not_push_the_next_one_away() -> None:
    rates = Rates(1.0, 1)
    rates.take("a", 0.0)
    for _ in range(50):
        assert rates.take("a", 0.9) > 0
    assert rates.take("a", 1.0) == 0.0


def test_clients_do_not_share() -> None:
    rates = Rates(1.0, 1)
    assert (rates.take("a", 0.0), rates.take("b", 0.0)) == (0.0, 0.0)
    assert rates.take("a", 0.0) > 0


def test_no_limit_is_no_limit_and_remembers_nobody() -> None:
    rates = Rates(0.0, 1)
    assert [rates.take("a", 0.0) for _ in range(100)] == [0.0] * 100
    assert len(rates) == 0


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    rates = Rates(1.0, 2)
    assert [rates.take("a", at) for at in (10.0, 5.0, 5.0)] == [0.0, 0.0, 1.0]


def test_clients_that_are_remembered_are_bounded_and_the_quietest_goes_first() -> None:
    rates = Rates(1.0, 1, most_clients=3)
    for number in range(50):
        rates.take(f"client {number}", 0.0)
    assert len(rates) == 3
    assert rates.take("client 49", 0.0) > 0
    assert rates.take("client 0", 0.0) == 0.0


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1%eth0", "2001:db8:1:2::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_a_client_is_an_address_or_the_network_a_host_has_to_itself(address: str, client: str) -> None:
    assert client_of(address) == client
