"""Topics and ACLs: made by a job inside the VPC, as the brokers have no address outside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from infra.aws.policies import kafka_admin
from infra.kubernetes.job import Job, JobArgs
from infra.kubernetes.workload import FILES_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from infra.aws.cluster import Cluster
    from infra.aws.kafka import Kafka
    from infra.contract import Topic
    from infra.kubernetes.access import KafkaAccess
    from infra.kubernetes.acls import Acl
    from infra.kubernetes.place import Place

NAME = "topics"
_FILE = "kafka.json"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What there shall be in Kafka.

    Attributes:
        topics: all topics that the platform and its pipeline need before they start.
        acls: the rights of each SCRAM user.
    """

    topics: Sequence[Topic]
    acls: Mapping[str, Sequence[Acl]]


def register(
    registration: Registration,
    *,
    place: Place,
    cluster: Cluster,
    kafka: Kafka,
    access: KafkaAccess,
    image: pulumi.Input[str],
) -> pulumi.Resource:
    """Declare the job that makes topics and ACLs; a change of either runs it again.

    Args:
        registration: what there shall be.
        place: where the job runs.
        cluster: gives it its role.
        kafka: the brokers.
        access: how it reaches them.
        image: the services' image.

    Returns:
        The resource that is made when all is there.
    """
    names = [topic.name for topic in registration.topics]
    role = cluster.pod_role(
        NAME,
        namespace=place.namespace,
        service_account=NAME,
        policy=kafka.arn.apply(lambda arn: json.dumps(kafka_admin(arn, topics=names))),
    )
    wanted = {
        "topics": [{**asdict(topic), "configs": dict(kafka.topic_configs(topic))} for topic in registration.topics],
        "users": {user: [asdict(acl) for acl in acls] for user, acls in registration.acls.items()},
    }
    job = Job(
        NAME,
        place=place,
        args=JobArgs(
            command=["python", "-m", "infra.aws.register", f"{FILES_FOLDER}/{_FILE}"],
            image=image,
            files={_FILE: json.dumps(wanted, indent=1)},
            environment=access.environment(),
            egress=access.brokers,
        ),
        after=[*role, *kafka.ready],
    )
    return job.done
