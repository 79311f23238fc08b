"""``python -m tests.benchmarks``: the table of :mod:`tests.benchmarks.throughput`."""

from tests.benchmarks.throughput import main

if __name__ == "__main__":
    main()
