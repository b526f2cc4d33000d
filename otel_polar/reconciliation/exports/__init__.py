"""Usage and costs as providers export them: recognised by their columns, never guessed.

========================================== ======== ============================================================
what                                       units    source
========================================== ======== ============================================================
OpenAI's usage (``openai.py``)             tokens   ``GET /v1/organization/usage/completions``, or the dashboard's CSV
OpenAI's costs (``openai.py``)             dollars  ``GET /v1/organization/costs``, or the dashboard's CSV
Anthropic's usage (``anthropic.py``)       tokens   ``GET /v1/organizations/usage_report/messages``, the console's CSV
Anthropic's costs (``anthropic.py``)       cents in JSON, dollars in CSV: ``/v1/organizations/cost_report``, the console
========================================== ======== ============================================================

Every column belongs to a form, or is refused if it may hold usage: a new kind of token must not be passed over.
"""
