"""What every room stands on: errors, the data model, columns, windows, settings, the run folder.

Imports nothing of opslib but itself, and no network, database or drawing library.
"""
