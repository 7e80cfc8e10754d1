"""A local stack from nothing to nothing, by the command line that users have."""

# confluent-kafka's admin types are only partly annotated and not re-exported.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateImportUsage=false

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.local.starts import last_start
from services import contracts

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
UP_SECONDS = 300
PARTS = {"kafka", "registry", "connect", "s3", "ksql", "ingest-0", "transform-0", "compressor-0"}


@dataclass(frozen=True)
class Machine:
    """A user's machine: a home folder of its own."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        ours = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_BACKEND_URL")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return kept | {"CFLIGHT_HOME": str(self.home), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    @property
    def stack(self) -> Path:
        return self.home / "stacks" / "local"

    def run(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(BIN / "cflight"), *arguments],
            env=self.environment, capture_output=True, text=True, timeout=UP_SECONDS, check=False,
        )  # fmt: skip
        assert status is None or done.returncode == status, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, status: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status).stdout)

    def changes(self, *arguments: str) -> dict[str, int]:
        counts: dict[str, int] = self.json(*arguments)["changes"]
        return {kind: count for kind, count in counts.items() if kind not in {"same", "refresh"}}

    def pids(self) -> dict[str, int]:
        return {part["name"]: part["pid"] for part in self.json("status", status=None)}

    def own_processes(self) -> list[psutil.Process]:
        """Every process that has the stack's folder in its arguments or works in it."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                told = " ".join(process.cmdline()) + process.cwd()
            except psutil.Error:
                continue
            if str(self.home) in told:
                found.append(process)
        return found


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    machine = Machine(Path(tempfile.mkdtemp(prefix="cflight-", dir="/tmp")))
    machine.run("up")
    try:
        yield machine
    finally:
        machine.run("destroy", "--yes", status=None)
        shutil.rmtree(machine.home)


@pytest.fixture
def fresh() -> Iterator[Machine]:
    machine = Machine(Path(tempfile.mkdtemp(prefix="cflight-", dir="/tmp")))
    try:
        yield machine
    finally:
        machine.run("destroy", "--yes", status=None)
        shutil.rmtree(machine.home)


def admin(machine: Machine) -> AdminClient:
    return AdminClient({"bootstrap.servers": machine.json("outputs")["bootstrapServers"], "log_level": 0})


def test_all_parts_run(machine: Machine) -> None:
    status = {part["name"]: part for part in machine.json("status")}
    assert status.keys() == PARTS
    for part in status.values():
        assert part["state"] == "RUNNING"
        assert 0 < part["memory_used"] <= part["memory_limit"]
        assert part["restarts"] == 0


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    before = machine.pids()
    assert machine.changes("preview") == {}
    assert machine.changes("up") == {}
    assert machine.pids() == before


def test_everything_listens_on_loopback_only(machine: Machine) -> None:
    sockets = [
        connection.laddr
        for process in machine.own_processes()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(sockets) >= len(PARTS)
    assert {address.ip for address in sockets} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_the_s3_secret_is_nowhere_in_clear_text(machine: Machine) -> None:
    secret = machine.json("outputs", "--show-secrets")["s3SecretKey"]
    assert len(secret) > 20
    assert machine.json("outputs")["s3SecretKey"] == "[secret]"
    for process in machine.own_processes():
        assert secret not in " ".join(process.cmdline())
    readable = [file for file in machine.home.rglob("*") if file.is_file() and file.stat().st_mode & 0o077]
    for file in (*readable, *(machine.home / "state").rglob("*.json")):
        assert secret not in file.read_text(errors="replace"), file


def test_drift_is_seen_and_repaired(machine: Machine) -> None:
    os.kill(machine.pids()["registry"], signal.SIGKILL)
    kafka = admin(machine)
    kafka.delete_topics([contracts.INCOMING_DLQ])[contracts.INCOMING_DLQ].result()
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, contracts.PAYLOAD, incremental_configs=[entry])
    kafka.incremental_alter_configs([resource])[resource].result()

    refreshed = machine.json("refresh")["changes"]
    assert refreshed.get("delete") == 1
    assert refreshed.get("update", 0) >= 1
    planned = machine.changes("preview")
    assert planned.get("create") == 1
    assert planned.get("update", 0) >= 1
    machine.run("up")
    assert machine.changes("preview") == {}
    assert contracts.INCOMING_DLQ in kafka.list_topics(timeout=10).topics
    described = kafka.describe_configs([ConfigResource(ResourceType.TOPIC, contracts.PAYLOAD)])
    (configs,) = [future.result() for future in described.values()]
    assert configs["retention.ms"].value != "1000"
    registry = next(part for part in machine.json("status") if part["name"] == "registry")
    assert registry["restarts"] >= 1
    assert registry["state"] == "RUNNING"


def test_up_repairs_a_supervisor_that_was_killed_for_good(machine: Machine) -> None:
    supervisor = psutil.Process(int((machine.stack / "supervisor" / "supervisord.pid").read_text()))
    supervisor.suspend()  # or it starts the guardian again, which would start it again
    doomed = [*supervisor.children(recursive=True), supervisor]
    for process in doomed:
        process.kill()
    psutil.wait_procs(doomed, timeout=20)
    assert {part["state"] for part in machine.json("status", status=1)} == {"DOWN"}
    machine.run("up")
    assert {part["state"] for part in machine.json("status")} == {"RUNNING"}


def test_a_wrong_setting_is_refused_in_preview(machine: Machine, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "Pulumi.local.yaml").read_text())
    config["config"]["cflight:kafka"] = {"memory": "lots"}
    file = tmp_path / "Pulumi.local.yaml"
    file.write_text(yaml.safe_dump(config))
    done = pulumi(machine, "preview", "--config-file", str(file), status=None)
    assert done.returncode != 0
    assert "cflight:kafka.memory: 'lots'" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_plain_pulumi_takes_the_stack_for_its_own(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.local.yaml"
    shutil.copy(ROOT / "Pulumi.local.yaml", file)
    done = pulumi(machine, "preview", "--expect-no-changes", "--config-file", str(file))
    assert "unchanged" in done.stdout


def test_two_stacks_stand_side_by_side(machine: Machine, fresh: Machine) -> None:
    fresh.run("up")
    ours, theirs = machine.json("outputs"), fresh.json("outputs")
    for output in ("bootstrapServers", "schemaRegistryUrl", "connectUrl", "s3Endpoint", "ingestUrl", "folder"):
        assert ours[output] != theirs[output]
    assert {part["state"] for part in machine.json("status")} == {"RUNNING"}
    assert {part["state"] for part in fresh.json("status")} == {"RUNNING"}

    doomed = fresh.own_processes()
    assert doomed
    starts = [last_start(part) for part in (fresh.stack / "parts").iterdir()]
    theirs_cgroups = [start.cgroup for start in starts if start and start.cgroup]
    fresh.run("destroy", "--yes")
    assert not psutil.wait_procs(doomed, timeout=20)[1]
    assert not fresh.stack.exists()
    leases = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/cflight-{os.getuid()}") / "cflight-ports"
    assert not [lease for lease in leases.iterdir() if lease.read_text() == str(fresh.stack)]
    assert not [cgroup for cgroup in theirs_cgroups if cgroup.exists()]
    assert {part["state"] for part in machine.json("status")} == {"RUNNING"}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_up_is_finished_by_the_next(fresh: Machine, end: signal.Signals) -> None:
    process = subprocess.Popen(
        [str(BIN / "cflight"), "up"], env=fresh.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + UP_SECONDS
    while not (fresh.stack / "parts" / "kafka" / "spec.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(end)
    output, _ = process.communicate(timeout=UP_SECONDS)
    assert process.returncode != 0
    assert "Traceback" not in output
    fresh.run("up")
    assert {part["state"] for part in fresh.json("status")} == {"RUNNING"}
    assert fresh.changes("preview") == {}


def pulumi(machine: Machine, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run plain Pulumi as someone does who has activated the environment."""
    command = f'. "{BIN}/activate" && exec pulumi {arguments[0]} --stack local --non-interactive "$@"'
    environment = machine.environment | {
        "PULUMI_BACKEND_URL": f"file://{machine.home}/state",
        "PULUMI_CONFIG_PASSPHRASE_FILE": f"{machine.home}/passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    done = subprocess.run(
        ["bash", "-c", command, "bash", *arguments[1:]],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=UP_SECONDS, check=False,
    )  # fmt: skip
    assert status is None or done.returncode == status, re.sub(r"\n+", "\n", done.stdout + done.stderr)
    return done
