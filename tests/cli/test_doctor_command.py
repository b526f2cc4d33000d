"""``otel-polar doctor`` as a real process: each common mistake of a new user is named, with what to type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_polar.checkup.sections import SECTIONS
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.sandbox import SandboxServer
from tests.cli.command import run_command
from tests.delivery.deciding.test_repricing import unknown
from tests.delivery.support import TOKEN, let_go, settings
from tests.delivery.test_pipeline import ALICE

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

MINIMAL = {TOKEN: frozenset({"events:write"})}
APP = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from otel_polar import PolarInstrumentor, PolarSpanProcessor

print("their application speaks")

def set_up():
    provider = TracerProvider(sampler=TraceIdRatioBased(0.01))
    provider.add_span_processor(PolarSpanProcessor())
    return provider

def set_up_well():
    provider = TracerProvider(sampler=TraceIdRatioBased(0.01))
    PolarInstrumentor().instrument(tracer_provider=provider)
    return provider
"""


def environment(server: SandboxServer, outbox_dir: Path, **others: str) -> dict[str, str]:
    return {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": server.url,
        "OTEL_POLAR_OUTBOX_DIR": str(outbox_dir),
        **others,
    }


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """What was found, by check; of several of one check the worst is the last."""
    order = ("well", "note", "unknown", "warning", "problem")
    told = json.loads(done.stdout)["findings"]
    return {each["check"]: each for each in sorted(told, key=lambda each: order.index(each["level"]))}


def test_where_all_is_well_it_says_so_and_ends_with_0(tmp_path: Path) -> None:
    """A token that may send, and no more, is what an application should have."""
    with SandboxServer(tokens=MINIMAL) as server:
        done = run_command("doctor", env=environment(server, tmp_path))

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("Nothing is wrong.")
    assert TOKEN not in done.stdout + done.stderr


def test_a_wrong_token_is_named(tmp_path: Path) -> None:
    """It was copied without its last character, say."""
    with SandboxServer(tokens={"polar_oat_another": frozenset({"events:write"})}) as server:
        done = run_command("doctor", env=environment(server, tmp_path))

    assert done.returncode == 1
    assert "problem  Polar does not know the access token" in done.stdout
    assert "> export POLAR_ACCESS_TOKEN=polar_oat_..." in done.stdout


def test_the_wrong_server_is_named(tmp_path: Path) -> None:
    """The token is good, and the other one's."""
    with SandboxServer(tokens={}) as sandbox, SandboxServer(tokens=MINIMAL) as production:
        variables = {"POLAR_ACCESS_TOKEN": TOKEN, "OTEL_POLAR_OUTBOX_DIR": str(tmp_path)}
        addresses = ("--sandbox-url", sandbox.url, "--production-url", production.url)
        done = run_command("doctor", "--json", *addresses, env=variables)

    assert done.returncode == 1
    assert findings(done)["polar.server"]["do"][0].startswith("export POLAR_SERVER=production")
    assert "polar.token" not in findings(done)


def test_a_missing_customer_is_named_and_followed_by_a_test_event(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Everything arrives, and nothing is ever billed."""
    variables = environment(polar_sandbox, tmp_path)
    done = run_command("doctor", "--json", "--customer", "user_42", "--send-test", env=variables)

    assert done.returncode == 1
    found = findings(done)
    assert found["customers.exists"]["do"] == ["otel-polar customers ensure user_42 --email ..."]
    assert found["trial.customer"]["level"] == "problem"
    assert (found["trial.sent"]["level"], found["trial.listed"]["level"]) == ("well", "well")
    (event,) = polar_sandbox.events()
    assert (event["name"], event["external_customer_id"]) == ("otel_polar_test", "user_42")


def test_an_unpriced_model_is_named_with_the_lines_to_add(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """The calls are there, and wait for two numbers."""
    pipeline = Pipeline(settings(base_url=polar_sandbox.url, outbox_dir=tmp_path))
    pipeline.take(unknown(1), ALICE, {})
    pipeline.force_flush(10.0)
    pipeline.shutdown()
    let_go(pipeline)

    done = run_command("doctor", env=environment(polar_sandbox, tmp_path))

    assert done.returncode == 1
    assert "problem  gpt-9000 of openai has no price: 1 call held" in done.stdout
    assert '> model = "gpt-9000"' in done.stdout
    assert "> otel-polar outbox reprice" in done.stdout


@pytest.mark.slow
def test_a_sampler_at_one_per_cent_is_named(tmp_path: Path) -> None:
    """99 of 100 calls are free, and nobody notices."""
    (tmp_path / "their_app.py").write_text(APP)
    with SandboxServer(tokens=MINIMAL) as server:
        variables = environment(server, tmp_path / "outbox")
        done = run_command("doctor", "--json", "--app", "their_app:set_up", env=variables, cwd=tmp_path)
        mended = run_command("doctor", "--json", "--app", "their_app:set_up_well", env=variables, cwd=tmp_path)

    assert done.returncode == 1, done.stderr
    found = findings(done)
    assert "99 % of the model calls are not billed" in found["sampling.sampler"]["what"]
    assert found["application.processor"]["level"] == "well"
    assert "their application speaks" in done.stderr
    assert mended.returncode == 0, mended.stdout
    assert findings(mended)["sampling.sampler"]["level"] == "well"


def test_misspelt_and_unusable_variables_are_named(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Everything at once, and not one for each start."""
    variables = environment(polar_sandbox, tmp_path, OTEL_POLAR_OUTBOX="/x", OTEL_POLAR_SETTLE_S="soon")

    done = run_command("doctor", "--json", env=variables)

    assert done.returncode == 1
    assert {"settings.name", "settings.value", "settings.rest"} <= findings(done).keys()


def test_an_application_that_cannot_be_looked_at_ends_with_3(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """Nothing is wrong, as far as anybody knows, which is not far."""
    (tmp_path / "their_app.py").write_text("import os\n\ndef set_up():\n    os._exit(0)\n")
    options = ("--only", "application", "--app", "their_app:set_up")

    done = run_command("doctor", *options, env=environment(polar_sandbox, tmp_path), cwd=tmp_path)

    assert done.returncode == 3, done.stdout
    assert "unknown  their_app:set_up ended its process" in done.stdout


@pytest.mark.parametrize(
    ("section", "option"),
    [
        *(("application", "--app MODULE:FUNCTION"), ("sampling", "--app MODULE:FUNCTION")),
        *(("propagation", "--app MODULE:FUNCTION"), ("customers", "--customer USER"), ("trial", "--send-test")),
    ],
)
def test_a_section_that_was_not_looked_at_is_not_well(
    section: str, option: str, polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Who asks for it by name would take silence for a good answer."""
    done = run_command("doctor", "--only", section, env=environment(polar_sandbox, tmp_path))

    assert done.returncode == 3, done.stdout
    assert "nothing was looked at" in done.stdout
    assert option in done.stdout


def test_polar_is_not_well_where_it_was_not_asked(tmp_path: Path) -> None:
    """Without a token nothing can be."""
    done = run_command("doctor", "--only", "polar", env={"OTEL_POLAR_OUTBOX_DIR": str(tmp_path)})

    assert done.returncode == 3, done.stdout
    assert "there is no access token" in done.stdout


@pytest.mark.parametrize(
    ("function", "code", "what"), [("nothing", 3, "no tracer provider of"), ("nix", 1, "'their_app' has no 'nix'")]
)
def test_an_application_without_a_provider_has_no_good_sampler(
    function: str, code: int, what: str, polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Also where only the sampler was asked for."""
    (tmp_path / "their_app.py").write_text("def nothing():\n    pass\n")
    options = ("--only", "sampling", "--app", f"their_app:{function}")

    done = run_command("doctor", *options, env=environment(polar_sandbox, tmp_path), cwd=tmp_path)

    assert done.returncode == code, done.stdout
    assert what in done.stdout


def test_warnings_count_where_it_is_to_be_strict(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """For a pipeline that is to stop at anything odd."""
    variables = environment(polar_sandbox, tmp_path, OTEL_TRACES_SAMPLER="traceidratio")

    assert run_command("doctor", "--only", "settings", env=variables).returncode == 0
    assert run_command("doctor", "--only", "settings", "--strict", env=variables).returncode == 1


def test_a_section_that_does_not_exist_is_refused() -> None:
    """A check-up of nothing would look well."""
    done = run_command("doctor", "--only", "polars")

    assert done.returncode == 2
    assert "there is no section 'polars'" in done.stderr


def test_the_help_names_every_section_and_the_codes() -> None:
    """Nobody should have to read the source."""
    shown = " ".join(run_command("doctor", "--help").stdout.replace("│", " ").split())

    for section in SECTIONS:
        assert section in shown
    assert "Ends with 0 if there is no problem" in shown
    assert "--production-url" not in shown


def test_json_is_one_object_with_counts(polar_sandbox: SandboxServer, tmp_path: Path) -> None:
    """For programs."""
    told = json.loads(run_command("doctor", "--json", env=environment(polar_sandbox, tmp_path)).stdout)

    assert told["is_well"] is True
    assert told["warning_count"] == 1, "there is no meter"
    assert {"check", "section", "level", "what", "why", "do"} == set(told["findings"][0])
