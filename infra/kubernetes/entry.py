"""How clients outside the cluster reach a public service, with TLS: an Ingress, or a Gateway and an HTTPRoute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.networking.v1 import (
    HTTPIngressPathArgs,
    HTTPIngressRuleValueArgs,
    Ingress,
    IngressBackendArgs,
    IngressRuleArgs,
    IngressServiceBackendArgs,
    IngressSpecArgs,
    IngressTLSArgs,
    ServiceBackendPortArgs,
)

from infra.kubernetes.network import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from infra.contract import Service
    from infra.kubernetes.place import Place

_GATEWAY_API = "gateway.networking.k8s.io/v1"
_ISSUER = "cert-manager.io/cluster-issuer"


def entry(service: Service, *, place: Place, after: Sequence[pulumi.Resource]) -> None:
    """Declare the way in to a public service, if the settings ask for one.

    Args:
        service: the service.
        place: where it is.
        after: what must be there before: the service.
    """
    kind = place.settings.ingest.kind
    if kind == "ingress":
        _ingress(service, place=place, after=after)
    elif kind == "gateway":
        _gateway(service, place=place, after=after)


def callers(service: Service, *, place: Place) -> list[Peer]:
    """Return who may call a public service.

    Args:
        service: the service.
        place: where it is.
    """
    settings = place.settings.ingest
    if not service.public or settings.kind == "none":
        return []
    return [Peer(namespace=settings.controller_namespace, ports=[service.http_port])]


def _annotations(place: Place) -> dict[str, str]:
    settings = place.settings.ingest
    return {**({_ISSUER: settings.issuer} if settings.issuer else {}), **settings.annotations}


def _ingress(service: Service, *, place: Place, after: Sequence[pulumi.Resource]) -> None:
    settings = place.settings.ingest
    name = service.name
    # The provider waits until a controller has taken it.
    Ingress(
        name,
        metadata=place.metadata(name, component=name, annotations=_annotations(place)),
        spec=IngressSpecArgs(
            ingress_class_name=settings.class_name,
            tls=[IngressTLSArgs(hosts=[settings.host or ""], secret_name=settings.tls_secret)],
            rules=[
                IngressRuleArgs(
                    host=settings.host,
                    http=HTTPIngressRuleValueArgs(
                        paths=[
                            HTTPIngressPathArgs(
                                path="/batches",
                                path_type="Prefix",
                                backend=IngressBackendArgs(
                                    service=IngressServiceBackendArgs(
                                        name=name, port=ServiceBackendPortArgs(name="http")
                                    )
                                ),
                            )
                        ]
                    ),
                )
            ],
        ),
        opts=place.options(after=after),
    )


def _gateway(service: Service, *, place: Place, after: Sequence[pulumi.Resource]) -> None:
    settings = place.settings.ingest
    name = service.name
    gateway = CustomResource(
        name,
        api_version=_GATEWAY_API,
        kind="Gateway",
        metadata=place.metadata(name, component=name, annotations=_annotations(place)),
        spec={
            "gatewayClassName": settings.class_name,
            "listeners": [
                {
                    "name": "https",
                    "port": 443,
                    "protocol": "HTTPS",
                    "hostname": settings.host,
                    "tls": {
                        "mode": "Terminate",
                        "certificateRefs": [{"kind": "Secret", "name": settings.tls_secret}],
                    },
                    "allowedRoutes": {"namespaces": {"from": "Same"}},
                }
            ],
        },
        opts=place.options(after=after),
    )
    CustomResource(
        name,
        api_version=_GATEWAY_API,
        kind="HTTPRoute",
        metadata=place.metadata(name, component=name),
        spec={
            "parentRefs": [{"name": name, "sectionName": "https"}],
            "hostnames": [settings.host],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/batches"}}],
                    "backendRefs": [{"name": name, "port": service.http_port}],
                }
            ],
        },
        opts=place.options(after=[gateway]),
    )
