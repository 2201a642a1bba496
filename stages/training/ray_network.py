"""The network of a group of training processes: each takes the interface by which Ray knows its machine.

Gloo asks for the address of the machine's own name. Debian's default is 127.0.1.1, and many a machine has no better
one, so processes on two machines would each wait for the other on its own loopback.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

INTERFACE = "GLOO_SOCKET_IFNAME"  # the user's own choice stands


def group_config(**settings: Any) -> Any:
    """A `TorchConfig` with these settings, whose processes take the interface of their machine before they meet."""
    from ray.train.torch import TorchConfig

    backend: Any = TorchConfig().backend_cls

    class OwnInterface(backend):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            worker_group.execute(take_interface)
            super().on_start(worker_group, backend_config)

    @dataclass
    class GroupConfig(TorchConfig):
        @property
        def backend_cls(self) -> Any:
            return OwnInterface

    return GroupConfig(**settings)


def take_interface() -> None:
    """Let this process's groups use the interface that has the address of its node of Ray."""
    import ray.util

    if INTERFACE not in os.environ and (name := interface_of(ray.util.get_node_ip_address())) is not None:
        os.environ[INTERFACE] = name


def interface_of(address: str) -> str | None:
    """The name of the interface with an address, None where none has it."""
    import psutil

    found = psutil.net_if_addrs().items()
    return next((name for name, entries in found if any(entry.address == address for entry in entries)), None)
