"""``python -m partita`` is the command line."""

from partita.cli import main

if __name__ == "__main__":
    main()
