"""The stores of an OpenClaw gateway: where they are, and how to read them without changing anything."""
