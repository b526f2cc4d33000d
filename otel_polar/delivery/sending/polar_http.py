"""The SDK's client as the delivery uses it: events are JSON already, and the answer itself is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_polar.polar_api.bounded import BoundedClient

if TYPE_CHECKING:
    import httpx
    from polar.base import RequestTimeout


class RememberingClient(BoundedClient):
    """The SDK's client for events that are JSON already.

    It keeps the last response: see :mod:`otel_polar.delivery.sending.polar` for what is lost otherwise.
    """

    def __init__(self, base_url: str, version: str, access_token: str, timeout_s: float) -> None:
        super().__init__(base_url, version, access_token, timeout_s)
        self.last_response: httpx.Response | None = None

    def forget(self) -> None:
        """There is no response yet."""
        self.last_response = None

    def build_request(  # noqa: PLR0917 - the SDK's own
        self,
        method: str,
        url: str,
        path_params: dict[str, Any] | None = None,  # noqa: ARG002 - events have none
        query_params: dict[str, Any] | None = None,  # noqa: ARG002 - the same
        body: Any | None = None,
        request_timeout: RequestTimeout | None = None,  # noqa: ARG002 - the client's holds
        request_access_token: str | None = None,  # noqa: ARG002 - the client's is used
    ) -> httpx.Request:
        """The request that takes the ``events`` of *body* as they are written."""
        content = f'{{"events":[{",".join(body["events"])}]}}'.encode() if isinstance(body, dict) else b""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        return self._client.build_request(method, url, content=content, headers=headers)

    def send_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, as the SDK does, and keep what comes back."""
        self.last_response = super().send_request(request)
        return self.last_response
