"""The six photograph sets, from their public homes.

Each set has a small function that reads its archive and yields

    (file name inside the set, "train" or "val", names, PIL image)

Every archive is pinned: by its SHA-256 sum where one is published, else by the git commit and
the git tree of that commit. The numbers of pictures are checked as well.
"""

import csv
import hashlib
import io
import pickle
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections import Counter, defaultdict

from PIL import Image

SIDE = 96  # shorter side of the larger pictures
BLOCK = 1 << 20


def fail(message):
    sys.exit(f"error: {message}")


# ------------------------------------------------------------------- homes

# url: where the archive is; sum: SHA-256 of the archive; tree: git tree of the archive's commit;
# counts: pictures to train on and held out (the same as in the sets that are handed around).
HOMES = {
    # Address: ContinualAI/avalanche, avalanche/benchmarks/datasets/tiny_imagenet/tiny_imagenet.py
    # (MD5 there: 90528d7ca1a48142e341f4ef8d21d0de). No sum from Stanford was found. SHA-256:
    # several unrelated projects on GitHub pin or record this one for tiny-imagenet-200.zip, and
    # the same length (248,100,043 bytes) beside it and beside the MD5.
    "tiny-imagenet": {
        "url": "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "sum": "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
        "counts": (60_000, 2_000),
    },
    # Address and SHA-256: keras-team/keras, keras/src/datasets/cifar100.py. The layout of the files:
    # pytorch/vision, torchvision/datasets/cifar.py (MD5 there: eb9058c3a382ffc7106e4002c42a8d85).
    "cifar-100": {
        "url": "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "sum": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        "counts": (50_000, 1_000),
    },
    # The same for CIFAR-10: keras/src/datasets/cifar10.py (MD5 c58f30108f718f92721af3b95e74349a).
    "cifar-10": {
        "url": "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "sum": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "counts": (30_000, 500),
    },
    # Address and SHA-256: tensorflow/datasets, tensorflow_datasets/datasets/caltech101/checksums.tsv.
    "caltech-101": {
        "url": "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip?download=1",
        "sum": "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
        "counts": (7_465, 777),
    },
    # GitHub packs archives when asked, so their sums may change: the commit's tree is pinned.
    # Commit and tree: `git rev-parse HEAD 'HEAD^{tree}'` in a clone of the repository.
    "clothing": {
        "url": "https://github.com/alexeygrigorev/clothing-dataset/archive/"
        "7ed86a9cc56763b6acb35e41cb35184e43a5d218.zip",
        "tree": "77635b965e5cd721f0a99b4c19dd2b9bc1c0a995",
        "counts": (3_637, 407),
    },
    "grocery": {
        "url": "https://github.com/marcusklasson/GroceryStoreDataset/archive/"
        "fc80ba90f803d79d0383df52c5a4ac5de99ff6fc.zip",
        "tree": "1ac1952cb9a00324104759bde4033782beacb215",
        "counts": (3_951, 377),
    },
}


# ---------------------------------------------------------------- download


def sha256(path):
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            total.update(block)
    return total.hexdigest()


def git_object(kind, data):
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).digest()


def git_tree(folder):
    """The git id of a folder: {name: id of a file, or a folder}. All files have mode 100644."""
    entries = []
    for name, value in folder.items():
        name = name.encode()
        if isinstance(value, dict):
            entries.append((name + b"/", b"40000 " + name + b"\0" + git_tree(value)))
        else:
            entries.append((name, b"100644 " + name + b"\0" + value))
    return git_object("tree", b"".join(entry for _, entry in sorted(entries)))


def archive_tree(path):
    """The git tree of an archive from GitHub, which has one folder (NAME-COMMIT) at the top."""
    top = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            folder = top
            *parents, name = member.filename.split("/")[1:]
            for parent in parents:
                folder = folder.setdefault(parent, {})
            folder[name] = git_object("blob", archive.read(member))
    return git_tree(top).hex()


def check(path, home):
    """What is wrong with a downloaded archive, or None."""
    if "sum" in home:
        found = sha256(path)
        return None if found == home["sum"] else f"its SHA-256 sum is {found}, not {home['sum']}"
    try:
        found = archive_tree(path)
    except zipfile.BadZipFile as error:
        return f"it cannot be read as a zip ({error})"
    return None if found == home["tree"] else f"its git tree is {found}, not {home['tree']}"


def download(style, folder):
    """The path of a set's archive under folder, downloaded if it is not there yet."""
    home = HOMES[style]
    url = home["url"]
    path = folder / (style + (".tar.gz" if url.endswith(".tar.gz") else ".zip"))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        print(f"downloading {url}", flush=True)
        request = urllib.request.Request(url, headers={"User-Agent": "clip-photos/1"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer, open(part, "wb") as file:
                shutil.copyfileobj(answer, file, BLOCK)
        except (urllib.error.URLError, OSError) as error:
            part.unlink(missing_ok=True)
            fail(
                f"{url} could not be downloaded: {error}. Check the network and run this again, "
                f"or download it by other means and put it at {path}"
            )
        part.replace(path)
    if wrong := check(path, home):
        fail(
            f"{path} is not the archive that is expected: {wrong}. Delete it and run this again. "
            f"If that does not help, the file behind {url} has changed, and its pin in {__file__} no longer holds"
        )
    return path


# ---------------------------------------------------------------- pictures


def mixed(names):
    """The names in an order that looks random and is always the same."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())


def picture(data, side=None):
    """A picture in RGB, its shorter side made no longer than `side`."""
    image = Image.open(io.BytesIO(data))
    if side:
        image.draft("RGB", (2 * side, 2 * side))
    image = image.convert("RGB")
    if side and min(image.size) > side:
        scale = side / min(image.size)
        image = image.resize([max(side, round(length * scale)) for length in image.size], Image.Resampling.LANCZOS)
    return image


# ----------------------------------------------------------- Tiny ImageNet


def tiny_imagenet(path, train=300, val=10):
    """The first 300 of the 500 training pictures of each class, and the first 10 of its 50 for validation."""
    with zipfile.ZipFile(path) as archive:
        def text(name):
            return archive.read(f"tiny-imagenet-200/{name}").decode("utf-8").splitlines()

        classes = text("wnids.txt")
        # n01443537<tab>goldfish, Carassius auratus
        words = dict(line.split("\t") for line in text("words.txt"))
        names = {wnid: words[wnid].split(", ") for wnid in classes}
        for wnid in classes:
            for number in range(train):
                data = archive.read(f"tiny-imagenet-200/train/{wnid}/images/{wnid}_{number}.JPEG")
                yield f"{wnid}_{number}.webp", "train", names[wnid], picture(data)
        taken = Counter()
        # val_0.JPEG<tab>n03444034<tab>and a box
        for line in text("val/val_annotations.txt"):
            file, wnid = line.split("\t")[:2]
            if taken[wnid] < val:
                taken[wnid] += 1
                data = archive.read(f"tiny-imagenet-200/val/images/{file}")
                yield f"{file.removesuffix('.JPEG')}.webp", "val", names[wnid], picture(data)


# ------------------------------------------------------------------- CIFAR


class Array:
    """Stands for numpy.ndarray in a pickle: its shape and bytes."""

    def __setstate__(self, state):
        _, self.shape, self.type, _, self.data = state


class Type:
    """Stands for numpy.dtype in a pickle."""

    def __init__(self, name, *_):
        self.name = name

    def __setstate__(self, state):
        pass


class Unpickler(pickle.Unpickler):
    """Reads lists, dictionaries, numbers, bytes and arrays of bytes; nothing else, so no code can run."""

    KNOWN = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: Array(),
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): Type,
    }

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which pictures do not need")
        return self.KNOWN[module, name]


def unpickle(archive, member):
    try:
        # The files were written by Python 2, whose strings are bytes.
        return Unpickler(archive.extractfile(member), encoding="bytes").load()
    except KeyError:
        fail(f"{archive.name} has no {member}")
    except pickle.UnpicklingError as error:
        fail(f"{member} in {archive.name} is not a pickle of pictures: {error}")


def cifar(path, folder, meta, labels, batches, limits):
    """The first pictures of each class, in the order of the files, as many as limits[split] says."""
    with tarfile.open(path) as archive:
        names = [name.decode().replace("_", " ") for name in unpickle(archive, f"{folder}/{meta}")[labels[0]]]
        taken = Counter()
        for file, split in batches:
            batch = unpickle(archive, f"{folder}/{file}")
            rows, classes = batch[b"data"], batch[labels[1]]
            if not isinstance(rows, Array) or rows.type.name != b"u1" or rows.shape != (len(classes), 3072):
                fail(f"{folder}/{file} in {path} does not have one row of 3072 bytes for each label")
            for number, label in enumerate(classes):
                if taken[split, label] == limits[split]:
                    continue
                taken[split, label] += 1
                # 1024 bytes each of red, green and blue
                planes = [rows.data[start : start + 1024] for start in range(3072 * number, 3072 * (number + 1), 1024)]
                image = Image.merge("RGB", [Image.frombytes("L", (32, 32), plane) for plane in planes])
                yield f"{file}-{number}.webp", split, [names[label]], image


def cifar_10(path):
    """3,000 of the 5,000 training pictures of each class, and 50 of its 1,000 for testing."""
    batches = [(f"data_batch_{number}", "train") for number in range(1, 6)] + [("test_batch", "val")]
    yield from cifar(
        path, "cifar-10-batches-py", "batches.meta", (b"label_names", b"labels"), batches, {"train": 3000, "val": 50}
    )


def cifar_100(path):
    """All 500 training pictures of each class, and 10 of its 100 for testing."""
    batches = [("train", "train"), ("test", "val")]
    yield from cifar(
        path, "cifar-100-python", "meta", (b"fine_label_names", b"fine_labels"), batches, {"train": 500, "val": 10}
    )


# ------------------------------------------------------------- Caltech-101

# Left out: pictures of nothing in particular, and the faces once more, cut out.
CALTECH_LEFT_OUT = {"BACKGROUND_Google", "Faces_easy"}
CALTECH_NAMES = {
    "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane", "car_side": "car",
}


def caltech_101(path):
    """All pictures; a tenth of each class is held out (the set has no parts of its own)."""
    with zipfile.ZipFile(path) as outer:
        inner = [
            name for name in outer.namelist()
            if name.endswith("101_ObjectCategories.tar.gz") and not name.startswith("__MACOSX/")
        ]
        if len(inner) != 1:
            fail(f"{path} should have one 101_ObjectCategories.tar.gz inside, and has {len(inner)}")
        groups = defaultdict(list)
        with outer.open(inner[0]) as packed, tarfile.open(fileobj=packed, mode="r|gz") as archive:
            for member in archive:
                # 101_ObjectCategories/accordion/image_0001.jpg
                *_, folder, file = ("/" + member.name).split("/")
                if member.isfile() and file.startswith("image_") and folder not in CALTECH_LEFT_OUT:
                    groups[folder].append(member.name)
        held_out = {name for group in groups.values() for name in mixed(group)[: len(group) // 10]}
        wanted = {name for group in groups.values() for name in group}
        with outer.open(inner[0]) as packed, tarfile.open(fileobj=packed, mode="r|gz") as archive:
            for member in archive:
                if member.name not in wanted:
                    continue
                *_, folder, file = member.name.split("/")
                name = CALTECH_NAMES.get(folder, folder.replace("_", " "))
                image = picture(archive.extractfile(member).read(), SIDE)
                number = file.removeprefix("image_").removesuffix(".jpg")
                yield f"{folder}-{number}.webp", "val" if member.name in held_out else "train", [name], image


# ---------------------------------------------------------------- Clothing

# Not taken: "Not sure", "Other", "Skip".
CLOTHING_NAMES = {
    "Blazer": "blazer|suit jacket", "Blouse": "blouse|top", "Body": "baby bodysuit|onesie", "Dress": "dress",
    "Hat": "hat|cap", "Hoodie": "hoodie|sweatshirt", "Longsleeve": "long sleeve shirt|long sleeve top",
    "Outwear": "jacket|coat", "Pants": "pants|trousers", "Polo": "polo shirt", "Shirt": "shirt", "Shoes": "shoes",
    "Shorts": "shorts", "Skirt": "skirt", "T-Shirt": "t-shirt", "Top": "blouse|top",
    "Undershirt": "undershirt|tank top",
}


def top_folder(archive):
    return archive.namelist()[0].split("/")[0]


def clothing(path, most=450):
    """At most 450 pictures of each label; a tenth, and no fewer than four, is held out."""
    with zipfile.ZipFile(path) as archive:
        top = top_folder(archive)
        kids = {}
        groups = defaultdict(list)
        # image,sender_id,label,kids
        for row in csv.DictReader(io.StringIO(archive.read(f"{top}/images.csv").decode("utf-8"))):
            if row["label"] in CLOTHING_NAMES:
                groups[row["label"]].append(row["image"])
                kids[row["image"]] = row["kids"] == "True"
        for label, group in groups.items():
            group = mixed(group)[:most]
            held_out = max(4, round(len(group) / 10))
            for number, name in enumerate(group):
                names = CLOTHING_NAMES[label].split("|") + ["kids clothes"] * kids[name]
                image = picture(archive.read(f"{top}/images/{name}.jpg"), SIDE)
                yield f"{name}.webp", "val" if number < held_out else "train", names, image


# ----------------------------------------------------------- Grocery Store

# The names of the coarse classes. A `+` adds the name of the fine class, as a variety.
GROCERY_NAMES = {
    "Apple": "apple|fruit+", "Avocado": "avocado|fruit", "Banana": "banana|fruit", "Kiwi": "kiwi|kiwi fruit|fruit",
    "Lemon": "lemon|fruit", "Lime": "lime|fruit", "Mango": "mango|fruit", "Melon": "melon|fruit+",
    "Nectarine": "nectarine|fruit", "Orange": "orange|fruit", "Papaya": "papaya|fruit",
    "Passion-Fruit": "passion fruit|fruit", "Peach": "peach|fruit", "Pear": "pear|fruit+",
    "Pineapple": "pineapple|fruit", "Plum": "plum|fruit", "Pomegranate": "pomegranate|fruit",
    "Red-Grapefruit": "grapefruit|fruit", "Satsumas": "mandarin|satsuma|fruit", "Juice": "juice|juice carton",
    "Milk": "milk|milk carton", "Oatghurt": "yogurt|yoghurt", "Oat-Milk": "milk|oat milk", "Sour-Cream": "sour cream",
    "Sour-Milk": "milk|sour milk", "Soyghurt": "yogurt|soy yogurt", "Soy-Milk": "milk|soy milk",
    "Yoghurt": "yogurt|yoghurt", "Asparagus": "asparagus|vegetable", "Aubergine": "eggplant|aubergine|vegetable",
    "Cabbage": "cabbage|vegetable", "Carrots": "carrot|carrots|vegetable", "Cucumber": "cucumber|vegetable",
    "Garlic": "garlic", "Ginger": "ginger", "Leek": "leek|vegetable", "Mushroom": "mushroom|mushrooms",
    "Onion": "onion|vegetable", "Pepper": "bell pepper|pepper|vegetable+", "Potato": "potato|potatoes|vegetable+",
    "Red-Beet": "beetroot|beet|vegetable", "Tomato": "tomato|tomatoes|vegetable+",
    "Zucchini": "zucchini|courgette|vegetable",
}


def grocery(path, most=200, most_held_out=30):
    """The train and test parts to train on, the val part held out.

    Some 200 pictures of a coarse class at most (30 held out), shared among its fine classes. Of
    a fine class that has no val part, a tenth is held out.
    """
    with zipfile.ZipFile(path) as archive:
        top = f"{top_folder(archive)}/dataset"

        def text(name):
            return archive.read(f"{top}/{name}").decode("utf-8").splitlines()

        # Class Name (str),Class ID (int),Coarse Class Name (str),...
        rows = list(csv.DictReader(text("classes.csv")))
        siblings = Counter(row["Coarse Class Name (str)"] for row in rows)
        groups = defaultdict(lambda: defaultdict(list))
        for part in ("train", "test", "val"):
            for line in text(f"{part}.txt"):
                # train/Fruit/Apple/Granny-Smith/Granny-Smith_001.jpg, 1, 0
                if line.strip():
                    file, fine, _ = line.split(",")
                    groups[fine.strip()]["val" if part == "val" else "train"].append(file.strip())
        for row in rows:
            fine, coarse = row["Class Name (str)"], row["Coarse Class Name (str)"]
            shared = siblings[coarse]
            train = mixed(groups[row["Class ID (int)"]]["train"])[: max(25, most // shared)]
            val = mixed(groups[row["Class ID (int)"]]["val"])[: max(4, most_held_out // shared)]
            if not val:
                tenth = len(train) // 10
                val, train = train[:tenth], train[tenth:]
            names = GROCERY_NAMES[coarse].removesuffix("+").split("|")
            if GROCERY_NAMES[coarse].endswith("+"):
                names.append(fine.replace("-", " ").lower())
            for split, files in (("val", val), ("train", train)):
                for file in files:
                    part, *_, name = file.split("/")
                    yield (
                        f"{part}-{name.removesuffix('.jpg')}.webp", split, names,
                        picture(archive.read(f"{top}/{file}"), SIDE),
                    )


# --------------------------------------------------------------------- all

READERS = {
    "tiny-imagenet": tiny_imagenet, "cifar-100": cifar_100, "cifar-10": cifar_10,
    "caltech-101": caltech_101, "clothing": clothing, "grocery": grocery,
}


def prepare(style, out):
    """Write one set's pictures under out, and out/sets/SET.csv when all are there; skip what is done."""
    table = out / "sets" / f"{style}.csv"
    if table.exists():
        return table
    path = download(style, out / "downloads")
    print(f"preparing {style}", flush=True)
    (out / style).mkdir(parents=True, exist_ok=True)
    rows = []
    try:
        for name, split, names, image in READERS[style](path):
            # Pictures of 32 or 64 pixels suffer more from compression than larger ones.
            image.save(out / style / name, quality=75 if min(image.size) >= SIDE else 85)
            rows.append((f"{style}/{name}", split, "|".join(names)))
    except (KeyError, ValueError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        fail(f"{style} could not be prepared from {path}: {error!r}")
    counts = Counter(split for _, split, _ in rows)
    if (counts["train"], counts["val"]) != HOMES[style]["counts"]:
        train, val = HOMES[style]["counts"]
        fail(
            f"{style} came out with {counts['train']} pictures to train on and {counts['val']} held out, "
            f"and should have {train} and {val}: {path} is not what sets.py was written for"
        )
    table.parent.mkdir(exist_ok=True)
    part = table.with_name(table.name + ".part")
    write_table(part, rows)
    part.replace(table)
    return table


def write_table(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "split", "names"))
        writer.writerows(rows)


def fetch(styles, out):
    """Fetch the sets; write out/labels.csv, as the local folder has it."""
    rows = []
    for style in styles:
        with open(prepare(style, out), encoding="utf-8", newline="") as file:
            rows += list(csv.reader(file))[1:]
    write_table(out / "labels.csv", rows)
