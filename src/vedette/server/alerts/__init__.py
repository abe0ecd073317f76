"""What devices report: alerts, which subjects are open, which checks are configured."""
