"""Log, trace, metric and change queries: one protocol each, one module per backend."""
