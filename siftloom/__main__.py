"""`python -m siftloom`: the command line, also in a bare checkout."""

from siftloom.cli.main import main

if __name__ == "__main__":
    main()
