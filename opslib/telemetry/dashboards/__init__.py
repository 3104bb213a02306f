"""Dashboards and collector configurations that show, in users' own systems, what the investigations ask of them."""
