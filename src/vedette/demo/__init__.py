"""Shows the main job with the real programs: it starts them, and nothing of it is simulated but the log lines."""
