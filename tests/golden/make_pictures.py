"""Small test pictures of every kind, and what open_clip and transformers make of them before the mean is taken off."""

import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import open_clip
import PIL
import transformers
from PIL import Image, ImageOps
from transformers import CLIPImageProcessorPil

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
EXPECTED = HERE / "pixels"


def scene(width: int, height: int, seed: int) -> np.ndarray:
    """`[height, width, 3]`: slopes, a disc with a hard edge, stripes like text, a patch of noise."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (x + 0.5) / width, (y + 0.5) / height
    picture = np.stack([255 * u, 255 * v, 255 * (1 - u) * (1 - v)], axis=-1)
    disc = (u - 0.35) ** 2 + (v - 0.45) ** 2 < 0.04
    picture[disc] = random.randint(0, 256, 3)
    stripes = (np.abs(v - 0.75) < 0.1) & ((x // 2 + y // 3) % 2 == 0)
    picture[stripes] = random.randint(0, 2, 3) * 255
    noisy = (u > 0.6) & (v < 0.4)
    picture[noisy] = random.randint(0, 256, (int(noisy.sum()), 3))
    return picture.round().astype(np.uint8)


def alpha(width: int, height: int) -> np.ndarray:
    """`[height, width]`: clear, solid and everything between, with a hard edge."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    slope = 255 * (x + y) / max(width + height - 2, 1)
    slope[(x < width / 3) & (y < height / 3)] = 0
    slope[(x > width * 2 / 3) & (y > height / 2)] = 255
    return slope.round().astype(np.uint8)


def rgb(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(scene(width, height, seed))


def rgba(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.dstack([scene(width, height, seed), alpha(width, height)]))


def png(path: Path, width: int, height: int, depth: int, colour: int, rows: np.ndarray, *chunks: tuple) -> None:
    """A PNG written by hand, for the kinds Pillow does not write. `rows`: bytes, `[height, row length]`."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"".join(b"\0" + row.tobytes() for row in rows.astype(np.uint8))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*c) for c in chunks), chunk(b"IDAT", zlib.compress(raw, 9)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def big_endian(values: np.ndarray) -> np.ndarray:
    """16-bit samples as a PNG holds them."""
    height = values.shape[0]
    return np.frombuffer(values.astype(">u2").tobytes(), np.uint8).reshape(height, -1)


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Samples of less than 8 bits, several to a byte."""
    planes = ((values[..., None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
    return np.packbits(planes.reshape(values.shape[0], -1), axis=1)


def gif(
    path: Path,
    screen: tuple,
    frame: np.ndarray,
    at: tuple = (0, 0),
    colours: np.ndarray | None = None,
    own: np.ndarray | None = None,
    key: int | None = None,
    background: int = 0,
    interlaced: bool = False,
) -> None:
    """A GIF written by hand, for the kinds Pillow does not write.

    `frame`: indices `[height, width]`; `colours` and `own`: palettes `[2 to the n, 3]` of the file and of the frame.
    """

    def flags(palette: np.ndarray | None) -> int:
        return 0 if palette is None else 0x80 | (len(palette).bit_length() - 2)

    def table(palette: np.ndarray | None) -> bytes:
        return b"" if palette is None else palette.astype(np.uint8).tobytes()

    height, width = frame.shape
    if interlaced:
        frame = np.concatenate([frame[0::8], frame[4::8], frame[2::4], frame[1::2]])
    # Codes of 9 bits, with a clear code before the dictionary would need a tenth.
    codes = []
    for number, index in enumerate(frame.reshape(-1).tolist()):
        if number % 250 == 0:
            codes.append(256)
        codes.append(index)
    codes.append(257)
    bits = sum(code << (9 * place) for place, code in enumerate(codes))
    data = bits.to_bytes((9 * len(codes) + 7) // 8, "little")
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    control = b"" if key is None else struct.pack("<BBBBHBB", 0x21, 0xF9, 4, 1, 0, key, 0)
    path.write_bytes(
        b"GIF89a"
        + struct.pack("<HHBBB", *screen, flags(colours), background, 0)
        + table(colours)
        + control
        + struct.pack("<BHHHHB", 0x2C, *at, width, height, flags(own) | (0x40 if interlaced else 0))
        + table(own)
        + b"\x08"
        + blocks
        + b"\0;"
    )


def write_gifs(at) -> None:
    """First frames that do not fill their screen, and palettes that do not fit their pixels."""

    def indexed(width: int, height: int, count: int, seed: int) -> tuple:
        picture = rgb(width, height, seed).quantize(count)
        palette = np.zeros((count, 3), np.uint8)
        known = np.array(picture.getpalette()).reshape(-1, 3)[:count]
        palette[: len(known)] = known
        return np.asarray(picture), palette

    small, colours = indexed(30, 22, 64, 21)
    others = colours[::-1].copy()
    grey = np.repeat(np.arange(256)[:, None], 3, axis=1)
    screen = (48, 40)
    gif(at("smaller_48x40.gif"), screen, small, (9, 7), colours)
    gif(at("smaller_key_48x40.gif"), screen, small, (9, 7), colours, key=5)
    gif(at("smaller_key_beyond_48x40.gif"), screen, small, (9, 7), colours, key=200)
    gif(at("smaller_background_48x40.gif"), screen, small, (9, 7), colours, background=9)
    gif(at("smaller_own_48x40.gif"), screen, small, (9, 7), others, own=colours)
    gif(at("smaller_grey_48x40.gif"), screen, small, (9, 7), grey)
    gif(at("smaller_grey_key_48x40.gif"), screen, small, (9, 7), grey, key=40)
    gif(at("smaller_interlaced_48x40.gif"), screen, small, (9, 7), colours, interlaced=True)
    gif(at("own_over_grey_30x22.gif"), (30, 22), small, (0, 0), grey, own=colours)
    gif(at("no_palette_30x22.gif"), (30, 22), small * 4)
    gif(at("short_palette_30x22.gif"), (30, 22), small, (0, 0), colours[:4])
    gif(at("short_grey_30x22.gif"), (30, 22), small * 3, (0, 0), grey[:8])
    gif(at("larger_48x40.gif"), (20, 40), indexed(48, 30, 64, 22)[0], (0, 0), colours)
    gif(at("larger_moved_48x40.gif"), (25, 20), small, (18, 18), colours)
    gif(at("no_screen_30x22.gif"), (0, 0), small, (0, 0), colours, key=3)


def write_pictures() -> None:
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    at = PICTURES.joinpath

    # Sizes and shapes.
    for width, height in [(1, 1), (2, 3), (7, 5), (37, 211), (300, 17), (32, 32), (33, 32), (61, 40), (224, 224), (20, 20), (3, 90)]:
        rgb(width, height, width).save(at(f"rgb_{width}x{height}.png"))
    rgb(500, 333, 5).save(at("rgb_500x333.webp"), lossless=True)

    # Modes that Pillow writes.
    rgba(50, 64).save(at("rgba_50x64.png"))
    rgba(20, 24).save(at("rgba_20x24.webp"), lossless=True, exact=True)
    rgba(45, 31).convert("LA").save(at("grey_alpha_45x31.png"))
    rgb(45, 70).convert("L").save(at("grey_45x70.png"))
    rgb(45, 70).convert("1").save(at("bilevel_45x70.png"))
    rgb(64, 48).quantize(40).save(at("palette_64x48.png"))
    rgb(51, 40).quantize(12).save(at("palette4_51x40.png"), bits=4)
    indexed = rgb(51, 66).quantize(30)
    indexed.save(at("palette_key_51x66.png"), transparency=3)
    indexed.save(at("palette_alpha_51x66.png"), transparency=bytes((i * 37 + 11) % 256 for i in range(30)))
    rgb(70, 41, 2).quantize(64).save(at("palette_70x41.gif"))
    rgb(40, 41, 2).quantize(16).save(at("palette_key_40x41.gif"), transparency=2)
    rgb(40, 45, 3).convert("L").save(at("grey_40x45.gif"))
    rgb(40, 45, 3).quantize(16).save(
        at("animated_40x45.gif"), save_all=True, append_images=[rgb(40, 45, 4).quantize(16), rgb(40, 45, 5).quantize(16)]
    )
    write_gifs(at)
    rgb(45, 38, 2).save(at("rgb_45x38.bmp"))
    rgb(45, 38, 2).quantize(50).save(at("palette_45x38.bmp"))
    rgb(45, 38, 2).convert("L").save(at("grey_45x38.bmp"))
    rgb(45, 38, 2).convert("1").save(at("bilevel_45x38.bmp"))

    # Kinds of PNG that it only reads.
    wide = scene(40, 52, 7).astype(np.uint16) * 257
    wide ^= np.random.RandomState(7).randint(0, 256, wide.shape).astype(np.uint16)  # low bytes that differ from the high ones
    clear = alpha(40, 52).astype(np.uint16) * 257
    png(at("rgb16_40x52.png"), 40, 52, 16, 2, big_endian(wide))
    png(at("rgba16_40x52.png"), 40, 52, 16, 6, big_endian(np.dstack([wide, clear])))
    png(at("grey16_40x52.png"), 40, 52, 16, 0, big_endian(wide[..., 0]))
    png(at("grey_alpha16_40x52.png"), 40, 52, 16, 4, big_endian(np.dstack([wide[..., 1], clear])))
    grey = np.asarray(rgb(45, 39, 8).convert("L"))
    png(at("grey2_45x39.png"), 45, 39, 2, 0, packed(grey >> 6, 2))
    png(at("grey4_45x39.png"), 45, 39, 4, 0, packed(grey >> 4, 4))
    png(at("grey1_key_45x39.png"), 45, 39, 1, 0, packed(grey >> 7, 1), (b"tRNS", struct.pack(">H", 1)))
    coarse = scene(44, 40, 9) & 0xE0
    key = coarse[30, 20].astype(int)
    png(at("rgb_key_44x40.png"), 44, 40, 8, 2, coarse.reshape(40, -1), (b"tRNS", struct.pack(">HHH", *key)))
    key = int(grey[30, 20])
    png(at("grey_key_45x39.png"), 45, 39, 8, 0, grey, (b"tRNS", struct.pack(">H", key)))

    # Photographs: lossy, so decoders may differ by a step.
    photo = rgb(120, 90, 11).resize((240, 180), Image.Resampling.BICUBIC).resize((120, 90), Image.Resampling.BICUBIC)
    photo.save(at("photo_120x90.jpg"), quality=92)
    photo.save(at("photo_444_120x90.jpg"), quality=95, subsampling=0)
    photo.save(at("photo_progressive_120x90.jpg"), quality=90, progressive=True)
    photo.convert("L").save(at("photo_grey_120x90.jpg"), quality=92)
    photo.convert("CMYK").save(at("photo_cmyk_120x90.jpg"), quality=95)
    photo.save(at("photo_120x90.webp"), quality=90)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo.crop((0, 0, 100, 60)).save(at(f"orientation_{orientation}_100x60.jpg"), quality=95, subsampling=0, exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb(52, 40, 12).save(at("orientation_6_52x40.png"), exif=exif)
    turned = Image.Exif()
    turned[0x0112] = 8
    rgb(40, 33, 12).quantize(20).save(at("orientation_8_palette_40x33.png"), exif=turned)


# name: (which reference, its settings)
CONFIGS = {
    "open_clip_32": ("open_clip", dict(size=32)),
    "hugging_face_32": ("hugging_face", dict(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})),
}
MORE = {
    "open_clip_224": ("open_clip", dict(size=224)),
    "open_clip_64": ("open_clip", dict(size=64)),
    "open_clip_bilinear_squash_48": ("open_clip", dict(size=48, interpolation="bilinear", resize_mode="squash")),
    "open_clip_longest_40": ("open_clip", dict(size=40, resize_mode="longest", fill_color=77)),
    "hugging_face_33_24": ("hugging_face", dict(size={"shortest_edge": 33}, crop_size={"height": 24, "width": 24})),
    "hugging_face_pad_20_31": ("hugging_face", dict(size={"shortest_edge": 20}, crop_size=31)),
    "hugging_face_square_40": (
        "hugging_face",
        dict(size={"height": 40, "width": 40}, do_center_crop=False, resample=2),
    ),
    "hugging_face_lanczos_29": ("hugging_face", dict(size=29, crop_size=29, resample=1)),
    "hugging_face_box_27": ("hugging_face", dict(size=27, crop_size=27, resample=4)),
    "hugging_face_hamming_27": ("hugging_face", dict(size=27, crop_size=27, resample=5)),
    "hugging_face_nearest_27": ("hugging_face", dict(size=27, crop_size=27, resample=0)),
}
SHAPES = ["rgb_37x211.png", "rgb_300x17.png", "rgb_61x40.png", "rgb_7x5.png"]
LARGE = ["rgb_61x40.png", "rgb_500x333.webp"]


def prepared(name: str, reference: str, settings: dict) -> np.ndarray:
    """`[height, width, 3]` uint8: the picture as it is just before it becomes floats."""
    picture = ImageOps.exif_transpose(Image.open(PICTURES / name))
    if reference == "open_clip":
        config = open_clip.transform.PreprocessCfg(**settings)
        *steps, to_tensor, normalise = open_clip.transform.image_transform_v2(config, is_train=False).transforms
        assert "ToTensor" in type(to_tensor).__name__ and type(normalise).__name__ == "Normalize"
        for step in steps:
            picture = step(picture)
        return np.asarray(picture)
    processor = CLIPImageProcessorPil(**settings, do_rescale=False, do_normalize=False)
    pixels = processor(picture, return_tensors="np").pixel_values[0]
    assert pixels.dtype == np.uint8
    return np.moveaxis(pixels, 0, -1)


def make() -> None:
    write_pictures()
    shutil.rmtree(EXPECTED, ignore_errors=True)
    EXPECTED.mkdir()
    cases = [(name.name, config) for name in sorted(PICTURES.iterdir()) for config in CONFIGS]
    cases += [(name, config) for config in MORE for name in (LARGE if config == "open_clip_224" else SHAPES)]
    # Pillow clips 16-bit grey at 255 when it converts to RGB: not worth having.
    cases = [(name, config) for name, config in cases if not name.startswith("grey16")]
    rows = []
    for name, config in cases:
        reference, settings = {**CONFIGS, **MORE}[config]
        pixels = prepared(name, reference, settings)
        file = f"{name}.{config}.png"
        Image.fromarray(pixels).save(EXPECTED / file, optimize=True)
        rows.append({"picture": name, "config": config, "expected": file})
    written = {
        "reference": f"open_clip {open_clip.__version__}, transformers {transformers.__version__}, Pillow {PIL.__version__}",
        "configs": {
            name: {"reference": reference, "settings": settings}
            for name, (reference, settings) in {**CONFIGS, **MORE}.items()
        },
        "cases": rows,
    }
    text = json.dumps(written, indent=1)
    (HERE / "pixels.json").write_text(text + "\n")
