"""Deployments: what is to be brought onto devices, how they fetch it, and what becomes of it."""
