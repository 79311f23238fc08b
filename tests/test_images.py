import sys

import numpy as np
import pytest
import torch
from PIL import Image

from geoexplorer.images import ImageSet, load_images


@pytest.fixture
def five():
    images = torch.linspace(0, 1, 5 * 12).reshape(5, 3, 2, 2)
    return ImageSet(images, [0, 1, 2, 1, 0], class_names=("a", "b", "c"), name="five")


def write(path, height, width, colour=(255, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), colour).save(path)
    return path


@pytest.fixture
def class_folders(tmp_path):
    for number, name in enumerate(["cat", "dog", "fox"]):
        for index in range(3):
            write(tmp_path / "set" / name / f"{index}.png", 8, 10, (number * 100, index * 100, 0))
    return tmp_path / "set"


class TestImageSet:
    def test_one_line_for_arrays_and_tensors(self):
        x, y = np.random.default_rng(0).random((4, 1, 3, 5)), np.array([3, 0, 1, 3])
        for images in (ImageSet(x, y), ImageSet(torch.tensor(x), torch.tensor(y))):
            assert images.images.dtype == torch.float32
            assert images.labels.dtype == torch.int64
            assert images.class_names == ("0", "1", "2", "3")
            np.testing.assert_allclose(images.images, x, rtol=1e-6)

    def test_8_bit_pixels_are_scaled(self):
        x = np.array([0, 51, 255, 102], dtype=np.uint8).reshape(1, 1, 2, 2)
        expected = torch.tensor([0, 0.2, 1, 0.4]).reshape(1, 1, 2, 2)
        torch.testing.assert_close(ImageSet(x).images, expected)
        torch.testing.assert_close(ImageSet(torch.tensor(x)).images, expected)

    def test_the_callers_array_is_copied(self):
        x = np.zeros((1, 1, 2, 2), dtype=np.float32)
        images = ImageSet(x)
        x += 1
        assert images.images.sum() == 0

    def test_one_image_is_a_set_of_one(self):
        assert ImageSet(torch.zeros(3, 4, 5)).images.shape == (1, 3, 4, 5)

    def test_a_perturbed_image_is_accepted(self):
        assert ImageSet(torch.tensor([-0.2, 1.3]).reshape(1, 1, 1, 2)).images.max() > 1.2

    def test_without_labels(self):
        images = ImageSet(torch.zeros(2, 1, 2, 2))
        assert images.labels is None
        assert images.class_names == ()
        assert images[0].labels is None

    @pytest.mark.parametrize(
        ("index", "positions"),
        [
            (1, [1]),
            (-1, [4]),
            (np.int64(2), [2]),
            (slice(1, 4), [1, 2, 3]),
            ([3, 0], [3, 0]),
            (torch.tensor([4, 4]), [4, 4]),
            (np.array([True, False, False, True, False]), [0, 3]),
            (torch.tensor([False, True, False, False, False]), [1]),
        ],
    )
    def test_indexing(self, five, index, positions):
        part = five[index]
        assert torch.equal(part.images, five.images[positions])
        assert torch.equal(part.labels, five.labels[positions])
        assert (part.class_names, part.name) == (five.class_names, five.name)

    def test_iterating_gives_sets_of_one(self, five):
        assert [len(image) for image in five] == [1] * 5

    def test_index_out_of_range(self, five):
        with pytest.raises(IndexError, match="index 5 is out of range for 5 images"):
            five[5]
        with pytest.raises(ValueError, match="chooses no image"):
            five[3:3]

    def test_of_class(self, five):
        assert torch.equal(five.of_class("b").images, five.images[[1, 3]])
        assert torch.equal(five.of_class(1).images, five.of_class("b").images)

    def test_of_class_without_any(self, five):
        with pytest.raises(ValueError, match=r"which must be one of 'a', 'b', 'c'.* got 'd'"):
            five.of_class("d")
        with pytest.raises(ValueError, match="no image of that class"):
            five[[0, 1]].of_class("c")
        with pytest.raises(ValueError, match="no labels"):
            ImageSet(five.images).of_class(0)

    def test_with_image(self, five):
        longer = five.with_image(torch.ones(3, 2, 2))
        assert len(longer) == 6
        assert longer.labels.tolist() == [0, 1, 2, 1, 0, -1]
        assert longer.images[-1].min() == 1
        assert len(five) == 5
        assert five.with_image(torch.ones(2, 3, 2, 2), label="c").labels.tolist()[-2:] == [2, 2]
        assert ImageSet(five.images).with_image(torch.ones(3, 2, 2)).labels is None

    def test_with_image_that_does_not_fit(self, five):
        with pytest.raises(ValueError, match=r"\(3, 2, 2\) of the others, got \(1, 2, 2\)"):
            five.with_image(torch.ones(1, 2, 2))
        with pytest.raises(ValueError, match="label must be one of"):
            five.with_image(torch.ones(3, 2, 2), label="d")

    @pytest.mark.parametrize(
        ("images", "error", "message"),
        [
            (
                [[0.5]],
                TypeError,
                r"images must be a tensor or numpy array \(n, C, H, W\), got list",
            ),
            (None, TypeError, "got NoneType"),
            (np.zeros((2, 3, 4, 4), dtype=int), TypeError, "floating point or uint8, got .*int64"),
            (np.array([["a"]]), TypeError, "floating point or uint8"),
            (torch.zeros(2, 3, 4, 4, dtype=torch.bool), TypeError, "uint8, got torch.bool"),
            (np.zeros((2, 32, 32, 3), dtype=np.uint8), ValueError, "channels last.*transpose"),
            (torch.zeros(2, 32, 32, 1), ValueError, r"got \(2, 32, 32, 1\).*channels last"),
            (np.zeros((50, 28, 28)), ValueError, r"\(50, 28, 28\); grey images .* x\[:, None\]"),
            (np.zeros((5, 5)), ValueError, r"shape \(n, C, H, W\), got \(5, 5\)"),
            (torch.zeros(0, 3, 4, 4), ValueError, "must not be empty"),
            (np.full((1, 1, 2, 2), 200.0), ValueError, r"\[0, 1\], got values .* 200; divide"),
            (np.full((1, 1, 2, 2), -2.1), ValueError, "look normalised.*mean and std to Class"),
            (np.full((1, 1, 2, 2), np.nan), ValueError, "NaN"),
            (np.full((1, 1, 2, 2), np.inf), ValueError, "infinity"),
        ],
    )
    def test_bad_images(self, images, error, message):
        with pytest.raises(error, match=message):
            ImageSet(images)

    @pytest.mark.parametrize(
        ("labels", "error", "message"),
        [
            ([0, 1, 2], ValueError, r"shape \(4,\), one an image, got \(3,\)"),
            (np.eye(4), ValueError, r"\(4, 4\); labels.argmax\(1\)"),
            ([0.0, 1.0, 2.0, 3.0], TypeError, "integers, got torch.float64"),
            (["a", "b", "c", "d"], TypeError, "integers, got <U1; names go into class_names"),
            ([True, False, True, False], TypeError, "integers, got torch.bool"),
            ([0, 1, 2, -5], ValueError, "-1 for unknown, got -5"),
        ],
    )
    def test_bad_labels(self, labels, error, message):
        with pytest.raises(error, match=message):
            ImageSet(torch.zeros(4, 1, 2, 2), labels)

    def test_bad_names(self):
        x = torch.zeros(2, 1, 2, 2)
        with pytest.raises(ValueError, match="labels go up to 2, got 2 names"):
            ImageSet(x, [0, 2], class_names=["a", "b"])
        with pytest.raises(TypeError, match="class_names must be a list of str, got str"):
            ImageSet(x, [0, 1], class_names="ab")
        with pytest.raises(TypeError, match="one of int"):
            ImageSet(x, [0, 1], class_names=[0, 1])
        with pytest.raises(TypeError, match="name must be a str, got int"):
            ImageSet(x, name=3)


class TestDigits:
    def test_splits(self):
        train, test = load_images("digits", split="train"), load_images("digits")
        assert (len(train), len(test)) == (1297, 500)
        assert test.images.shape == (500, 1, 8, 8)
        assert test.images.max() == 1
        assert len(set(test.class_names)) == 10
        assert torch.bincount(test.labels).min() >= 48

    def test_together_they_are_scikit_learns(self):
        from sklearn.datasets import load_digits

        both = torch.cat([load_images("digits", split=s).images for s in ("train", "test")])
        theirs = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
        assert sorted(map(tuple, both.flatten(1).tolist())) == sorted(
            map(tuple, theirs.flatten(1).tolist())
        )

    def test_the_split_does_not_depend_on_the_seed(self):
        assert torch.equal(load_images("digits", seed=5).images, load_images("digits").images)


class TestShapes:
    def test_a_seed_is_one_set(self):
        from geoexplorer.shapes import draw_shapes

        first = draw_shapes("test", 0)
        draw_shapes.cache_clear()
        second = draw_shapes("test", 0)
        assert first[0] is not second[0]
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])

    def test_another_seed_is_another_set(self):
        images, others = load_images("shapes"), load_images("shapes", seed=1)
        same = (images.images == others.images).flatten(1).all(1)
        assert not same.any()

    def test_what_it_holds(self):
        images = load_images("shapes")
        assert images.images.shape == (2000, 3, 32, 32)
        assert torch.bincount(images.labels).tolist() == [200] * 10
        levels = images.images * 255
        assert (levels - levels.round()).abs().max() < 1e-4
        assert images.class_names[0] == "disc"


class TestNamedSets:
    def test_n_images(self):
        some = load_images("digits", n=50, seed=3)
        assert len(some) == 50
        assert torch.equal(some.images, load_images("digits", n=50, seed=3).images)
        assert not torch.equal(some.images, load_images("digits", n=50, seed=4).images)

    def test_size_and_channels(self):
        images = load_images("digits", n=3, size=(16, 12), channels=3).images
        assert images.shape == (3, 3, 16, 12)
        assert torch.equal(images[:, 0], images[:, 2])

    def test_cifar10(self, tmp_path, monkeypatch):
        cifar10_on_disk(tmp_path, monkeypatch)
        images = load_images("cifar10", root=tmp_path)
        assert images.images.shape == (4, 3, 32, 32)
        assert images.labels.tolist() == [6, 1, 0, 9]
        assert images.class_names[6] == "frog"
        # Files hold one row an image: 1,024 red values, then green, then blue.
        assert images.images[0, :, 0, 0].tolist() == pytest.approx([10 / 255, 20 / 255, 30 / 255])
        assert images.images[0, 0, 0, 1] == pytest.approx(11 / 255)
        assert len(load_images("cifar10", root=tmp_path, split="train")) == 20

    def test_cifar10_that_is_not_there(self, tmp_path):
        with pytest.raises(ValueError, match=r"could not be loaded from root=.*download=True"):
            load_images("cifar10", root=tmp_path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"split": "val"}, "split must be 'train' or 'test', got 'val'"),
            ({"n": 0}, "n must be an int from 1 to 500, .* got 0"),
            ({"n": 501}, "from 1 to 500"),
            ({"n": 2.5}, "got 2.5"),
            ({"size": 0}, r"size must be a positive int or \(height, width\), got 0"),
            ({"size": (3, 4, 5)}, "size must be"),
            ({"channels": 2}, "channels must be 1, 3 or None, got 2"),
            ({"class_names": ["zero"]}, "class_names must name all classes"),
        ],
    )
    def test_bad_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            load_images("digits", **options)

    def test_unknown_name(self):
        with pytest.raises(
            ValueError, match=r"'digits', 'shapes', 'cifar10'.*did you mean 'digits"
        ):
            load_images("digit")


class TestFiles:
    def test_class_folders(self, class_folders):
        images = load_images(class_folders)
        assert images.images.shape == (9, 3, 8, 10)
        assert images.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert images.class_names == ("cat", "dog", "fox")
        assert images.images[5, :, 0, 0].tolist() == pytest.approx([100 / 255, 200 / 255, 0])
        assert images.name == "set"

    def test_subfolder_as_split(self, class_folders):
        assert len(load_images(class_folders.parent, split="set")) == 9

    def test_labels_in_a_networks_order(self, class_folders):
        names = ["fox", "owl", "dog", "cat"]
        images = load_images(class_folders, class_names=names)
        assert images.labels.tolist() == [3, 3, 3, 2, 2, 2, 0, 0, 0]
        assert images.class_names == tuple(names)
        with pytest.raises(ValueError, match="missing are 'fox'"):
            load_images(class_folders, class_names=["cat", "dog"])

    def test_n_of_a_folder(self, class_folders):
        some, all_of_them = load_images(class_folders, n=4), load_images(class_folders)
        for image, label in zip(some.images, some.labels, strict=True):
            where = (all_of_them.images == image).flatten(1).all(1).nonzero().item()
            assert all_of_them.labels[where] == label

    def test_plain_folder_file_and_list(self, tmp_path):
        paths = [write(tmp_path / f"{i}.png", 4, 6, (i, 0, 0)) for i in range(3)]
        (tmp_path / "notes.txt").write_text("not an image")
        folder, files = load_images(tmp_path), load_images([str(p) for p in reversed(paths)])
        assert folder.labels is None
        assert folder.images.shape == (3, 3, 4, 6)
        assert torch.equal(files.images, folder.images.flip(0))
        assert torch.equal(load_images(paths[1]).images, folder.images[1:2])

    def test_sixteen_bits_are_scaled_and_not_clipped(self, tmp_path):
        ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
        Image.fromarray(ramp).save(tmp_path / "ramp.png")
        images = load_images(tmp_path / "ramp.png", channels=1).images
        assert np.allclose(images[0, 0].numpy(), ramp / 65535, atol=1 / 255)

    def test_grey_file_for_a_grey_network(self, tmp_path):
        path = write(tmp_path / "a.png", 20, 30, (0, 255, 0))
        image = load_images(path, size=8, channels=1).images
        assert image.shape == (1, 1, 8, 8)
        torch.testing.assert_close(image, torch.full_like(image, 0.587), atol=3e-3, rtol=0)

    def test_the_middle_is_cut_out(self, tmp_path):
        pixels = np.zeros((10, 30, 3), dtype=np.uint8)
        pixels[:, 10:20] = 255
        Image.fromarray(pixels).save(tmp_path / "a.png")
        assert load_images(tmp_path / "a.png", size=10).images.min() == 1

    def test_unequal_sizes_need_size(self, tmp_path):
        write(tmp_path / "a.png", 8, 10)
        write(tmp_path / "b.png", 9, 10)
        with pytest.raises(
            ValueError, match=r"unless size is given, got a.png 8x10 and b.png 9x10"
        ):
            load_images(tmp_path)
        assert load_images(tmp_path, size=6).images.shape == (2, 3, 6, 6)

    def test_what_is_not_an_image(self, tmp_path):
        (tmp_path / "a.png").write_text("not an image")
        with pytest.raises(ValueError, match=r"a.png could not be read as an image"):
            load_images(tmp_path / "a.png")

    def test_empty_folders(self, tmp_path):
        with pytest.raises(ValueError, match="neither image files nor subfolders"):
            load_images(tmp_path)
        (tmp_path / "cat").mkdir()
        with pytest.raises(ValueError, match="has no image file"):
            load_images(tmp_path)


class TestArrays:
    def test_array_and_pair(self):
        x, y = np.random.default_rng(0).random((6, 3, 4, 4)), [0, 1, 2, 0, 1, 2]
        assert load_images(x).labels is None
        pair = load_images((x, y), class_names=["a", "b", "c"], n=3)
        assert len(pair) == 3
        assert pair.class_names == ("a", "b", "c")

    def test_something_else(self):
        with pytest.raises(TypeError, match="got int"):
            load_images(3)


def test_names_are_loaded_late():
    """Images of one's own need neither scikit-learn nor torchvision."""
    import subprocess

    code = (
        "import sys, numpy as np; from geoexplorer.images import load_images; "
        "load_images(np.zeros((1, 1, 2, 2))); load_images('shapes'); "
        "print([m for m in ('sklearn', 'torchvision', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def cifar10_on_disk(root, monkeypatch):
    """Write a tiny CIFAR-10 in the original's file format."""
    import hashlib
    import pickle

    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    folder.mkdir()

    def put(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(labels):
        data = np.zeros((len(labels), 3, 1024), dtype=np.uint8)
        data[0, :, 0] = 10, 20, 30
        data[0, 0, 1] = 11
        return {"data": data.reshape(len(labels), -1), "labels": labels}

    names = ["airplane", "automobile", "bird", "cat", "deer"]
    names += ["dog", "frog", "horse", "ship", "truck"]
    trains = [put(f"data_batch_{i}", batch([0, 1, 2, 3])) for i in range(1, 6)]
    meta = put("batches.meta", {"label_names": names})
    monkeypatch.setattr(CIFAR10, "train_list", trains)
    monkeypatch.setattr(CIFAR10, "test_list", [put("test_batch", batch([6, 1, 0, 9]))])
    monkeypatch.setattr(
        CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    )


@pytest.mark.parametrize("source", ["digits", "shapes"])
def test_one_image_of_a_named_set(source):
    images = load_images(source, n=1)
    assert len(images) == len(images.labels) == 1
