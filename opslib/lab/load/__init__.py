"""The load: requests at a constant rate, sent when they are due, whether or not earlier ones are answered."""
