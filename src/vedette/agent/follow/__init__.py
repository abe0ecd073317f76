"""Line sources: files that grow, rotate and vanish, and commands that print."""
