"""Augmentation of whole batches on the GPU: what `src/train/pretrain/augment.rs` does image by image, and, for
long runs, sharper photographs, JPEG and CutMix. Images are RGB or premultiplied RGBA, 0 to 1."""

import math

import torch
import torch.nn.functional as F


class Random:
    """Random numbers of one generator, one for each of `n` images."""

    def __init__(self, generator: torch.Generator, n: int):
        self.generator, self.n, self.device = generator, n, generator.device

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        values = torch.rand(self.n, *shape, generator=self.generator, device=self.device)
        return low + (high - low) * values

    def chance(self, probability: float) -> torch.Tensor:
        return self.uniform(0, 1) < probability


def place_of_photos(random: Random, width: torch.Tensor, height: torch.Tensor) -> dict:
    """Random resized crop and flip, sometimes turned a little or with a border."""
    what = random.uniform(0, 20).floor()
    border, whole = what == 0, (what >= 1) & (what < 5)
    area = torch.where(border, random.uniform(1.0, 2.0), random.uniform(0.25, 1.0))
    area = torch.where(whole, random.uniform(0.9, 1.0), area)
    ratio = torch.where(border, random.uniform(-0.2, 0.2), random.uniform(-0.29, 0.29)).exp()
    ratio = torch.where(whole, torch.ones_like(ratio), ratio)
    shorter, longer = torch.minimum(width, height), torch.maximum(width, height)
    side = (area * shorter * (shorter + longer) / 2).sqrt()
    cut = torch.stack([side * ratio.sqrt() / width, side / ratio.sqrt() / height], 1)
    cut = torch.where(border[:, None], cut, cut.clamp(max=1.0))
    flip = torch.where(random.chance(0.5), -1.0, 1.0)
    zoom = torch.stack([flip, torch.ones_like(flip)], 1) / cut
    return {
        "angle": torch.where(random.chance(0.1), random.uniform(-0.2, 0.2), 0.0),
        "zoom": zoom,
        "shift": random.uniform(-1, 1, 2) * (1 - cut) / 2 * zoom,
        "waves": None,
    }


def place_of_drawings(random: Random) -> dict:
    """Turned, moved, stretched and bent a little."""
    zoom, aspect = random.uniform(0.68, 1.12), random.uniform(0.86, 1.16)
    far = torch.where(random.uniform(0, 1, 2) < 0.5, random.uniform(0.0, 0.035, 2), 0.0)
    return {
        "angle": torch.where(random.chance(0.5), random.uniform(-0.2, 0.2), 0.0),
        "zoom": torch.stack([zoom * aspect.sqrt(), zoom / aspect.sqrt()], 1),
        "shift": random.uniform(-0.06, 0.06, 2),
        "waves": (far, random.uniform(2.0, 8.0, 2), random.uniform(0.0, math.tau, 2)),
    }


def draw(images: torch.Tensor, sizes: torch.Tensor, place: dict, size: int, samples: int) -> torch.Tensor:
    """The images `[n, c, canvas, canvas]`, of `sizes` (width, height) within the canvas, as seen from `place`, with one
    more channel: 1 within the image, 0 outside."""
    n, _, canvas, _ = images.shape
    steps = (torch.arange(size * samples, device=images.device) + 0.5) / (size * samples) - 0.5
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    at = torch.stack([x, y], -1)[None] - place["shift"][:, None, None, :]
    u, v = at.unbind(-1)
    sin, cos = place["angle"].sin()[:, None, None], place["angle"].cos()[:, None, None]
    u, v = u * cos + v * sin, v * cos - u * sin
    if place["waves"] is not None:
        far, often, begin = (part[:, :, None, None] for part in place["waves"])
        u = u + far[:, 0] * (often[:, 0] * v + begin[:, 0]).sin()
        v = v + far[:, 1] * (often[:, 1] * u + begin[:, 1]).sin()
    uv = torch.stack([u, v], -1) / place["zoom"][:, None, None, :] + 0.5
    inside = ((uv >= 0) & (uv <= 1)).all(-1)[:, None]
    pixels = uv * sizes[:, None, None, :]
    pixels = torch.minimum(pixels.clamp(min=0.5), sizes[:, None, None, :] - 0.5)
    drawn = F.grid_sample(images, pixels * (2 / canvas) - 1, padding_mode="border", align_corners=False)
    drawn = torch.cat([drawn, inside.to(drawn.dtype)], 1)
    return F.avg_pool2d(drawn, samples) if samples > 1 else drawn


def recoloured(images: torch.Tensor, alpha: torch.Tensor, random: Random, photos: bool) -> torch.Tensor:
    """Other light and colours: hue turned, saturation, brightness and contrast scaled."""
    low, high = (0.7, 1.3) if photos else (0.6, 1.4)
    saturation = torch.where(random.chance(0.12), 0.0, random.uniform(low, high))
    hue = random.uniform(-0.1, 0.1)
    offset = torch.zeros_like(hue)
    if photos:
        contrast = random.uniform(0.75, 1.25)
        bright = random.uniform(0.75, 1.25) * contrast
        offset = 0.5 * (1 - contrast)
    else:
        hue = torch.where(random.chance(0.15), random.uniform(-0.5, 0.5), hue)
        bright = random.uniform(0.75, 1.2)
    # Turn about the grey axis (Rodrigues), scale what is off that axis.
    sin, cos, third = hue.sin(), hue.cos(), 1 / 3
    root = math.sqrt(third)
    turns = [cos + (1 - cos) * third, (1 - cos) * third - root * sin, (1 - cos) * third + root * sin]
    rows = [torch.stack([turns[(3 + j - i) % 3] for j in range(3)], 1) for i in range(3)]
    matrix = third + saturation[:, None, None] * (torch.stack(rows, 1) - third)
    matrix = bright[:, None, None] * matrix
    changed = torch.einsum("nij,njhw->nihw", matrix, images) + offset[:, None, None, None] * alpha
    return torch.minimum(changed.clamp(min=0), alpha)


def inked(images: torch.Tensor, random: Random, radius: int) -> torch.Tensor:
    """A black line around some of the drawings and along the edges of their colours, as hand-drawn sets have it."""
    wide = F.pad(images, [radius] * 4)
    size = images.shape[-1]
    edge = torch.zeros_like(images[:, :1])
    for dy, dx in ((0, radius), (2 * radius, radius), (radius, 0), (radius, 2 * radius)):
        there = wide[:, :, dy : dy + size, dx : dx + size]
        edge = torch.maximum(edge, (images - there).abs().amax(1, keepdim=True))
    threshold = torch.where(random.chance(0.4), random.uniform(60 / 255, 140 / 255), 9.0)
    black = torch.tensor([0.0, 0.0, 0.0, 1.0], device=images.device)[None, :, None, None]
    return torch.where(edge > threshold[:, None, None, None], black, images)


def chosen(random: Random, probability: float) -> torch.Tensor:
    """A fixed number of places at random, so that shapes stay the same."""
    return torch.randperm(random.n, generator=random.generator, device=random.device)[: round(probability * random.n)]


def smaller_and_enlarged(images: torch.Tensor, share: float) -> torch.Tensor:
    size = images.shape[-1]
    small = F.interpolate(images, size=round(size * share), mode="bilinear", antialias=True)
    return F.interpolate(small, size=size, mode="bilinear")


def sharpened(images: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Unsharp mask: enlarged 64-pixel photographs look more like large ones made smaller."""
    blurred = F.avg_pool2d(F.pad(images, [1] * 4, mode="replicate"), 3, stride=1)
    return (images + amount[:, None, None, None] * (images - blurred)).clamp(0, 1)


def jpeg(images: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Blocks of 8 x 8 with coarse frequencies, as JPEG leaves them; the same table for all channels."""
    n, c, size, _ = images.shape
    k = torch.arange(8, device=images.device, dtype=torch.float32)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) * 0.5
    basis[0] = math.sqrt(1 / 8)
    table = (2 + 1.6 * (k[:, None] + k[None])) / 255 * strength[:, None, None, None, None, None]
    blocks = images.reshape(n, c, size // 8, 8, size // 8, 8).transpose(3, 4)
    frequencies = basis @ blocks.float() @ basis.T
    frequencies = (frequencies / table).round() * table
    blocks = basis.T @ frequencies @ basis
    return blocks.transpose(3, 4).reshape(n, c, size, size).clamp(0, 1)


def photos(images: torch.Tensor, sizes: torch.Tensor, random: Random, size: int, large: bool) -> torch.Tensor:
    """Photographs with random changes `[n, 3, size, size]`. `large` ones have all their detail: blurred more often;
    the others are enlarged: sharpened more often."""
    place = place_of_photos(random, sizes[:, 0], sizes[:, 1])
    drawn = draw(images, sizes, place, size, 2 if large else 1)
    inside = drawn[:, 3:]
    drawn = recoloured(drawn[:, :3] * inside, inside, random, photos=True)
    border = random.uniform(0, 1)
    which = random.uniform(0, 4).floor()
    border = torch.where(which == 0, 0.0, torch.where(which == 1, border, 1.0))
    drawn = drawn + border[:, None, None, None] * (1 - inside)
    some = chosen(random, 0.35 if large else 0.08)
    # One factor for those of a batch; another in the next.
    share = 3 / 8 + 5 / 8 * torch.rand(1).item()
    drawn[some] = smaller_and_enlarged(drawn[some], share)
    some = chosen(random, 0.15 if large else 0.4)
    drawn[some] = sharpened(drawn[some], random.uniform(0.3, 1.2)[: len(some)])
    some = chosen(random, 0.2)
    drawn[some] = jpeg(drawn[some], random.uniform(1.0, 6.0)[: len(some)])
    return drawn


def drawings(images: torch.Tensor, sizes: torch.Tensor, random: Random, size: int) -> torch.Tensor:
    """Drawings with random changes `[n, 3, size, size]`, mild ones that keep a drawing what it is."""
    images = inked(images, random, 1 + int(torch.randint(3, (1,)).item()))
    # Of what lies outside there is nothing, and a drawing's own alpha says where it is empty.
    drawn = draw(images, sizes, place_of_drawings(random), size, 2)
    drawn = drawn[:, :4] * drawn[:, 4:]
    alpha = drawn[:, 3:]
    drawn = recoloured(drawn[:, :3], alpha, random, photos=False)
    pale = random.uniform(150 / 255, 1.0, 2, 3)
    kind = random.uniform(0, 10)[:, None]
    top = torch.where(kind < 7, 1.0, pale[:, 0])
    bottom = torch.where(kind < 7, 1.0, torch.where(kind < 9, pale[:, 0], pale[:, 1]))
    down = torch.linspace(0, 1, size, device=images.device)[None, None, :, None]
    ground = top[:, :, None, None] + (bottom - top)[:, :, None, None] * down
    return drawn + ground * (1 - alpha)


def cut_mix(images: torch.Tensor, order: torch.Tensor, share: float) -> torch.Tensor:
    """A rectangle of `share` of each image's area is another's."""
    size = images.shape[-1]
    side = round(size * math.sqrt(share))
    y, x = (int(torch.randint(size - side + 1, (1,)).item()) for _ in range(2))
    mixed = images.clone()
    mixed[:, :, y : y + side, x : x + side] = images[order, :, y : y + side, x : x + side]
    return mixed
