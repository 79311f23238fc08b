"""Results are kept under what they were made from."""

from dataclasses import replace

import pytest
import torch

from geoexplorer.classifier import Cost
from geoexplorer.geometry.noise import NoiseSensitivity
from geoexplorer.jobs import Progress
from geoexplorer.paper.store import Store, digest_of
from geoexplorer.results import Provenance


def counted(changed=1):
    return NoiseSensitivity(
        norms=torch.tensor([1.0]), changed=torch.tensor([[changed]]), tried=torch.tensor([[4]]),
        names=("whole space",), dimensions=(4,), images=4, draws=1,
    )  # fmt: skip


def test_a_digest_is_of_the_content_and_not_of_how_long_it_took():
    one = counted()
    assert digest_of(one) == digest_of(replace(one, provenance=Provenance(cost=Cost(3, 4))))
    assert digest_of(one) == digest_of(replace(one, progress=Progress(0.5, "half")))
    assert digest_of(one) != digest_of(counted(2))
    assert digest_of(torch.zeros(2, 3)) != digest_of(torch.zeros(3, 2))
    assert digest_of(("a", "b")) != digest_of(("ab",))


def test_a_result_that_is_damaged_or_gone_is_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return counted()

    for _ in range(2):
        Store(tmp_path).result("a.npz", {"seed": 0}, make)
    assert len(made) == 1
    (tmp_path / "a.npz").write_bytes(b"not a result")
    assert int(Store(tmp_path).result("a.npz", {"seed": 0}, make).changed) == 1
    (tmp_path / "a.npz").unlink()
    Store(tmp_path).result("a.npz", {"seed": 0}, make)
    Store(tmp_path).result("a.npz", {"seed": 1}, make)
    assert len(made) == 4


def test_a_damaged_record_is_as_good_as_none(tmp_path):
    (tmp_path / "made.json").write_text("[1, 2")
    assert Store(tmp_path).noted("anything") is None


def test_a_file_that_could_not_be_written_leaves_nothing(tmp_path):
    store = Store(tmp_path)

    def half(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.picture("a.svg", "digest", half)
    assert list(tmp_path.iterdir()) == []
    assert not store.is_made("a.svg", "digest")
