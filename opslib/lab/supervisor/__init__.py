"""The supervisor: starts the lab's processes, watches them, restarts what crashes, ends them with itself."""
