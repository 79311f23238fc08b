"""Files read when they are needed: the same pixels as read at once, and no stop at a bad one."""

import errno
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from geoexplorer.image_files import ImageFiles
from geoexplorer.images import ImageSet, load_images
from geoexplorer.jobs import Cancelled, cancellable


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three classes of four photographs each: noise of different sizes, colour, grey, JPEG."""
    root = tmp_path_factory.mktemp("photographs") / "val"
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "fox"):
        (root / name).mkdir(parents=True)
        for index, ending in enumerate(("png", "jpg", "bmp", "png")):
            height, width = rng.integers(20, 60, 2)
            shape = (height, width) if index == 3 else (height, width, 3)
            pixels = rng.integers(0, 256, shape).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.{ending}")
    return root


@pytest.fixture
def damaged(tmp_path):
    """One file that is well, and one for each way of not being so."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for name in ("a_well.png", "c_cut.png", "d_cut.jpg"):
        Image.fromarray(pixels).save(tmp_path / name)
    for name in ("c_cut.png", "d_cut.jpg"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b_text.png").write_text("not an image")
    (tmp_path / "e_empty.png").touch()
    (tmp_path / "f_folder.png").mkdir()
    names = ["a_well.png", "b_text.png", "c_cut.png", "d_cut.jpg", "e_empty.png", "f_folder.png"]
    return [tmp_path / name for name in (*names, "g_missing.png")]


class TestReading:
    @pytest.mark.parametrize("size", [16, (24, 10), 70])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_as_if_loaded_at_once(self, folder, size, channels):
        files = ImageFiles.in_folder(folder, size=size, channels=channels)
        loaded = load_images(folder, size=size, channels=channels)
        images, reasons = files.read(slice(None))
        assert torch.equal(images, loaded.images)
        assert images.dtype == torch.float32
        assert not reasons
        assert torch.equal(files.labels, loaded.labels)
        assert (files.class_names, files.name) == (loaded.class_names, loaded.name)
        assert files.shape == loaded.shape == tuple(images.shape[1:])
        assert len(files) == 12

    @pytest.mark.parametrize(
        "options", [{"n": 5}, {"n": 5, "seed": 3}, {"class_names": ["fox", "owl", "dog", "cat"]}]
    )
    def test_the_same_choice_and_labels(self, folder, options):
        files = ImageFiles.in_folder(folder.parent, split="val", size=16, **options)
        loaded = load_images(folder.parent, split="val", size=16, **options)
        assert torch.equal(files.read(slice(None))[0], loaded.images)
        assert torch.equal(files.labels, loaded.labels)
        assert files.class_names == loaded.class_names

    def test_a_folder_without_classes(self, folder):
        files = ImageFiles.in_folder(folder / "cat", size=16)
        assert files.labels is None
        assert files.class_names == load_images(folder / "cat", size=16).class_names
        assert repr(files) == "ImageFiles('cat': 4 files read as 3x16x16, no labels)"

    def test_224_in_colour_unless_told(self, folder):
        assert ImageFiles.in_folder(folder).shape == (3, 224, 224)

    def test_some_in_the_order_asked_for(self, folder):
        files = ImageFiles.in_folder(folder, size=16)
        every, _ = files.read(torch.arange(12))
        assert torch.equal(files.read([7, 2, 7])[0], every[[7, 2, 7]])
        assert torch.equal(files.read(-1)[0], every[-1:])
        assert torch.equal(files.read(np.arange(12) % 3 == 0)[0], every[::3])

    def test_what_cannot_be_read_is_told_and_left_out(self, damaged):
        files = ImageFiles(damaged, size=16)
        images, reasons = files.read([6, 0, -2, 0, 4, 3, 2, 1])
        assert torch.equal(images, load_images(damaged[:1], size=16).images.repeat(2, 1, 1, 1))
        assert sorted(reasons) == [1, 2, 3, 4, 5, 6]
        for index, sentence in reasons.items():
            assert sentence.startswith(f"{damaged[index].name} could not be read: ")
            assert str(damaged[0].parent) not in sentence
            assert "\n" not in sentence
        assert reasons[6].endswith("there is no such file")
        assert "truncated" in reasons[3]

    def test_without_permission(self, damaged, monkeypatch):
        def refused(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(Image, "open", refused)  # root would be let in
        _, reasons = ImageFiles(damaged[:1]).read(0)
        assert reasons == {0: "a_well.png could not be read: Permission denied"}

    def test_none_that_can_be_read(self, damaged):
        images, reasons = ImageFiles(damaged, size=16).read([1, 6])
        assert images.shape == (0, 3, 16, 16)
        assert len(reasons) == 2

    @pytest.mark.parametrize(("index", "error"), [(12, IndexError), ([12], IndexError)])
    def test_out_of_range(self, folder, index, error):
        with pytest.raises(error):
            ImageFiles.in_folder(folder).read(index)

    def test_none_asked_for(self, folder):
        with pytest.raises(ValueError, match="chooses no image"):
            ImageFiles.in_folder(folder).read(slice(3, 3))

    def test_reading_can_be_cancelled(self, folder):
        event = threading.Event()
        event.set()
        with cancellable(event), pytest.raises(Cancelled):
            ImageFiles.in_folder(folder).read([0])


class TestIndexing:
    @pytest.mark.parametrize(
        "index", [3, -1, slice(2, 9, 3), [4, 4, 0], torch.arange(12) > 6, np.array([1, 0])]
    )
    def test_a_part_is_of_the_same_kind(self, folder, index):
        files = ImageFiles.in_folder(folder, size=16)
        part = files[index]
        assert isinstance(part, ImageFiles)
        assert torch.equal(part.read(slice(None))[0], files.read(index)[0])
        assert torch.equal(part.labels, load_images(folder, size=16)[index].labels)
        assert part.class_names == files.class_names
        assert part.name == files.name


class TestIdentity:
    def test_equal_where_all_is_equal(self, folder):
        files = ImageFiles.in_folder(folder)
        assert files == ImageFiles.in_folder(folder)
        assert hash(files) == hash(ImageFiles.in_folder(folder))
        assert files[2:] != files
        assert files != ImageFiles.in_folder(folder, size=16)
        assert files != ImageFiles(files.paths)
        assert files != 1

    def test_relative_paths_are_those_of_where_they_were_given(self, folder, monkeypatch):
        monkeypatch.chdir(folder)
        files = ImageFiles(["cat/0.png"])
        monkeypatch.chdir(folder.parent)
        assert files.paths == (folder / "cat" / "0.png",)
        assert not files.read(0)[1]

    def test_a_copy_elsewhere_has_the_same_fingerprint(self, folder, tmp_path):
        before = ImageFiles.in_folder(folder)
        copied = ImageFiles.in_folder(shutil.copytree(folder, tmp_path / "elsewhere"))
        for path in copied.paths:
            os.utime(path, (1, 1))
        assert copied.fingerprint == before.fingerprint
        assert copied[3:5].fingerprint == before[3:5].fingerprint

    def test_the_fingerprint_sees_files_lengths_labels_and_options(self, folder, tmp_path):
        root = shutil.copytree(folder, tmp_path / "val")
        files = ImageFiles.in_folder(root)
        prints = {files.fingerprint, files[1:].fingerprint, files[::1].fingerprint}
        assert len(prints) == 2
        prints |= {
            files[list(range(11, -1, -1))].fingerprint,
            ImageFiles.in_folder(root, size=16).fingerprint,
            ImageFiles.in_folder(root, channels=1).fingerprint,
            ImageFiles(files.paths).fingerprint,
        }
        assert len(prints) == 6
        with open(root / "cat" / "0.png", "ab") as file:
            file.write(b"x")
        prints.add(ImageFiles.in_folder(root).fingerprint)
        (root / "cat" / "0.png").unlink()
        prints.add(ImageFiles(files.paths, files.labels).fingerprint)
        assert len(prints) == 8

    def test_sent_to_another_process(self, folder):
        files = ImageFiles.in_folder(folder, size=16, n=7)
        again = pickle.loads(pickle.dumps(files))  # noqa: S301
        assert again == files
        assert again.fingerprint == files.fingerprint
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            images, reasons = pool.apply(files.read, ([5, 1],))
        assert torch.equal(images, files.read([5, 1])[0])
        assert not reasons


class TestImageSet:
    """Images in memory are read the same way."""

    def test_reading(self):
        images = ImageSet(torch.rand(5, 1, 4, 6), [0, 1, 2, 1, 0])
        pixels, reasons = images.read([4, 0])
        assert torch.equal(pixels, images.images[[4, 0]])
        assert reasons == {}
        assert images.shape == (1, 4, 6)
        with pytest.raises(ValueError, match="chooses no image"):
            images.read([False] * 5)

    def test_the_fingerprint_sees_pixels_labels_and_shape(self):
        pixels = torch.rand(5, 1, 4, 6)
        given = [
            (pixels, [0, 1, 2, 1, 0]),
            (pixels, [0, 1, 2, 1, 1]),
            (pixels, None),
            (pixels.flip(0), [0, 1, 2, 1, 0]),
            (pixels.reshape(5, 1, 6, 4), [0, 1, 2, 1, 0]),
        ]
        prints = [ImageSet(*parts).fingerprint for parts in given]
        assert len(set(prints)) == len(prints)
        assert ImageSet(pixels.clone(), [0, 1, 2, 1, 0], name="other").fingerprint == prints[0]
        strided = pixels.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
        assert ImageSet(strided, [0, 1, 2, 1, 0]).fingerprint == prints[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("a.png",), TypeError, r"paths must be a list of files, got 'a.png'.*in_folder"),
        ((3,), TypeError, "paths must be a list of files, got 3"),
        (([1],), TypeError, "got one of int"),
        (([],), ValueError, "at least one file"),
        ((["a.png"], [0, 1]), ValueError, r"labels must have the shape \(1,\)"),
        ((["a.png"], [3], ["a"]), ValueError, "labels go up to 3, got 1 names"),
        ((["a.png"], None, (), None), ValueError, "size must be .* got None"),
        ((["a.png"], None, (), 0), ValueError, "size must be .* got 0"),
        ((["a.png"], None, (), 8, 4), ValueError, "channels must be 1 or 3, got 4"),
        ((["a.png"], None, (), 8, 3, 5), TypeError, "name must be a str, got int"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ImageFiles(*arguments)


def test_bad_folders(folder, tmp_path):
    with pytest.raises(ValueError, match=r"folder must be a folder .* none at .*nowhere"):
        ImageFiles.in_folder(tmp_path, split="nowhere")
    with pytest.raises(ValueError, match=r"folder: .* neither image files nor subfolders"):
        ImageFiles.in_folder(tmp_path)
    with pytest.raises(ValueError, match="n must be an int from 1 to 12"):
        ImageFiles.in_folder(folder, n=13)
    with pytest.raises(ValueError, match="missing are 'fox'"):
        ImageFiles.in_folder(folder, class_names=["cat", "dog"])


def test_a_worker_that_reads_needs_no_torchvision(folder):
    code = (
        "import sys, pickle; files = pickle.loads(sys.stdin.buffer.read()); files.read([0]);"
        "assert 'torchvision' not in sys.modules"
    )
    sent = pickle.dumps(ImageFiles.in_folder(folder, size=8))
    subprocess.run([sys.executable, "-c", code], input=sent, check=True)
