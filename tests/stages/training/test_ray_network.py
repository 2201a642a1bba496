"""Which interface of a machine a group of training processes takes."""

import os

from stages.training.ray_network import INTERFACE, interface_of, take_interface


def test_an_interface_is_found_by_its_address():
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None, "an address of no machine"


def test_the_users_own_choice_stands(monkeypatch):
    monkeypatch.setenv(INTERFACE, "bond0")
    take_interface()
    assert os.environ[INTERFACE] == "bond0"
