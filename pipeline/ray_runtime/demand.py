"""What tasks, actors and groups of a Ray wait for."""

from __future__ import annotations

from typing import Any

import ray


def waits_for(resource: str) -> bool:
    """Whether something that has not begun asks for a resource (`GPU`)."""
    from ray.autoscaler.v2.sdk import get_cluster_resource_state

    private: Any = ray
    state = get_cluster_resource_state(private._private.worker.global_worker.gcs_client)
    alone = [one.request for one in state.pending_resource_requests]
    groups = [request for group in state.pending_gang_resource_requests for request in group.requests]
    return any(request.resources_bundle.get(resource, 0) > 0 for request in [*alone, *groups])
