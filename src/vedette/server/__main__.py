"""`python -m vedette.server`: see `commands`."""

import sys

from vedette.server.commands import main

if __name__ == "__main__":
    sys.exit(main())
