"""Devices: how they prove who they are, what they say of themselves, which of them a user sees."""
