"""Tests of sets.py with made-up archives of the same form as the real ones.

    python3 -m unittest scripts/photos/test_sets.py
"""

import contextlib
import csv
import io
import json
import pickle
import struct
import sys
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fetch
import sets


def jpeg(size, colour=(200, 30, 30), mode="RGB"):
    file = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(file, "JPEG")
    return file.getvalue()


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


class Rows:
    """Rows of bytes, to be pickled as Python 2 and numpy do it."""

    def __init__(self, rows):
        self.rows = rows


def opcodes(value):
    if isinstance(value, Rows):
        data = b"".join(value.rows)
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
            + opcodes(len(value.rows)) + opcodes(len(value.rows[0]) if value.rows else 3072) + b"\x86"
            + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            + opcodes(data) + b"tb"
        )
    if isinstance(value, bytes):
        return b"T" + struct.pack("<I", len(value)) + value
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes, value)) + b"e"
    return b"}(" + b"".join(opcodes(key) + opcodes(item) for key, item in value.items()) + b"u"


def python2(value):
    return b"\x80\x02" + opcodes(value) + b"."


def row(colour):
    return b"".join(bytes([part]) * 1024 for part in colour)


def cifar_10(batch=None):
    red, blue = row((255, 0, 0)), row((0, 0, 255))
    train = python2({b"labels": [0, 1, 1], b"data": Rows([red, blue, red])}) if batch is None else batch
    none = python2({b"labels": [], b"data": Rows([])})
    files = {f"data_batch_{number}": none for number in range(2, 6)}
    files |= {
        "batches.meta": python2({b"num_vis": 3072, b"label_names": [b"airplane", b"automobile"]}),
        "data_batch_1": train,
        "test_batch": python2({b"labels": [1], b"data": Rows([blue])}),
    }
    return tarred({f"cifar-10-batches-py/{name}": data for name, data in files.items()})


def cifar_100():
    grey = row((9, 9, 9))
    return tarred({
        "cifar-100-python/meta": python2({b"fine_label_names": [b"apple", b"maple_tree"], b"coarse_label_names": []}),
        "cifar-100-python/train": python2({b"fine_labels": [1, 0], b"coarse_labels": [0], b"data": Rows([grey] * 2)}),
        "cifar-100-python/test": python2({b"fine_labels": [0] * 12, b"data": Rows([grey] * 12)}),
    })


def tiny_imagenet():
    top = "tiny-imagenet-200"
    files = {
        f"{top}/wnids.txt": "n01443537\nn02124075\n",
        f"{top}/words.txt": "n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn02124075\tEgyptian cat\n",
        f"{top}/val/val_annotations.txt": "".join(
            f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n"
            for number, wnid in enumerate(["n02124075"] * 11 + ["n01443537"])
        ),
    }
    files |= {f"{top}/val/images/val_{number}.JPEG": jpeg((64, 64)) for number in range(12)}
    for wnid in ("n01443537", "n02124075"):
        # Some pictures of the set are grey.
        files |= {f"{top}/train/{wnid}/images/{wnid}_{number}.JPEG": jpeg((64, 64), mode="L") for number in range(4)}
    return zipped(files)


def caltech_101():
    folders = {"BACKGROUND_Google": 3, "Faces_easy": 3, "airplanes": 20, "cougar_body": 10, "water_lilly": 5}
    inner = {
        f"101_ObjectCategories/{folder}/image_{number:04}.jpg": jpeg((300, 200), mode="L" if number == 1 else "RGB")
        for folder, many in folders.items() for number in range(1, many + 1)
    }
    inner["101_ObjectCategories/BACKGROUND_Google/tmp"] = b"x"
    inner["101_ObjectCategories/airplanes/._image_0001.jpg"] = b"x"
    return zipped({
        "caltech-101/101_ObjectCategories.tar.gz": tarred(inner),
        "caltech-101/Annotations.tar": b"",
        "__MACOSX/caltech-101/._101_ObjectCategories.tar.gz": b"x",
    })


def clothing():
    labels = ["Pants"] * 20 + ["Top"] * 5 + ["Not sure"]
    lines = [f"id-{number},4,{label},{number == 0}" for number, label in enumerate(labels)]
    files = {"images.csv": "\n".join(["image,sender_id,label,kids", *lines])}
    files |= {f"images/id-{number}.jpg": jpeg((400, 533)) for number in range(len(labels))}
    return zipped({f"clothing-dataset-7ed86a9/{name}": data for name, data in files.items()})


def grocery():
    fine = [("Granny-Smith", 0, "Apple", 0), ("Royal-Gala", 1, "Apple", 0), ("Oatly-Oat-Milk", 2, "Oat-Milk", 1)]
    parts = {
        "train": [(0, "Fruit/Apple/Granny-Smith", 70), (1, "Fruit/Apple/Royal-Gala", 12), (2, "Packages/Oat-Milk", 3)],
        "test": [(0, "Fruit/Apple/Granny-Smith", 40), (1, "Fruit/Apple/Royal-Gala", 8), (2, "Packages/Oat-Milk", 2)],
        "val": [(0, "Fruit/Apple/Granny-Smith", 2), (2, "Packages/Oat-Milk", 1)],
    }
    head = "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str)\n"
    files = {"classes.csv": head + "".join(f"{a},{b},{c},{d},/x.jpg\n" for a, b, c, d in fine)}
    data = jpeg((348, 348))
    for part, groups in parts.items():
        lines = []
        for number, folder, many in groups:
            for picture in range(1, many + 1):
                path = f"{part}/{folder}/{fine[number][0]}_{picture:03}.jpg"
                lines.append(f"{path}, {number}, {fine[number][3]}\n")
                files[path] = data
        files[f"{part}.txt"] = "".join(lines)
    return zipped({f"GroceryStoreDataset-fc80ba9/dataset/{name}": data for name, data in files.items()})


class Sets(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.out = self.folder / "out"
        quiet = contextlib.redirect_stdout(io.StringIO())
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)

    def put(self, data):
        path = self.folder / "archive"
        path.write_bytes(data)
        return path

    def home(self, style, data, counts, **pin):
        """Let a set's home be a made-up archive."""
        path = self.put(data)
        home = {"url": path.as_uri(), "counts": counts, **(pin or {"sum": sets.sha256(path)})}
        patch = mock.patch.dict(sets.HOMES, {style: home})
        patch.start()
        self.addCleanup(patch.stop)

    def fails(self, part, call, *arguments):
        with self.assertRaises(SystemExit) as caught:
            result = call(*arguments)
            if result is not None:
                list(result)
        self.assertIn(part, str(caught.exception))

    def test_cifar(self):
        found = list(sets.cifar_10(self.put(cifar_10())))
        self.assertEqual(
            [item[:3] for item in found],
            [
                ("data_batch_1-0.webp", "train", ["airplane"]), ("data_batch_1-1.webp", "train", ["automobile"]),
                ("data_batch_1-2.webp", "train", ["automobile"]), ("test_batch-0.webp", "val", ["automobile"]),
            ],
        )
        self.assertEqual([item[3].getpixel((5, 31)) for item in found[:2]], [(255, 0, 0), (0, 0, 255)])
        self.assertEqual(found[0][3].size, (32, 32))
        found = list(sets.cifar_100(self.put(cifar_100())))
        self.assertEqual([item[2] for item in found[:2]], [["maple tree"], ["apple"]])
        self.assertEqual([item[1] for item in found].count("val"), 10)

    def test_a_pickle_that_would_run_code_is_refused(self):
        class Bad:
            def __reduce__(self):
                return (eval, ("1",))

        self.fails(".eval, which pictures do not need", sets.cifar_10, self.put(cifar_10(pickle.dumps(Bad(), 2))))

    def test_a_batch_of_another_shape_is_refused(self):
        short = python2({b"labels": [0], b"data": Rows([b"x" * 3071])})
        self.fails("one row of 3072 bytes", sets.cifar_10, self.put(cifar_10(short)))
        self.fails("has no cifar-10-batches-py/batches.meta", sets.cifar_10, self.put(tarred({"a": b""})))

    def test_tiny_imagenet(self):
        found = list(sets.tiny_imagenet(self.put(tiny_imagenet()), train=3))
        self.assertEqual(found[0][:3], ("n01443537_0.webp", "train", ["goldfish", "Carassius auratus"]))
        self.assertEqual([item[1] for item in found].count("train"), 6)
        self.assertEqual([item[2][0] for item in found if item[1] == "val"], ["Egyptian cat"] * 10 + ["goldfish"])
        self.assertEqual((found[0][3].mode, found[0][3].size), ("RGB", (64, 64)))

    def test_caltech_101(self):
        found = list(sets.caltech_101(self.put(caltech_101())))
        splits = [(item[2][0], item[1]) for item in found]
        self.assertEqual(
            {key: splits.count(key) for key in splits},
            {
                ("airplane", "train"): 18, ("airplane", "val"): 2, ("cougar body", "train"): 9,
                ("cougar body", "val"): 1, ("water lilly", "train"): 5,
            },
        )
        self.assertIn("water_lilly-0005.webp", [item[0] for item in found])
        self.assertEqual({(item[3].mode, item[3].size) for item in found}, {("RGB", (144, 96))})

    def test_clothing(self):
        found = list(sets.clothing(self.put(clothing())))
        self.assertEqual(len(found), 25)
        self.assertEqual([item[2] for item in found if item[0] == "id-0.webp"], [["pants", "trousers", "kids clothes"]])
        held_out = [item[2][0] for item in found if item[1] == "val"]
        self.assertEqual((held_out.count("pants"), held_out.count("blouse")), (4, 4))
        self.assertEqual(found[0][3].size, (96, 128))

    def test_grocery(self):
        found = list(sets.grocery(self.put(grocery())))
        splits = [("|".join(item[2]), item[1]) for item in found]
        self.assertEqual(
            {key: splits.count(key) for key in splits},
            {
                ("apple|fruit|granny smith", "train"): 100, ("apple|fruit|granny smith", "val"): 2,
                ("apple|fruit|royal gala", "train"): 18, ("apple|fruit|royal gala", "val"): 2,
                ("milk|oat milk", "train"): 5, ("milk|oat milk", "val"): 1,
            },
        )
        self.assertEqual(len({item[0] for item in found}), len(found))

    def test_names_are_those_of_the_table(self):
        table = fetch.classes()
        for style, names in (
            ("clothing", sets.CLOTHING_NAMES), ("grocery", sets.GROCERY_NAMES), ("caltech-101", sets.CALTECH_NAMES),
        ):
            for name in names.values():
                self.assertIn((style, name.removesuffix("+").split("|")[0]), table)

    def test_git_tree(self):
        # `git write-tree` of a.b/c ("hi\n"), a/d (empty) and e ("x"): a folder sorts as if it ended in a slash.
        path = self.put(zipped({"top/": b"", "top/a.b/c": b"hi\n", "top/a/d": b"", "top/e": b"x"}))
        self.assertEqual(sets.archive_tree(path), "5ed21ab498dfa1c8434bb30faa86d83bcb26694a")

    def test_pins(self):
        for home in sets.HOMES.values():
            self.assertEqual(len(home.get("sum", "")) or len(home["tree"]) + 24, 64)
        self.home("clothing", clothing(), (0, 0), tree="0" * 40)
        self.fails("its git tree is", sets.download, "clothing", self.out)
        self.home("clothing", b"no zip", (0, 0), tree="0" * 40)
        (self.out / "clothing.zip").unlink()
        self.fails("cannot be read as a zip", sets.download, "clothing", self.out)
        self.home("cifar-10", cifar_10(), (0, 0), sum="0" * 64)
        self.fails("Delete it and run this again", sets.download, "cifar-10", self.out)
        self.home("grocery", b"", (0, 0))
        (self.folder / "archive").unlink()
        self.fails("put it at", sets.download, "grocery", self.out)

    def test_counts(self):
        self.home("caltech-101", caltech_101(), (32, 4))
        self.fails("came out with 32 pictures to train on and 3 held out", sets.prepare, "caltech-101", self.out)
        self.assertFalse((self.out / "sets").exists())

    def run_fetch(self, *arguments):
        with mock.patch.object(sys, "argv", ["fetch.py", "--out", str(self.out), *arguments]):
            fetch.main()

    def test_the_whole_script(self):
        self.home("caltech-101", caltech_101(), (32, 3))
        self.run_fetch("--public", "--sets", "caltech-101")
        lines = [json.loads(line) for line in (self.out / "train.jsonl").read_text("utf-8").splitlines()]
        self.assertEqual(len(lines), 32)
        self.assertEqual((lines[0]["style"], lines[0]["name"]), ("caltech-101", "airplane"))
        for line in lines:
            with Image.open(self.out / line["image"]) as image:
                self.assertEqual((image.format, image.size), ("WEBP", (144, 96)))
        with open(self.out / "caltech-101.csv", encoding="utf-8") as file:
            self.assertEqual([item["label"] for item in csv.DictReader(file)].count("airplane"), 2)
        # What is done is not done again, even if the home is gone.
        (self.folder / "archive").unlink()
        (self.out / "downloads" / "caltech-101.zip").unlink()
        self.run_fetch("--public", "--sets", "caltech-101")
        self.fails("no set named flowers", self.run_fetch, "--public", "--sets", "flowers")

    def test_a_local_folder(self):
        source = self.folder / "source"
        source.mkdir()
        (source / "labels.csv").write_text("file,split,names\ncifar-10/000001.webp,train,cat\n", "utf-8")
        (source / "cifar-10-1.zip").write_bytes(zipped({"cifar-10/000001.webp": b"picture"}))
        self.run_fetch("--source", str(source))
        self.assertEqual((self.out / "cifar-10" / "000001.webp").read_bytes(), b"picture")
        self.assertIn("cifar-10/000001.webp", (self.out / "train.jsonl").read_text("utf-8"))
        self.fails("no labels.csv", self.run_fetch, "--source", str(self.out / "nothing"))


if __name__ == "__main__":
    unittest.main()
