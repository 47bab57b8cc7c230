#!/usr/bin/env python3
"""Fetch the emoji drawings and names the bundled model is trained on.

    pip install -r scripts/drawings/requirements.txt
    python scripts/drawings/fetch.py --out ~/.cache/clip/drawings

Downloads pinned npm packages (needs `npm` on the path), maps every drawing
set to emoji code points, renders the drawings as 96x96 RGBA PNG files and
writes, under --out:

    train.jsonl      one line per training drawing
    held_out.jsonl   the same for OpenMoji, which is never trained on
    names.json       the concepts the four reference sets share
    openmoji.csv     their held-out drawings, as `clip evaluate --data` reads them
    groups.json      the concepts by kind, as Unicode groups them
    summary.json     counts, package versions and licences
    contact.png      some drawings of every set, to look at

Steps already finished are skipped when the script runs again.
"""

import argparse
import concurrent.futures
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import unicodedata
from pathlib import Path

SIZE = 96
WORKERS = 2

# package, version, sha256 of the tarball
ICON_PACKAGES = [
    ("noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
    ("noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"),
    ("twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
    ("fluent-emoji", "1.2.7", "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b"),
    ("fluent-emoji-flat", "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"),
    ("fluent-emoji-high-contrast", "1.2.6", "0b92d48c90d2200bd499e3cdd09a127ca6a8c8ddefd34c35eb5a1e4994012ae0"),
    ("emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"),
    ("emojione-monotone", "1.2.1", "40b90004bafb406b59266155ef9b7e1dd67bf2947fc8db8d07388776f4d0d04e"),
    ("fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef"),
    ("streamline-emojis", "1.2.4", "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc"),
    ("openmoji", "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"),
]
NAMES_PACKAGE = (
    "emojibase-data",
    "17.0.0",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)
HELD_OUT = "openmoji"
SHARED = ["openmoji", "noto", "twemoji", "fluent-emoji-flat"]
# Share-alike drawings may be looked at (held out), but not trained on.
TRAIN_LICENCES = {"Apache-2.0", "MIT", "CC-BY-4.0", "CC-BY-3.0", "CC0-1.0"}
HELD_OUT_LICENCES = TRAIN_LICENCES | {"CC-BY-SA-4.0"}

# Icon names that mean something else than the same emoji name (None: no emoji).
OVERRIDES = {
    "fxemoji": {
        "wave": "1f30a", "bow": "1f380", "pout": "1f64e", "pouting": "1f621",
        "construction": "1f3d7", "keyboard": None, "up": None, "down": None,
    },
    "streamline-emojis": {"turkey": "1f1f9-1f1f7"},
}

# Unicode's subgroups whose names alone are not what a person would say.
GROUP_NAMES = {
    "alphanum": "letters or numbers in a square", "animal-mammal": "mammal", "av-symbol": "media player button",
    "country-flag": "flag of a country", "face-concerned": "worried face", "food-prepared": "meal",
    "geometric": "geometric shape", "household": "household item", "person-activity": "person doing something",
    "person-fantasy": "fantasy character", "person-gesture": "person making a gesture",
    "person-role": "person at work", "person-sport": "person doing sport", "place-building": "building",
    "sky-weather": "sky and weather", "time": "clock", "transport-ground": "vehicle on land",
}

TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}


def fail(message):
    sys.exit(f"error: {message}")


def write_text(path, text):
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def dump(value):
    return json.dumps(value, ensure_ascii=False)


# ---------------------------------------------------------------- packages


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def download(out):
    """Download what is missing; return {package: tarball path}."""
    folder = out / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(f"@iconify-json/{n}", v, h) for n, v, h in ICON_PACKAGES] + [NAMES_PACKAGE]
    tarballs = {}
    for package, version, digest in wanted:
        path = folder / f"{package.replace('@', '').replace('/', '-')}-{version}.tgz"
        tarballs[package] = path
        if path.exists() and sha256(path) == digest:
            continue
        npm = shutil.which("npm")
        if npm is None:
            fail("npm is needed to download the drawings (it comes with Node.js) and is not on the path")
        print(f"downloading {package}@{version}", flush=True)
        done = subprocess.run(
            [npm, "pack", "--silent", "--ignore-scripts", f"{package}@{version}"],
            cwd=folder, capture_output=True, text=True,
        )
        if done.returncode != 0 or not path.exists():
            fail(f"npm pack {package}@{version} failed:\n{done.stdout}{done.stderr}")
        if sha256(path) != digest:
            fail(f"{path.name} does not have the pinned SHA-256 sum")
    return tarballs


def read_member(tarball, member, optional=False):
    with tarfile.open(tarball) as tar:
        try:
            return json.load(tar.extractfile(f"package/{member}"))
        except KeyError:
            if optional:
                return None
            fail(f"{tarball.name} has no {member}")


# ------------------------------------------------------------------- names


def code_key(code):
    """`1F441-FE0F` -> `1f441`."""
    return "-".join(p for p in code.lower().split("-") if p != "fe0f")


def clean(text):
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text).replace("’", "'")).strip().lower()


def slug(text):
    text = unicodedata.normalize("NFKD", text.lower().replace("’", "").replace("'", ""))
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = text.replace("&", "and").replace("#", "hash").replace("*", "asterisk")
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


def unique(items):
    return list(dict.fromkeys(i for i in items if i))


def load_concepts(tarball):
    """{code: {name, texts, texts_zh}} for every emoji without a skin tone."""
    chinese = {code_key(e["hexcode"]): e for e in read_member(tarball, "zh/data.json")}
    concepts = {}
    for e in sorted(read_member(tarball, "en/data.json"), key=lambda e: e.get("order", 0)):
        key = code_key(e["hexcode"])
        # no regional indicator letters, no hair and skin components
        if e.get("group") is None or e["group"] == 2 or set(key.split("-")) & TONES:
            continue
        z = chinese[key]
        name, name_zh = clean(e["label"]), clean(z["label"])
        tags = [clean(t) for t in e.get("tags", [])]
        tags_zh = [clean(t) for t in z.get("tags", [])]
        if name.startswith("flag: "):
            land, land_zh = name[6:], re.sub(r"^旗[:：]\s*", "", name_zh)
            codes = {t for t in tags if t.startswith("gb") or len(t) == 2}
            tags = [f"flag of {land}", land] + [t for t in tags if t not in codes]
            tags_zh = [f"{land_zh}国旗", f"{land_zh}旗", land_zh] + [t for t in tags_zh if t not in codes]
        concepts[key] = {
            "name": name,
            "texts": unique([name] + tags),
            "texts_zh": unique([name_zh] + tags_zh),
        }
    return concepts


def load_groups(tarball, concepts):
    """[{group, name, concepts}] by Unicode's subgroups."""
    names = read_member(tarball, "meta/groups.json")["subgroups"]
    groups = {}
    for e in read_member(tarball, "en/data.json"):
        key = code_key(e["hexcode"])
        if key in concepts and e.get("subgroup") is not None:
            groups.setdefault(names[str(e["subgroup"])], []).append(key)
    return [
        {"group": g, "name": GROUP_NAMES.get(g, g.replace("-", " ")), "concepts": sorted(members)}
        for g, members in sorted(groups.items())
    ]


# ----------------------------------------------------------------- mapping


class IconSet:
    def __init__(self, style, version, tarball):
        self.style, self.version = style, version
        data = read_member(tarball, "icons.json")
        info = read_member(tarball, "info.json")
        self.licence = info["license"].get("spdx") or info["license"]["title"]
        self.title = info.get("name", style)
        author = info.get("author") or {}
        self.author = author.get("name", "") if isinstance(author, dict) else str(author)
        self.chars = read_member(tarball, "chars.json", optional=True) or {}
        self.defaults = {k: data[k] for k in ("left", "top", "width", "height") if k in data}
        self.icons = {n: i for n, i in data["icons"].items() if not i.get("hidden")}
        self.aliases = data.get("aliases", {})
        allowed = HELD_OUT_LICENCES if style == HELD_OUT else TRAIN_LICENCES
        if self.licence not in allowed:
            fail(f"{style} is under {self.licence}, which this data set does not take")

    def parent(self, name):
        """Resolve an alias; None where there is no such drawing."""
        for _ in range(8):
            if name in self.icons:
                return name
            alias = self.aliases.get(name)
            if alias is None or set(alias) & {"hFlip", "vFlip", "rotate"}:
                return None
            name = alias["parent"]
        return None

    def svg(self, name):
        icon = {**self.defaults, **self.icons[name]}
        left, top = icon.get("left", 0), icon.get("top", 0)
        width, height = icon.get("width", 16), icon.get("height", 16)
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{SIZE}" height="{SIZE}" viewBox="{left} {top} {width} {height}" color="#000">'
            + icon["body"].replace("currentColor", "#000")
            + "</svg>"
        )


def name_tables(sets, concepts, tarball):
    """Icon name -> code tables, most trusted first, for sets without chars.json."""
    cldr, others, old = {}, {}, {}
    for key, concept in concepts.items():
        cldr.setdefault(slug(concept["name"]), key)
    for s in sets:
        for code in sorted(s.chars):
            if code_key(code) in concepts:
                others.setdefault(s.chars[code], code_key(code))
    for s in sets:  # what another set calls an alias of a known icon
        by_icon = {}
        for code in sorted(s.chars):
            if code_key(code) in concepts:
                by_icon.setdefault(s.parent(s.chars[code]), code_key(code))
        for alias in sorted(s.aliases):
            code = by_icon.get(s.parent(alias))
            if code:
                old.setdefault(alias, code)
    unicode_names = {}
    for key in concepts:
        if "-" not in key:
            unicode_names.setdefault(slug(unicodedata.name(chr(int(key, 16)), "")), key)
    unicode_names.pop("", None)
    short = {}
    for preset in ("cldr", "github", "joypixels", "emojibase", "iamcal"):
        codes = read_member(tarball, f"en/shortcodes/{preset}.json")
        for code in sorted(codes):
            if code_key(code) not in concepts:
                continue
            names = codes[code] if isinstance(codes[code], list) else [codes[code]]
            for name in names:
                short.setdefault(slug(name), code_key(code))
    return [cldr, others, unicode_names, old, short]


def map_icons(s, tables, concepts):
    """{code: icon name}; a set's own chars.json where it has one, else names."""
    found = {}
    if s.chars:
        for code in sorted(s.chars):
            key = code_key(code)
            icon = s.parent(s.chars[code])
            if key in concepts and icon:
                found.setdefault(key, icon)
        return found
    compact = [{k.replace("-", ""): v for k, v in reversed(t.items())} for t in tables]

    def guesses(name):
        yield name
        if name.startswith("flag-for-"):
            yield "flag-" + name[9:].removeprefix("flag-")
        numbered = re.fullmatch(r"(.+)-1", name)
        if numbered and s.style == "streamline-emojis":
            yield numbered[1]
        if s.style == "streamline-emojis":
            yield "flag-" + re.sub(r"-1$", "", name)

    names = sorted(s.icons) + sorted(a for a in s.aliases if s.parent(a))
    overrides = OVERRIDES.get(s.style, {})
    used = set(overrides)
    for name, key in overrides.items():
        if name not in s.icons:
            fail(f"{s.style} has no icon {name}")
        if key:
            found[key] = name
    for level in range(len(tables)):
        for name in names:
            icon = s.parent(name)
            if icon in used:
                continue
            for guess in guesses(name):
                key = tables[level].get(guess)
                if key is None and s.style == "fxemoji":
                    key = compact[level].get(guess)
                if key and key not in found:
                    found[key] = icon
                    used.add(icon)
                    break
    return found


# --------------------------------------------------------------- rendering


def render(job):
    """Render one SVG; return (path, why it failed or None)."""
    path, svg = job
    import resvg_py
    from PIL import Image

    try:
        data = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
        image = Image.open(io.BytesIO(bytes(data))).convert("RGBA")
        if image.size != (SIZE, SIZE):
            return path, f"size {image.size}"
        if image.getchannel("A").getextrema()[1] == 0:
            return path, "blank"
        temporary = path + ".part"
        image.save(temporary, format="PNG")
        os.replace(temporary, path)
    except Exception as error:  # a broken drawing is left out, and reported
        return path, str(error)[:200]
    return path, None


def render_all(out, sets, mapped):
    failed = {}
    for s in sets:
        folder = out / s.style
        # What the folder holds depends on these; start it over when they change.
        inputs = [SIZE, [p for p in ICON_PACKAGES if p[0] == s.style], sorted(mapped[s.style].items())]
        stamp, stamp_file = hashlib.sha256(dump(inputs).encode()).hexdigest(), folder / "inputs.sha256"
        if not stamp_file.exists() or stamp_file.read_text().strip() != stamp:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            write_text(stamp_file, stamp + "\n")
        jobs = []
        for key, icon in sorted(mapped[s.style].items()):
            path = folder / f"{key}.png"
            if not path.exists():
                jobs.append((str(path), s.svg(icon)))
        if jobs:
            print(f"rendering {len(jobs)} drawings of {s.style}", flush=True)
            with concurrent.futures.ProcessPoolExecutor(WORKERS) as pool:
                for path, why in pool.map(render, jobs, chunksize=16):
                    if why:
                        failed[f"{s.style}/{Path(path).name}"] = why
    return failed


def contact_sheet(out, sets, mapped, names):
    from PIL import Image

    keys = [n["concept"] for n in names]
    keys = keys[:: max(1, len(keys) // 24)][:24]
    sheet = Image.new("RGB", (len(keys) * 64, len(sets) * 64), "white")
    for row, s in enumerate(sets):
        for column, key in enumerate(keys):
            path = out / s.style / f"{key}.png"
            if key in mapped[s.style] and path.exists():
                image = Image.open(path).convert("RGBA").resize((62, 62))
                sheet.paste(image, (column * 64, row * 64), image)
    sheet.save(out / "contact.png")


# -------------------------------------------------------------------- main


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out.expanduser().resolve()
    out.mkdir(parents=True, exist_ok=True)

    tarballs = download(out)
    names_tarball = tarballs[NAMES_PACKAGE[0]]
    concepts = load_concepts(names_tarball)
    sets = [IconSet(n, v, tarballs[f"@iconify-json/{n}"]) for n, v, _ in ICON_PACKAGES]
    tables = name_tables(sets, concepts, names_tarball)
    mapped = {s.style: map_icons(s, tables, concepts) for s in sets}

    failed = render_all(out, sets, mapped)
    for image in failed:
        style, file = image.split("/")
        mapped[style].pop(file.removesuffix(".png"))
        print(f"left out {image}: {failed[image]}")

    train, held_out = [], []
    for s in sets:
        for key in sorted(mapped[s.style]):
            line = {"image": f"{s.style}/{key}.png", "style": s.style, "concept": key, **concepts[key]}
            (held_out if s.style == HELD_OUT else train).append(dump(line) + "\n")
    write_text(out / "train.jsonl", "".join(train))
    write_text(out / "held_out.jsonl", "".join(held_out))

    shared, seen = [], set()
    for key in concepts:
        name = concepts[key]["name"]
        if name not in seen and all(key in mapped[style] for style in SHARED):
            seen.add(name)
            shared.append({"concept": key, "name": name})
    shared.sort(key=lambda n: (n["name"], n["concept"]))
    write_text(out / "names.json", json.dumps(shared, ensure_ascii=False, indent=1) + "\n")

    with open(out / f"{HELD_OUT}.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "label"))
        table.writerows((f"{HELD_OUT}/{n['concept']}.png", n["name"]) for n in shared)

    groups = load_groups(names_tarball, concepts)
    write_text(out / "groups.json", json.dumps(groups, ensure_ascii=False, indent=1) + "\n")

    contact_sheet(out, sets, mapped, shared)

    trained = {key for s in sets if s.style != HELD_OUT for key in mapped[s.style]}
    summary = {
        "train_drawings": len(train),
        "held_out_drawings": len(held_out),
        "concepts_named": len(concepts),
        "concepts_in_train": len(trained),
        "shared_names": len(shared),
        "styles": {
            s.style: {
                "drawings": len(mapped[s.style]),
                "use": "held out" if s.style == HELD_OUT else "train",
                "package": f"@iconify-json/{s.style}",
                "version": s.version,
                "licence": s.licence,
                "title": s.title,
                "author": s.author,
            }
            for s in sets
        },
        "names": {"package": NAMES_PACKAGE[0], "version": NAMES_PACKAGE[1],
                  "licence": "MIT (CLDR names: Unicode-3.0)"},
        "left_out": dict(sorted(failed.items())),
    }
    write_text(out / "summary.json", json.dumps(summary, ensure_ascii=False, indent=1) + "\n")
    for s in sets:
        print(f"{s.style:28} {len(mapped[s.style]):5} drawings  {s.version:8} {s.licence}")
    print(f"train {len(train)}, held out {len(held_out)}, concepts {len(concepts)} "
          f"({len(trained)} in train), shared names {len(shared)}")


if __name__ == "__main__":
    main()
