"""What telemetry tells of calls, and that it tells nothing of tenants; needs the extra ``otel`` beside the log tests."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from cipp_mcp import telemetry
from cipp_mcp.demo import DemoCipp
from cipp_mcp.logs import JsonLines
from cipp_mcp.settings import Settings
from tests.conftest import call, in_memory, over_stdio, read, settings_for
from tests.over_http import client_of, serving

pytestmark = pytest.mark.anyio
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Gathered:
    """Spans and metrics in memory."""

    def __init__(self) -> None:
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        from cipp_mcp.otel import OtelSink

        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.sink = OtelSink([SimpleSpanProcessor(self._spans)], [self._reader])

    def spans(self, name: str) -> list[Any]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def points(self, metric: str) -> list[Any]:
        """(attributes, data point) of everything measured under `metric`."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        found = [part for scope in scopes for part in scope.metrics if part.name == metric]
        return [(dict(point.attributes or {}), point) for part in found for point in part.data.data_points]

    def everything(self) -> str:
        """All that would have left, as text."""
        data = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self._spans.get_finished_spans()) + (data.to_json() if data else "")


@pytest.fixture
def gathered() -> Iterator[Gathered]:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    found = Gathered()
    with telemetry.sending_to(found.sink):
        yield found


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, bytes]]]:
    """(address, what came in by path) of something that takes OTLP over HTTP."""
    received: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            received[self.path] = received.get(self.path, b"") + content
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


async def varied_calls(demo: DemoCipp, client: Client) -> set[str]:
    """A read, two failures, an unknown name and a change; what none of them may leave behind in telemetry."""
    tenant = demo.state.tenants[0]
    user = next(iter(tenant.users.values()))
    demo.answer("ListMailboxes", status=500, body={"Results": f"{tenant.domain} is broken"})
    await read(client, "ListUsers", tenantFilter=tenant.domain)
    await read(client, "ListMailboxes", tenantFilter=tenant.domain)
    await read(client, "ListUsers", tenantFilter="unheard-of.example")
    await read(client, f"List{tenant.domain}")
    arguments = {"tenantFilter": tenant.domain, "ID": user["userPrincipalName"], "Enable": False}
    await call(client, "cipp_critical", name="ExecDisableUser", arguments=arguments)
    return {
        tenant.domain,
        tenant.id,
        user["userPrincipalName"],
        user["id"],
        user["displayName"],
        "unheard-of.example",
        demo.client_secret,
        "is broken",
    }


async def test_a_call_is_a_span_and_its_requests_to_cipp_are_spans_within(demo: DemoCipp, gathered: Gathered) -> None:
    async with in_memory(settings_for(demo)) as client:
        await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
    (span,) = gathered.spans("cipp.call")
    assert span.attributes["cipp.endpoint"] == "ListUsers"
    assert span.attributes["cipp.outcome"] == "ok"
    assert 0 < span.attributes["cipp.seconds_at_cipp"] <= (span.end_time - span.start_time) / 1e9
    within = [child for child in gathered.spans("cipp.request") if child.attributes["cipp.endpoint"] == "ListUsers"]
    assert [child.attributes["http.response.status_code"] for child in within] == [200]
    assert [child.parent.span_id for child in within] == [span.context.span_id]


async def test_a_trace_that_the_host_began_is_continued(demo: DemoCipp, gathered: Gathered) -> None:
    async with in_memory(settings_for(demo), "2025") as client:
        meta: Any = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        await client.call_tool("ListTenants", {}, meta=meta)
    (span,) = gathered.spans("cipp.call")
    assert f"{span.context.trace_id:032x}" == TRACE


async def test_calls_are_counted_by_endpoint_and_outcome(demo: DemoCipp, gathered: Gathered) -> None:
    async with in_memory(settings_for(demo, CIPP_ACCESS="full")) as client:
        await varied_calls(demo, client)
        await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
    counted = {
        (told["cipp.endpoint"], told["cipp.outcome"]): point.count
        for told, point in gathered.points("cipp.call.duration")
    }
    assert counted == {
        ("ListUsers", "ok"): 2,
        ("ListMailboxes", "failed"): 1,
        ("ListUsers", "failed"): 1,
        ("unknown", "refused"): 1,
        ("ExecDisableUser", "refused"): 1,
    }
    requests = gathered.points("cipp.request.duration")
    statuses = {(told["cipp.endpoint"], told["http.response.status_code"]) for told, _ in requests}
    assert {("ListTenants", 200), ("ListUsers", 200), ("ListMailboxes", 500)} <= statuses
    assert sum(point.count for _, point in gathered.points("cipp.token.duration")) == 1
    assert sum(point.count for _, point in gathered.points("cipp.queue.duration")) >= 3
    lookups = {told["cipp.cache.hit"]: point.value for told, point in gathered.points("cipp.cache.lookups")}
    assert lookups[True] == 1


async def test_requests_that_overlap_count_once_in_the_share_of_cipp() -> None:
    record = telemetry.CallRecord()
    with record.at_cipp(), record.at_cipp():
        await anyio.lowlevel.checkpoint()
    once = record.seconds_at_cipp
    with record.at_cipp():
        assert record.seconds_at_cipp >= once
    assert record.seconds_at_cipp < once + 1


@pytest.mark.parametrize("era", ["2025", "2026"])
async def test_nothing_of_a_tenant_leaves_by_spans_or_metrics(demo: DemoCipp, gathered: Gathered, era: str) -> None:
    async with in_memory(settings_for(demo, CIPP_ACCESS="full", CIPP_CONFIRM="never"), era) as client:
        private = await varied_calls(demo, client)
    sent = gathered.everything()
    assert "ExecDisableUser" in sent
    assert not [text for text in private if text in sent]


async def test_a_failure_shows_as_an_error(demo: DemoCipp, gathered: Gathered) -> None:
    demo.answer("ListUsers", status=500, body={"Results": "no"})
    async with in_memory(settings_for(demo)) as client:
        await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
        await read(client, "ListUsers")
    failed, refused = gathered.spans("cipp.call")
    assert (failed.status.status_code.name, refused.status.status_code.name) == ("ERROR", "UNSET")


async def test_a_question_to_a_person_is_an_outcome_of_its_own(demo: DemoCipp, gathered: Gathered) -> None:
    async def declines(*_: Any) -> Any:
        from mcp_types import ElicitResult

        return ElicitResult(action="decline")

    async with in_memory(settings_for(demo, CIPP_ACCESS="full"), elicitation_callback=declines) as client:
        await varied_calls(demo, client)
    outcomes = [span.attributes["cipp.outcome"] for span in gathered.spans("cipp.call")]
    assert outcomes[-2:] == ["input required", "refused"]


async def test_a_configured_collector_gets_spans_and_metrics_of_a_server_over_stdio(demo: DemoCipp) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    with collector() as (address, received):
        environment = demo.environment() | {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
        async with over_stdio(environment) as client:
            await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
    assert b"cipp.call" in received["/v1/traces"]
    assert b"cipp.request.duration" in received["/v1/metrics"]
    assert b"cipp-mcp" in received["/v1/traces"]
    assert demo.state.tenants[0].domain.encode() not in b"".join(received.values())


async def test_a_collector_that_is_away_does_not_hold_up_calls_or_the_end(demo: DemoCipp) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    environment = demo.environment() | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with anyio.fail_after(15):
        async with over_stdio(environment) as client:
            assert (await read(client, "ListTenants"))["outcome"] == "ok"


def test_without_a_collector_nothing_of_opentelemetry_is_loaded() -> None:
    program = (
        "import sys\nfrom cipp_mcp import telemetry\nfrom cipp_mcp.settings import Settings\n"
        "with telemetry.observing(Settings()):\n import cipp_mcp.calls.dispatcher, cipp_mcp.connection.client\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=30)


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "zipkin is not supported"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "not by grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9", r"pip install 'cipp-mcp\[otel\]'"),
    ],
)
def test_an_exporter_that_cannot_be_had_is_a_warning(
    name: str, value: str, warning: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "cipp_mcp.otel", None)  # as where the extra is not installed
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    with telemetry.observing(Settings()):
        pass
    assert re.search(warning, caplog.text)


def test_opentelemetry_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "cipp_mcp.otel", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with telemetry.observing(Settings()):
        pass
    assert not caplog.text


async def test_json_log_lines_tell_of_every_call_and_nothing_of_tenants(demo: DemoCipp, tmp_path: Path) -> None:
    audit, log = tmp_path / "audit.jsonl", tmp_path / "stderr.txt"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIPP_")}
    environment |= demo.environment() | {"CIPP_AUDIT_LOG": str(audit), "CIPP_LOG_FORMAT": "json"}
    environment |= {"CIPP_ACCESS": "full", "CIPP_CONFIRM": "never"}
    server = StdioServerParameters(command=sys.executable, args=["-m", "cipp_mcp"], env=environment, cwd=os.getcwd())
    with log.open("w", encoding="utf-8") as stderr:
        async with Client(stdio_client(server, errlog=stderr)) as client:
            private = await varied_calls(demo, client)
    text = log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    calls = [line for line in lines if line["message"] == "call"]
    shown = [(line["cipp.endpoint"], line["cipp.outcome"]) for line in calls]
    assert shown[:4] == [
        ("ListUsers", "ok"),
        ("ListMailboxes", "failed"),
        ("ListUsers", "failed"),
        ("unknown", "refused"),
    ]
    assert {line["level"] for line in calls} == {"info"}
    assert len({line["request"] for line in calls}) == 5
    audited = {json.loads(line)["call"] for line in audit.read_text(encoding="ascii").splitlines()}
    assert audited <= {line["request"] for line in calls}
    assert calls[-1]["request"] in audited
    assert not [word for word in private if word in text]


async def test_over_http_every_log_line_is_json_and_the_collector_gets_the_rest_at_the_end(demo: DemoCipp) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")
    with collector() as (address, received):
        environment = demo.environment() | {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "CIPP_LOG_FORMAT": "json"}
        with serving(environment) as server:
            async with client_of(server.url) as client:
                await read(client, "ListUsers", tenantFilter=demo.state.tenants[0].domain)
            server.stop()
            lines = [json.loads(line) for line in server.log.splitlines()]
    assert [line["cipp.endpoint"] for line in lines if line["message"] == "call"] == ["ListUsers"]
    assert b"cipp.call" in received["/v1/traces"]
    assert b"cipp.call.duration" in received["/v1/metrics"]


async def test_log_lines_of_a_call_carry_its_id_and_trace(demo: DemoCipp, gathered: Gathered) -> None:
    handler, log = _json_lines()
    with handler:
        async with in_memory(settings_for(demo)) as client:
            await read(client, "ListTenants")
    (line,) = [line for line in log() if line["message"] == "call"]
    (span,) = gathered.spans("cipp.call")
    assert line["trace"] == f"{span.context.trace_id:032x}"
    assert line["request"]


async def test_an_unexpected_failure_is_logged_by_its_place_without_its_message(
    demo: DemoCipp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError(f"broken for {demo.state.tenants[0].domain}")

    monkeypatch.setattr("cipp_mcp.calls.shaping.Shaper.answer", fails)
    handler, log = _json_lines()
    with handler:
        async with in_memory(settings_for(demo)) as client:
            assert (await read(client, "ListTenants"))["outcome"] == "failed"
    (line,) = [line for line in log() if "exception" in line]
    assert (line["level"], line["exception"]) == ("error", "RuntimeError")
    assert "test_telemetry.py" in line["stack"][-1]
    assert demo.state.tenants[0].domain not in json.dumps(log())


def _json_lines() -> tuple[Any, Any]:
    """(a context within which this process logs JSON lines, the lines so far)."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("cipp_mcp")

    @contextmanager
    def logging_json() -> Iterator[None]:
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before)

    return logging_json(), lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
