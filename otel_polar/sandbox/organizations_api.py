"""``GET /v1/organizations/``: the one organization that all tokens of a sandbox belong to.

Source: polarsource/polar, server/polar/organization/endpoints.py and schemas.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from otel_polar.sandbox import answers, queries
from otel_polar.sandbox.security import ORGANIZATION_ID

if TYPE_CHECKING:
    from starlette.requests import Request

_CREATED_AT: Final = "2026-01-01T00:00:00Z"
ORGANIZATION: Final[dict[str, Any]] = {
    "created_at": _CREATED_AT,
    "modified_at": None,
    "id": ORGANIZATION_ID,
    "name": "Local sandbox",
    "slug": "local-sandbox",
    "avatar_url": None,
    "proration_behavior": "prorate",
    "allow_customer_updates": True,
    "email": None,
    "website": None,
    "socials": [],
    "status": "active",
    "details_submitted_at": _CREATED_AT,
    "onboarding_resubmission_requested_at": None,
    "sso_enforced": False,
    "default_presentment_currency": "usd",
    "default_tax_behavior": "location",
    "feature_settings": {},
    "subscription_settings": {
        "allow_multiple_subscriptions": False,
        "proration_behavior": "prorate",
        "benefit_revocation_grace_period": 0,
        "prevent_trial_abuse": False,
        "allow_customer_updates": True,
    },
    "customer_email_settings": dict.fromkeys(
        (
            "order_confirmation",
            "payment_method_expiration_reminder",
            "subscription_cancellation",
            "subscription_confirmation",
            "subscription_cycled",
            "subscription_cycled_after_trial",
            "subscription_past_due",
            "subscription_paused",
            "subscription_resumed",
            "subscription_renewal_reminder",
            "subscription_revoked",
            "subscription_trial_conversion_reminder",
            "subscription_uncanceled",
            "subscription_updated",
        ),
        True,
    ),
    "customer_portal_settings": {
        "usage": {"show": True},
        "subscription": {"update_seats": True, "update_plan": True},
    },
    "dispute_settings": {"auto_accept_below_amount": None},
    "embed_hosts": [],
    "country": None,
    "account_id": None,
    "payout_account_id": None,
    "capabilities": {
        "checkout_payments": True,
        "subscription_renewals": True,
        "payouts": True,
        "refunds": True,
        "api_access": True,
        "dashboard_access": True,
    },
}


async def list_organizations(request: Request) -> Response:
    """Answer with the one organization, unless another slug is asked for."""
    slug = request.query_params.get("slug")
    return queries.page(request, [ORGANIZATION] if slug in {None, ORGANIZATION["slug"]} else [], dict)


async def get_organization(request: Request) -> Response:
    """Answer with the organization."""
    return JSONResponse(ORGANIZATION) if request.path_params["id"] == ORGANIZATION_ID else answers.not_found()
