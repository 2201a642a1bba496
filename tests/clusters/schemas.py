"""The fields that our cluster files use, as JSON Schema: what Ray's own validation lets through.

Ray takes anything inside `provider` and `node_config`, and Kubernetes checks a file only when it is applied. Every
object here is closed, so a misspelt field is found. A subset: a field that a cluster file needs is added here first.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "array", "items": TEXT, "minItems": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}


def closed(*required: str, **properties: Schema) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


ADDRESS: Schema = {"type": "string", "pattern": r"^\d+\.\d+\.\d+\.\d+$"}
ZONES: Schema = {"type": "string", "pattern": r"^[a-z0-9-]+(,[a-z0-9-]+)*$"}

PROVIDERS: dict[str, Schema] = {
    "local": closed(
        "type", "head_ip", "worker_ips",
        type={"const": "local"}, head_ip=ADDRESS, worker_ips={"type": "array", "items": ADDRESS, "uniqueItems": True},
    ),
    "aws": closed(
        "type", "region", "availability_zone",
        type={"const": "aws"}, region=TEXT, availability_zone=ZONES, cache_stopped_nodes=FLAG,
    ),
    "gcp": closed(
        "type", "project_id", "region", "availability_zone",
        type={"const": "gcp"}, project_id=TEXT, region=TEXT, availability_zone=ZONES, cache_stopped_nodes=FLAG,
    ),
}  # fmt: skip

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
AWS_NODE = closed(
    "InstanceType", "ImageId", "IamInstanceProfile", "BlockDeviceMappings",
    InstanceType={"type": "string", "pattern": r"^[a-z0-9-]+\.[a-z0-9]+$"},
    ImageId={"type": "string", "pattern": "^ami-[0-9a-f]{17}$"},
    IamInstanceProfile=closed("Name", Name=TEXT),
    InstanceMarketOptions=closed("MarketType", MarketType={"enum": ["spot", "capacity-block"]}),
    BlockDeviceMappings=listed(
        closed("DeviceName", "Ebs", DeviceName=TEXT, Ebs=closed("VolumeSize", VolumeSize=COUNT, VolumeType=TEXT))
    ),
)  # fmt: skip

# https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert
GCP_NODE = closed(
    "machineType", "disks",
    machineType=TEXT,
    disks=listed(
        closed(
            "boot", "autoDelete", "type", "initializeParams",
            boot=FLAG, autoDelete=FLAG, type={"const": "PERSISTENT"},
            initializeParams=closed("diskSizeGb", "sourceImage", diskSizeGb=COUNT, sourceImage=TEXT),
        )
    ),
    scheduling=listed(closed(preemptible=FLAG, onHostMaintenance={"enum": ["TERMINATE", "MIGRATE"]})),
    serviceAccounts=listed(closed("email", "scopes", email=TEXT, scopes=TEXTS)),
    metadata=closed("items", items=listed(closed("key", "value", key=TEXT, value=TEXT))),
)  # fmt: skip

NODES: dict[str, Schema] = {"aws": AWS_NODE, "gcp": GCP_NODE}

# https://ray-project.github.io/kuberay/reference/api/ and the Kubernetes types inside it
AMOUNT: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[KMGT]i?)?$"}
AMOUNTS = {
    **closed(cpu=AMOUNT, memory=AMOUNT, storage=AMOUNT),
    "patternProperties": {r"^[a-z0-9.-]+/[a-z0-9.-]+$": {"type": "string", "pattern": r"^\d+$"}},
}
CONTAINER = closed(
    "name", "image", "resources", "volumeMounts",
    name=TEXT, image=TEXT,
    ports=listed(closed("containerPort", "name", containerPort=COUNT, name={"type": "string", "maxLength": 15})),
    resources=closed("requests", "limits", requests=AMOUNTS, limits=AMOUNTS),
    volumeMounts=listed(closed("name", "mountPath", name=TEXT, mountPath={"type": "string", "pattern": "^/"})),
)  # fmt: skip
POD = closed(
    "spec",
    spec=closed(
        "containers", "volumes", "securityContext",
        securityContext=closed("fsGroup", fsGroup={"type": "integer"}),
        restartPolicy={"enum": ["Never", "OnFailure", "Always"]},
        nodeSelector={"type": "object", "additionalProperties": TEXT},
        tolerations=listed(closed("key", "operator", "effect", key=TEXT, operator=TEXT, effect=TEXT)),
        containers={**listed(CONTAINER), "maxItems": 1},
        volumes=listed(closed(
            "name", "persistentVolumeClaim", name=TEXT, persistentVolumeClaim=closed("claimName", claimName=TEXT)
        )),
    ),
)  # fmt: skip
# the operator turns each into `--key=value`, and refuses numbers
START: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
CLUSTER = closed(
    "rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs",
    rayVersion=TEXT,
    authOptions=closed("mode", mode={"const": "token"}),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=closed(version={"enum": ["v1", "v2"]}, idleTimeoutSeconds=COUNT),
    headGroupSpec=closed("rayStartParams", "template", rayStartParams=START, template=POD),
    workerGroupSpecs=listed(closed(
        "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
        groupName=TEXT, replicas=COUNT, minReplicas=COUNT, maxReplicas=COUNT, idleTimeoutSeconds=COUNT,
        rayStartParams=START, template=POD,
    )),
)  # fmt: skip
METADATA = closed("name", name={"type": "string", "pattern": "^[a-z0-9-]{1,47}$"})


def manifest(api: str, kind: str, spec: Schema) -> Schema:
    return closed(
        "apiVersion", "kind", "metadata", "spec",
        apiVersion={"const": api}, kind={"const": kind}, metadata=METADATA, spec=spec,
    )  # fmt: skip


MANIFESTS: dict[str, Schema] = {
    "RayCluster": manifest("ray.io/v1", "RayCluster", CLUSTER),
    "RayJob": manifest(
        "ray.io/v1", "RayJob",
        closed(
            "entrypoint", "shutdownAfterJobFinishes", "rayClusterSpec",
            entrypoint=TEXT, backoffLimit=COUNT, shutdownAfterJobFinishes=FLAG, ttlSecondsAfterFinished=COUNT,
            rayClusterSpec=CLUSTER,
        ),
    ),
    "PersistentVolumeClaim": manifest(
        "v1", "PersistentVolumeClaim",
        closed(
            "accessModes", "resources",
            accessModes={"const": ["ReadWriteMany"]}, storageClassName=TEXT,
            resources=closed("requests", requests=AMOUNTS),
        ),
    ),
}  # fmt: skip
