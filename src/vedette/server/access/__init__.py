"""Tenants, their users, passwords and sessions: who may ask at all."""
