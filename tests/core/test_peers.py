import pytest

from opslib.core.peers import is_loopback, resolve_peer


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.9.1:80",
        "localhost",
        "LOCALHOST:5432",
        "db.localhost",
        "::1",
        "[::1]:443",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "localhost.",
    ],
)
def test_this_machine_is_loopback(address):
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "ledger", "ledger:5432", "128.0.0.1", "fe80::1", "", "localhost.example"]
)
def test_other_machines_are_not(address):
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("attributes", "peer"),
    [
        ({"peer.service": "risk", "db.namespace": "x", "server.address": "h", "db.system": "s"}, ("risk", 1)),
        ({"service.peer.name": "a", "peer.service": "b"}, ("a", 1)),
        ({"db.name": "old", "db.namespace": "ledger", "server.address": "h"}, ("ledger", 2)),
        ({"db.name": "old", "server.address": "h"}, ("old", 2)),
        ({"server.address": "h", "db.system.name": "sqlite"}, ("h", 3)),
        ({"server.address": "127.0.0.1", "db.system.name": "sqlite", "db.system": "x"}, ("sqlite", 4)),
        ({"server.address": "::1"}, (None, 0)),
        ({"peer.service": "", "db.system": "redis"}, ("redis", 4)),
        ({"peer.service": " ", "db.namespace": 7, "db.system": ["x"]}, (None, 0)),
        ({}, (None, 0)),
    ],
)
def test_the_first_attribute_that_names_a_peer_wins(attributes, peer):
    assert resolve_peer(attributes) == peer
