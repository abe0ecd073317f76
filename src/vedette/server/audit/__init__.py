"""What was changed in a tenant, by whom and when: written in the transaction of the change itself."""
