"""The stack's configuration: what is accepted, and what a refusal says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.errors import SettingsError
from infra.memory import MIB
from infra.settings import load_settings, reference

ROOT = Path(__file__).parents[3]


def config(**values: object) -> dict[str, str]:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return {"cflight:target": "local"} | {f"cflight:{key}": text for key, text in texts.items()}


def refusal(**values: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config(**values))
    return str(caught.value)


def test_defaults_need_a_target_only() -> None:
    settings = load_settings({"cflight:target": "local"})
    assert settings.kafka.memory == 512 * MIB
    assert settings.services.transform.memory == 128 * MIB


def test_structured_values_come_as_json_text() -> None:
    settings = load_settings(config(services={"transform": {"memory": "256Mi", "replicas": 2}}))
    assert settings.services.transform.memory == 256 * MIB
    assert settings.services.transform.replicas == 2


def test_keys_of_other_namespaces_are_left_alone() -> None:
    assert load_settings({"cflight:target": "local", "aws:region": "eu-west-1"}).target == "local"


@pytest.mark.parametrize(
    ("values", "key", "remedy"),
    [
        ({"kafak": {}}, "cflight:kafak", "Did you mean 'kafka'?"),
        ({"kafka": {"memmory": "1Gi"}}, "cflight:kafka.memmory", "Did you mean 'memory'?"),
        ({"kafka": {"memory": "lots"}}, "cflight:kafka.memory", "pulumi config set --path cflight:kafka.memory"),
        ({"topics": {"partitions": 0}}, "cflight:topics.partitions", "pulumi config set"),
        ({"topics": {"partitions": "many"}}, "cflight:topics.partitions", "'many'"),
        ({"target": "mainframe"}, "cflight:target", "'mainframe'"),
        ({"protect": "perhaps"}, "cflight:protect", "'perhaps'"),
        ({"ksql": {"server": "external"}}, "cflight:ksql", "url"),
        ({"ksql": {"url": "http://x"}}, "cflight:ksql", "do not go together"),
        ({"topics": {"replicationFactor": 1, "minInSyncReplicas": 2}}, "cflight:topics", "nothing could be written"),
        ({"sinks": {"cflight.sink": {"flushSize": 0}}}, "cflight:sinks.cflight.sink.flushSize", "pulumi config set"),
    ],
)
def test_a_refusal_names_key_value_and_remedy(values: dict[str, object], key: str, remedy: str) -> None:
    message = refusal(**values)
    assert message.startswith(f"{key}:")
    assert remedy in message


def test_all_mistakes_are_told_at_once() -> None:
    message = refusal(kafka={"memory": "lots"}, topics={"partitions": -1})
    assert "cflight:kafka.memory" in message
    assert "cflight:topics.partitions" in message


def test_a_missing_target_is_refused() -> None:
    with pytest.raises(SettingsError, match="cflight:target: is not set"):
        load_settings({})


def test_a_refused_secret_is_not_shown() -> None:
    message = refusal(services={"ingest": {"token": ["hush-hush"]}})
    assert "cflight:services.ingest.token" in message
    assert "hush-hush" not in message


def test_the_reference_is_not_stale() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == reference(), (
        "run `.venv/bin/python -m infra.settings > docs/settings.md`"
    )
