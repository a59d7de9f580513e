"""What an OpenClaw gateway keeps: its session files, read and written without ever being held as a whole."""
