"""A small shop: storefront -> order -> payment -> risk, payment -> ledger; one process each, but for the ledger.

A service knows nothing of scenarios: it has knobs, numbers that a control call sets, and works by them.
"""
