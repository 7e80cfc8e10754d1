"""Settings: environment variables, typed, validated, and documented from the same source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.compressor.settings import CompressorSettings
from services.errors import SettingsError
from services.ingest.settings import IngestSettings
from services.reference import reference
from services.settings import help_text, load
from services.transform.settings import TransformSettings

ROOT = Path(__file__).parents[3]
NEEDED = {"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "SCHEMA_REGISTRY_URL": "http://r:8081/apis/ccompat/v7"}


def test_two_variables_are_enough() -> None:
    settings = load(TransformSettings, environ=NEEDED)
    assert settings.kafka_bootstrap_servers == "k:9092"
    assert settings.event_log_topic == "flight.eventlog"
    assert settings.http_port == 0
    assert load(IngestSettings, environ=NEEDED).http_port == 8080


def test_sizes_have_units() -> None:
    assert load(TransformSettings, environ={**NEEDED, "MAX_TEXT_BYTES": "4Mi"}).max_text_bytes == 4 << 20
    assert load(TransformSettings, environ={**NEEDED, "MAX_MESSAGE_BYTES": "8000000"}).max_message_bytes == 8_000_000


def test_secrets_come_from_files_and_stay_secret(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    settings = load(IngestSettings, environ={**NEEDED, "INGEST_TOKEN_FILE": str(file)})
    assert settings.ingest_token is not None
    assert settings.ingest_token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
    with pytest.raises(SettingsError, match="INGEST_TOKEN_FILE"):
        load(IngestSettings, environ={**NEEDED, "INGEST_TOKEN_FILE": str(tmp_path / "none")})
    with pytest.raises(SettingsError, match="set twice"):
        load(IngestSettings, environ={**NEEDED, "INGEST_TOKEN_FILE": str(file), "INGEST_TOKEN": "x"})


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"SCHEMA_REGISTRY_URL": "r:8081"}, "SCHEMA_REGISTRY_URL='r:8081'"),
        ({"HTTP_PORT": "70000"}, "HTTP_PORT='70000'"),
        ({"MAX_TEXT_BYTES": "4 parsecs"}, "MAX_TEXT_BYTES='4 parsecs'"),
        ({"EVENT_LOG_TOPIC": "a b"}, "EVENT_LOG_TOPIC='a b'"),
        ({"TRANSACTION_MS": "0"}, "TRANSACTION_MS='0'"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_MECHANISM"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN"}, "KAFKA_SASL_PASSWORD"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"}, "KAFKA_IAM_REGION"),
        ({"INSTANCE_ID": "a/b"}, "INSTANCE_ID='a/b'"),
    ],
)
def test_what_is_wrong_is_named(variables: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(TransformSettings, environ={**NEEDED, **variables})
    assert said in str(error.value)
    assert "--help" in str(error.value)


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        load(CompressorSettings, environ={"GZIP_LEVEL": "10"})
    assert "KAFKA_BOOTSTRAP_SERVERS" in str(error.value)
    assert "GZIP_LEVEL" in str(error.value)


def test_help_lists_every_variable() -> None:
    text = help_text(TransformSettings, program="cflight-transform", purpose="Transforms.")
    for name in TransformSettings.model_fields:
        assert f"  {name.upper()}" in text


def test_the_reference_is_current() -> None:
    assert (ROOT / "docs" / "service-settings.md").read_text() == reference(), (
        "run `.venv/bin/python -m services.reference > docs/service-settings.md`"
    )


@pytest.mark.parametrize("service", ["ingest", "transform", "cheapest", "compressor"])
def test_a_users_mistake_gives_no_traceback(service: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"services.{service}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={"PATH": "/usr/bin"})

    nothing = run()
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr.startswith(f"cflight-{service}: environment: ")
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in nothing.stderr
    assert nothing.stderr.count("\n") == 1
    assert run("--hepl").returncode == 2
    shown = run("--help")
    assert shown.returncode == 0
    assert "KAFKA_BOOTSTRAP_SERVERS (required)" in shown.stdout


def test_the_images_lock_is_part_of_the_projects() -> None:
    def versions(lock: Path) -> set[str]:
        lines = lock.read_text().splitlines()
        return {
            line.split()[0].partition("[")[0] + line.split()[0].partition("]")[2] if "[" in line else line.split()[0]
            for line in lines
            if "==" in line
        }

    image = versions(ROOT / "services" / "requirements.lock")
    assert image
    assert image <= versions(ROOT / "requirements.lock")
