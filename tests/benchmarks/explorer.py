"""How soon the Explorer shows something, and how soon it stops.

``python -m tests.benchmarks.explorer`` opens the Explorer in this process, without a browser,
and chooses one image after the other. Columns: median and largest milliseconds from a choice
to the first map and to the final one; the same from Cancel, pressed at a random moment of the
work, until nothing runs any more; and how many maps a second are shown while another image is
chosen every 20 ms. At the end, the largest memory that the process had.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import time

import torch

import geoexplorer as gx
from geoexplorer.widgets import Explorer

_CHOOSING_SECONDS, _CHOOSING_IMAGES = 3.0, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=gx.list_classifiers(torchvision=False))
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| network | first map | final map | Cancel | maps/s |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for network in arguments.networks:
        explorer = Explorer(network=network, device=arguments.device)
        explorer.wait()
        maps = [choose(explorer, index) for index in range(arguments.images)]
        stops = [cancel(explorer, index, maps) for index in range(arguments.images)]
        columns = [[each["first_paint"] for each in maps], [each["final"] for each in maps], stops]
        print(f"| {network} | " + " | ".join(map(summary, columns)), end=" | ")
        print(f"{shown_a_second(explorer):.1f} |", flush=True)
        explorer.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{arguments.threads} threads; largest memory {peak:.0f} MiB")


def choose(explorer: Explorer, index: int) -> dict[str, float]:
    """Milliseconds from choosing an image to its first and to its final map."""
    explorer.selection.image = index
    explorer.wait()
    if explorer.errors.last is not None:
        raise explorer.errors.last
    return dict(explorer.timings)


def cancel(explorer: Explorer, index: int, maps: list[dict[str, float]]) -> float:
    """Milliseconds that an interrupted choice of another image goes on for."""
    usual = statistics.median(each["final"] for each in maps) / 1000
    # Another tangent, so that nothing that was kept is shown again.
    explorer.panel.choice.up = {"kind": "random tangent", "seed": index + 1}
    time.sleep(random.Random(index).uniform(0.0, 0.8 * usual))
    started = time.perf_counter()
    explorer.worker.cancel()
    explorer.wait()
    return 1000 * (time.perf_counter() - started)


def shown_a_second(explorer: Explorer) -> float:
    """Maps that are shown in a second of choosing one image after the other, every 20 ms."""
    explorer.panel.choice.up = {"kind": "random tangent", "seed": 0}
    explorer.wait()
    shown = 0
    last = explorer.panel.shown
    end = time.perf_counter() + _CHOOSING_SECONDS
    while time.perf_counter() < end:
        explorer.selection.image = (explorer.selection.image + 1) % _CHOOSING_IMAGES
        time.sleep(0.02)
        if explorer.panel.shown is not last:
            shown, last = shown + 1, explorer.panel.shown
    explorer.wait()
    return shown / _CHOOSING_SECONDS


def summary(values: list[float]) -> str:
    """Median and largest of some milliseconds."""
    return f"{statistics.median(values):.0f} ({max(values):.0f}) ms"


if __name__ == "__main__":
    main()
