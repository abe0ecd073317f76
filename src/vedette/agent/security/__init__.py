"""The security checks: one scanner a kind, run in a short-lived child; `scanner` says what one is."""
