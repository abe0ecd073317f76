"""Runs on the device: watches, decides, keeps what it owes the server, sends."""
