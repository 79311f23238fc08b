"""A core is left to the browser, and torch is left as it was found."""

import os

import torch

from geoexplorer.widgets.threads import available_cores, sparing_a_core


def test_inside_a_core_is_spared_and_afterwards_all_is_as_before():
    before = torch.get_num_threads()
    with sparing_a_core():
        assert torch.get_num_threads() == max(1, min(before, available_cores() - 1))
    assert torch.get_num_threads() == before


def test_a_containers_quota_counts(tmp_path):
    quota = tmp_path / "cpu.max"
    quota.write_text("50000 100000\n")
    assert available_cores(quota) == 1
    quota.write_text("max 100000\n")
    unlimited = available_cores(quota)
    assert unlimited == available_cores(tmp_path / "missing") <= os.cpu_count()
