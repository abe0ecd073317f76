"""One module for each subject; `vedette.cli.COMMANDS` says which."""
