"""The lab's OTLP/HTTP collector: decodes what services send and writes it into a capture."""
