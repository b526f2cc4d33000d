"""What your sign-up does, once a new user has confirmed their email: a customer on Polar, before their first call.

Needs POLAR_ACCESS_TOKEN with the scopes ``customers:read`` and ``customers:write``; POLAR_SERVER is ``sandbox`` or
``production``, and POLAR_BASE_URL may name a local Polar. Prints the user, what was done and Polar's id; run it again,
and the customer is there already.
"""

import sys

from otel_polar import OtelPolarError, ensure_customer


def sign_up(user_id: str, email: str, name: str) -> None:
    """A part of what yours does."""
    try:
        customer = ensure_customer(user_id, email=email, name=name)  # the id you give bill_to
    except OtelPolarError as error:
        # Nobody is turned away for that: `otel-polar customers sync` makes up for it at night.
        print(f"no customer yet: {error}", file=sys.stderr)
    else:
        print(user_id, customer.how, customer.id)


sign_up("user_42", "alice@example.com", "Alice")
