"""List prices from genai-prices, made safe to bill by.

::

    provider's name, host called ─▶ hosts.py  ─▶ whose list
    model's name                 ─▶ names.py, matching.py ─▶ which entry, and whether that is certain
    time, service tier           ─▶ tables.py ─▶ its rates, bucket by bucket
    what is known to be wrong    ─▶ doubts.py
    a newer list                 ─▶ changes.py ─▶ which entries moved too far to be believed

Five habits of genai-prices are kept out here. Its provider look-up also matches fragments, so that
``my-openai-compatible-server`` would be billed at OpenAI's list price; its model look-up does, so that
``gemini-1.5-flash-8b`` would cost as much as ``gemini-1.5-flash``. A model that is listed without a price costs 0
there, and an unknown service tier the standard price. Its process-wide price list can be swapped by another library
(logfire, pydantic-ai), and its caches grow with every name a span can hold.

Source: genai-prices 0.2.3, ``DataSnapshot``, ``ModelInfo.get_prices``, ``ModelPrice.calc_price``; OpenTelemetry
``gen_ai.provider.name`` values.
"""
