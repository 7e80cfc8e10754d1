"""What AWS charges, in US dollars: facts with their date, in one table.

These are list prices without discounts, free tiers and taxes, written down by hand and rounded. They are good enough
to compare two ways of building the same thing; before money is spent on one, check them on AWS's pages. A month has
730 hours, a GB is 10^9 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

AS_OF = "2025-06"
"""When the prices were written down."""
HOURS = 730


@dataclass(frozen=True, kw_only=True)
class Prices:
    """The prices of a region.

    Attributes:
        standard_large: an hour of a kafka.m7g.large broker; the next sizes are each twice the one before.
        standard_storage: a GB-month of a standard broker's disk.
        standard_throughput: a MB/s-month of provisioned disk throughput.
        express_large: an hour of an express.m7g.large broker.
        express_storage: a GB-month of Express storage; replicas are not counted.
        express_ingress: a GB written to Express brokers.
        connect_mcu: an hour of an MSK Connect unit.
        zone_transfer: a GB from one zone to another, both ends together.
        s3_storage: a GB-month of S3 Standard, first 50 TB, next 450 TB, beyond.
        s3_put: 1,000 PUT, COPY, POST or LIST requests.
        eks_cluster: an hour of an EKS cluster.
        node_cpu: an hour of a vCPU of m7i instances.
        balancer: an hour of a network load balancer.
        balancer_gb: a GB through it: a capacity unit is 1 GB an hour.
        nat: an hour of a NAT gateway.
        nat_gb: a GB through it.
        endpoint: an hour of an interface endpoint in a zone.
        key: a month of a KMS key.
    """

    standard_large: float
    standard_storage: float
    standard_throughput: float
    express_large: float
    express_storage: float
    express_ingress: float
    connect_mcu: float
    zone_transfer: float
    s3_storage: tuple[float, float, float]
    s3_put: float
    eks_cluster: float
    node_cpu: float
    balancer: float
    balancer_gb: float
    nat: float
    nat_gb: float
    endpoint: float
    key: float


PRICES = {
    "us-east-1": Prices(
        standard_large=0.204,
        standard_storage=0.10,
        standard_throughput=0.08,
        express_large=0.408,
        express_storage=0.10,
        express_ingress=0.01,
        connect_mcu=0.11,
        zone_transfer=0.02,
        s3_storage=(0.023, 0.022, 0.021),
        s3_put=0.005,
        eks_cluster=0.10,
        node_cpu=0.0504,
        balancer=0.0225,
        balancer_gb=0.006,
        nat=0.045,
        nat_gb=0.045,
        endpoint=0.01,
        key=1.0,
    ),
    "eu-west-1": Prices(
        standard_large=0.228,
        standard_storage=0.11,
        standard_throughput=0.088,
        express_large=0.456,
        express_storage=0.11,
        express_ingress=0.011,
        connect_mcu=0.121,
        zone_transfer=0.02,
        s3_storage=(0.023, 0.022, 0.021),
        s3_put=0.005,
        eks_cluster=0.10,
        node_cpu=0.0562,
        balancer=0.0252,
        balancer_gb=0.0063,
        nat=0.048,
        nat_gb=0.048,
        endpoint=0.011,
        key=1.0,
    ),
}
"""By region."""
