"""Specifies that what ``examples/collector`` has for systemd, Docker and Kubernetes fits the service, and itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from otel_polar.settings import Settings
from otel_polar.settings.field import settings_in
from otel_polar.settings.file import load_config
from otel_polar.settings.serve import KafkaSettings, ServeSettings

EXAMPLES: Final = Path(__file__).parent.parent / "examples" / "collector"
PYPROJECT: Final = tomllib.loads((EXAMPLES.parent.parent / "pyproject.toml").read_text())["project"]
SETTINGS: Final[dict[str, Any]] = tomllib.loads((EXAMPLES / "otel-polar.toml").read_text())
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())
KUBERNETES: Final[list[dict[str, Any]]] = list(yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text()))
DOCKERFILE: Final = (EXAMPLES / "Dockerfile").read_text()
UNIT: Final = (EXAMPLES / "otel-polar.service").read_text()

REQUESTS_S: Final = 10.0
"""How long requests that have begun may take at the end: ``otel_polar.service.server.GRACE_S``."""
VARIABLES: Final = {
    field["variable"] for table in (Settings, ServeSettings, KafkaSettings) for field in settings_in(table).values()
}


def of(kind: str, name: str) -> dict[str, Any]:
    """What ``kubernetes.yaml`` has under that name."""
    (found,) = (each for each in KUBERNETES if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


# systemd


def directives(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_the_unit_is_one(tmp_path: Path) -> None:
    """A word that systemd does not know it passes over, and the service is not as guarded as it seems."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "otel-polar.service"
    unit.write_text(UNIT.replace("/opt/otel-polar/bin/otel-polar", sys.executable))
    verified = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    rated = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", unit], capture_output=True, text=True, check=False
    )

    assert (verified.returncode, verified.stderr) == (0, "")
    assert rated.returncode == 0, rated.stdout[-500:]


def test_the_unit_fits_the_settings() -> None:
    """Its outbox is where systemd keeps it, and its files are those that are handed on."""
    (state,), (stop,) = directives("StateDirectory"), directives("TimeoutStopSec")
    credentials = dict(each.split(":") for each in directives("LoadCredential"))
    variables = dict(each.split("=", 1) for each in directives("Environment"))
    files = {variable: value.removeprefix("%d/") for variable, value in variables.items() if value.startswith("%d/")}

    assert SETTINGS["outbox_dir"] == f"/var/lib/{state}"
    assert seconds(stop) > SETTINGS["shutdown_timeout_s"] + REQUESTS_S
    assert set(files.values()) == credentials.keys()
    assert files.keys() < VARIABLES
    named = {field["variable"]: name for name, field in settings_in(ServeSettings).items()}
    for variable, credential in files.items():
        assert SETTINGS["serve"][named[variable]] == credentials[credential]


# Docker


def test_the_image_keeps_calls_on_a_volume_of_a_user_that_is_not_root() -> None:
    """Otherwise they are gone with the container, or cannot be written at all."""
    (outbox,) = re.findall(r"OTEL_POLAR_OUTBOX_DIR=(\S+)", DOCKERFILE)
    (user,) = re.findall(r"^USER (\d+):", DOCKERFILE, re.MULTILINE)

    assert re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE) == [outbox]
    assert f"--uid {user} " in DOCKERFILE
    assert f"-o otel-polar -g otel-polar {outbox}" in DOCKERFILE
    assert set(re.findall(r"OTEL_POLAR_\w+", DOCKERFILE)) <= VARIABLES
    assert re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE) == [
        f"{SETTINGS['serve']['grpc_port']} {SETTINGS['serve']['http_port']}"
    ]
    extras = re.findall(r'/src\[([\w,]+)\]"', DOCKERFILE)[0].split(",")
    assert set(extras) <= PYPROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_check_of_the_image_asks_whether_calls_can_be_recorded(status: int, code: int) -> None:
    """A container that cannot write is not one that works."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    command = json.loads(re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[0])
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        script = command[2].replace(" 4318", f" {server.server_port}")
        done = subprocess.run([sys.executable, command[1], script], check=False)
        server.shutdown()
        thread.join()

    assert (command[0], done.returncode, asked) == ("python", code, ["/readyz"])


def test_the_services_of_compose_fit_together() -> None:
    """Names and ports that do not meet are found out only when somebody calls."""
    services = COMPOSE["services"]
    ours, collector = services["otel-polar"], services["collector"]
    config = yaml.safe_load(COMPOSE["configs"]["collector"]["content"].replace("$$", "$"))
    exporters, receiver = config["exporters"], config["receivers"]["otlp"]["protocols"]
    mounted = {
        volume.partition(":")[0]: volume.partition(":")[2] for each in services.values() for volume in each["volumes"]
    }

    assert exporters["otlp_http/otel-polar"]["endpoint"] == f"http://otel-polar:{SETTINGS['serve']['http_port']}"
    assert {port.split(":")[2] for port in collector["ports"]} == {
        protocol["endpoint"].partition(":")[2] for protocol in receiver.values()
    }
    assert all(port.startswith("127.0.0.1:") for each in (ours, collector) for port in each["ports"])
    assert mounted.keys() == COMPOSE["volumes"].keys()
    assert f"OTEL_POLAR_OUTBOX_DIR={mounted['outbox']}" in DOCKERFILE
    assert config["extensions"]["file_storage/queue"]["directory"].startswith(f"{mounted['queue']}/")
    assert services["queue-owner"]["command"][-1] == mounted["queue"]
    assert {name for name in ours["environment"] if name.startswith(("OTEL_POLAR", "POLAR"))} <= VARIABLES
    assert seconds(ours["stop_grace_period"]) > REQUESTS_S + float(ours["environment"]["OTEL_POLAR_SHUTDOWN_TIMEOUT_S"])
    assert (EXAMPLES / ours["build"]["context"] / ours["build"]["dockerfile"]).resolve() == EXAMPLES / "Dockerfile"
    kafka = services["kafka"]["environment"]
    assert exporters["kafka"]["brokers"] == [kafka["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")]
    assert int(kafka["KAFKA_MESSAGE_MAX_BYTES"]) == exporters["kafka"]["producer"]["max_message_bytes"]


def test_the_tokens_of_compose_are_those_of_both_sides() -> None:
    """The Collector drops what is answered with 401."""
    services = COMPOSE["services"]

    assert (
        services["otel-polar"]["environment"]["OTEL_POLAR_SERVE_TOKENS"]
        == services["collector"]["environment"]["COLLECTOR_TOKEN"]
    )
    assert "$${env:COLLECTOR_TOKEN}" in COMPOSE["configs"]["collector"]["content"]


# Kubernetes

PODS: Final = ("otel-polar", "otel-polar-collector")


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = of("StatefulSet", name)["spec"]["template"]["spec"]
    return spec


def paths(name: str) -> set[str]:
    """The files of a pod."""
    found: set[str] = set()
    (container,) = pod(name)["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for volume in pod(name)["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            if "configMap" in source:
                files = of("ConfigMap", source["configMap"]["name"])["data"].keys()
            else:
                files = {item["path"] for item in source["secret"]["items"]}
            found |= {f"{mounts[volume['name']]}/{file}" for file in files}
    return found


@pytest.mark.parametrize("name", PODS)
def test_a_stateful_set_finds_its_pods_volumes_and_secrets(name: str) -> None:
    """What does not fit is seen only when a pod does not start."""
    spec, (container,) = of("StatefulSet", name)["spec"], pod(name)["containers"]
    labels = spec["template"]["metadata"]["labels"]
    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    volumes = {volume["name"] for volume in pod(name)["volumes"]}
    ports = {port["name"] for port in container["ports"]}
    probes = [value for key, value in container.items() if key.endswith("Probe")]

    assert spec["selector"]["matchLabels"] == labels
    assert of("Service", spec["serviceName"])["spec"]["selector"] == labels
    assert of("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels
    assert of("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels
    assert {mount["name"] for mount in container["volumeMounts"]} == claims | volumes
    assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(claims | volumes)
    assert {probe[how]["port"] for probe in probes for how in ("httpGet", "tcpSocket") if how in probe} <= ports
    for source in (
        source for volume in pod(name)["volumes"] for source in volume.get("projected", {}).get("sources", [])
    ):
        if "secret" in source and source["secret"]["name"] != "otel-polar-tls":
            keys = {item["key"] for item in source["secret"]["items"]}
            assert keys <= of("Secret", source["secret"]["name"])["stringData"].keys()


@pytest.mark.parametrize("name", PODS)
def test_no_pod_may_do_more_than_it_needs(name: str) -> None:
    """What reads requests from a network is guarded against itself."""
    (container,) = pod(name)["containers"]

    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert pod(name)["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


def test_the_settings_in_kubernetes_can_be_used_and_name_what_the_pod_has(tmp_path: Path) -> None:
    """The same file as in the directory, but for what differs there."""
    file = tmp_path / "otel-polar.toml"
    file.write_text(of("ConfigMap", "otel-polar")["data"]["otel-polar.toml"])
    settings, serve = load_config(file, serve={}, kafka={}, environ={"POLAR_ACCESS_TOKEN": "polar_oat_test"})
    (container,) = pod("otel-polar")["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    named = {serve.tokens_file, serve.operator_tokens_file, serve.tls_cert_file, serve.tls_key_file}

    assert str(settings.outbox_dir) == mounts["outbox"]
    assert {str(path) for path in named} | {container["args"][2]} == paths("otel-polar")
    assert [port["containerPort"] for port in container["ports"]] == [serve.grpc_port, serve.http_port]
    assert pod("otel-polar")["terminationGracePeriodSeconds"] > settings.shutdown_timeout_s + REQUESTS_S
    assert {probe["httpGet"]["scheme"] for key, probe in container.items() if key.endswith("Probe")} == {"HTTPS"}
    assert (settings.requests_per_minute or 0) * of("StatefulSet", "otel-polar")["spec"]["replicas"] == 500
    assert {variable["name"] for variable in container["env"]} <= VARIABLES


def test_the_collector_in_kubernetes_finds_every_replica() -> None:
    """Balancing needs their addresses, not one that stands for all."""
    config = yaml.safe_load(of("ConfigMap", "otel-polar-collector")["data"]["config.yaml"])
    balancing = config["exporters"]["load_balancing"]
    replicas = of("Service", balancing["resolver"]["dns"]["hostname"])["spec"]
    inner = balancing["protocol"]["otlp"]
    named = {inner["tls"]["ca_file"], config["extensions"]["bearertokenauth/otel-polar"]["filename"]}
    (container,) = pod("otel-polar-collector")["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}

    assert replicas["clusterIP"] == "None"
    assert str(SETTINGS["serve"]["grpc_port"]) == balancing["resolver"]["dns"]["port"]
    assert named | {container["args"][0].removeprefix("--config=")} == paths("otel-polar-collector")
    assert config["extensions"]["file_storage/queue"]["directory"].startswith(f"{mounts['queue']}/")
    assert inner["tls"]["server_name_override"] == of("Service", "otel-polar")["metadata"]["name"]


def test_the_token_of_the_collector_in_kubernetes_is_one_that_is_good() -> None:
    """The Collector drops what is answered with 401."""
    (token,) = of("Secret", "otel-polar-collector")["stringData"].values()

    assert token in of("Secret", "otel-polar")["stringData"]["tokens"].splitlines()
    assert all(
        port["targetPort"] in {"otlp-grpc", "otlp-http"}
        for each in KUBERNETES
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    )


def test_no_file_names_a_registry() -> None:
    """Where images and packages come from is for whoever runs this."""
    for path in EXAMPLES.iterdir():
        images = re.findall(r"(?:image: |FROM )(\S+)", path.read_text())
        assert all("." not in image.partition("/")[0].partition(":")[0] for image in images), path
