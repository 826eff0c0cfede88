"""`python -m ussd_engine` is the `ussd` command."""

from ussd_engine.cli import main

if __name__ == "__main__":
    main()
