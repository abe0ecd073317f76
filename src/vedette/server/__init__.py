"""The management server: takes alerts in, decides who may see them, shows and mails them."""
