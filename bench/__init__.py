"""Speed and memory, measured on the real programs; `make bench` writes RESULTS.md. Never asserted in a test."""
