"""Random textures for training super-resolution: seeded, band-limited and periodic without a seam.

Axes: c colours; h w in texels, ``TEXELS`` per pixel along each side.
"""

import math
from string import ascii_letters, digits, punctuation

import torch
from einops import einsum
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor
from torchvision.transforms.functional import to_tensor

TEXELS = 2  # per pixel; the error of bicubic sampling is then about that of rounding to 8 bits
CUTOFF = 0.36  # cycles per pixel; below Nyquist, so that subpixel motion does not flicker
SMALLEST, LARGEST = 4.0, 64.0  # radii of leaves, pixels
DEPTH = 3.0  # mean number of leaves that cover a pixel
OPPONENT = torch.tensor([[1.0, 0.3, -0.15], [1.0, 0.0, 0.25], [1.0, -0.3, -0.15]])  # luma, two chroma -> rgb


def dead_leaves(height: int, width: int, generator: Generator) -> Tensor:
    """Render dead leaves over 1/f noise (Lee, Mumford & Huang 2001): edges and spectrum of natural images.

    Args:
        height: vertical period in pixels.
        width: horizontal period in pixels.
        generator: source of randomness.

    Returns:
        Colours, ``3 h w`` in [0, 1].

    Raises:
        ValueError: if a side is too short for the smallest leaves.
    """
    if min(height, width) < 16:
        raise ValueError(f"a texture needs 16 pixels a side, got {width}x{height}")
    size = (TEXELS * height, TEXELS * width)
    ground = 0.5 + 0.15 * _coloured(_noise(size, 1.0, generator))
    canvas = torch.cat([ground, torch.zeros(1, *size)])  # colours and the amount of grain
    for radius in _radii(height, width, generator):
        _drop_leaf(canvas, radius, generator)
    grain = _coloured(_noise(size, 0.6, generator))
    return _band_limited(canvas[:3] + canvas[3:] * grain).clamp(0, 1)


def blobs(height: int, width: int, generator: Generator) -> Tensor:
    """Render the opacity, ``1 h w`` in [0, 1], of random shapes that cover a third of the area; periodic."""
    relief = _noise((TEXELS * height, TEXELS * width), 2.0, generator)[:1]
    threshold = relief.flatten().kthvalue(relief.numel() * 2 // 3).values
    shapes = _band_limited((relief > threshold).float())
    return (1.1 * shapes - 0.05).clamp(0, 1)  # clips the ringing at the edges


def lettering(height: int, width: int, generator: Generator) -> Tensor:
    """Render lines of random words in the font that comes with Pillow; periodic.

    Letters are 8 to 40 pixels high. Each line has its own colours, and every other one stands on a plate.

    Returns:
        Colours and opacity, ``4 h w`` in [0, 1].
    """
    picture, top, number = torch.zeros(4, TEXELS * height, TEXELS * width), 0, 0
    while True:
        size = round(TEXELS * 8 * 5 ** torch.rand((), generator=generator).item())
        line = _line(size, TEXELS * width, generator)
        if top + len(line) > len(picture[0]):
            *colours, opacity = _band_limited(picture)
            return torch.stack([*colours, 1.1 * opacity - 0.05]).clamp(0, 1)
        luma, chroma = (torch.rand(2, colours, 1, 1, generator=generator) for colours in (1, 3))
        ink, paper = (0.7 * luma + 0.3 * chroma).unbind()
        is_plate = number % 2 == 1
        rows = slice(top, top + len(line))
        picture[:3, rows] = torch.lerp(paper, ink, line) if is_plate else ink
        picture[3, rows] = 1 if is_plate else line
        top, number = top + len(line) + size // 4, number + 1


def _line(size: int, width: int, generator: Generator) -> Tensor:
    """Render as many random words as fit into ``width`` texels, ``h w`` in [0, 1]."""
    font, words = ImageFont.load_default(size), list[str]()
    characters = 2 * ascii_letters + digits + punctuation
    for length in torch.randint(1, 10, (width,), generator=generator).tolist():
        chosen = torch.randint(len(characters), (length,), generator=generator).tolist()
        words.append("".join(characters[number] for number in chosen))
        if font.getlength(" ".join(words)) > width:
            break
    image = Image.new("L", (width, 5 * size // 4))
    ImageDraw.Draw(image).text((0, 0), " ".join(words[:-1]), fill=255, font=font)
    return to_tensor(image)[0]


def _radii(height: int, width: int, generator: Generator) -> list[float]:
    """Draw the radii of leaves with mean coverage ``DEPTH``; density falls as radius^-3, as in nature."""
    largest = min(LARGEST, height / 3, width / 3)
    mean_area = 2 * math.pi * SMALLEST**2 * math.log(largest / SMALLEST)
    rank = torch.rand(round(DEPTH * height * width / mean_area), generator=generator)
    return (SMALLEST / (1 - rank * (1 - (SMALLEST / largest) ** 2)).sqrt()).tolist()


def _drop_leaf(canvas: Tensor, radius: float, generator: Generator) -> None:
    """Paint a shaded ellipse or rectangle at a random place of ``canvas``, with random stripes and grain."""
    y, x, turn, slimness, shape = torch.rand(5, generator=generator).tolist()
    pitch, phase, contrast, grain = torch.rand(4, generator=generator).tolist()
    # outline
    reach = torch.arange(-math.ceil(TEXELS * radius), math.ceil(TEXELS * radius) + 1)
    cos, sin = math.cos(math.pi * turn), math.sin(math.pi * turn)
    along = (reach[:, None] * sin + reach * cos) / (TEXELS * radius)
    across = (reach[:, None] * cos - reach * sin) / (TEXELS * radius) * (1 + 2 * slimness)
    inside = along**2 + across**2 < 1 if shape < 0.5 else torch.maximum(along.abs(), across.abs()) < 0.7
    # place
    rows = (int(y * canvas.shape[1]) + reach[:, None]) % canvas.shape[1]
    columns = (int(x * canvas.shape[2]) + reach) % canvas.shape[2]
    # surface: a random change of the canvas's colour at the leaf's corner
    change = 0.15 * torch.randn(3, generator=generator)
    colour = 0.7 * canvas[:3, rows[0], columns[:1], None] + 0.15 + _coloured(change[:, None, None])
    waves = radius * along / (3 + 9 * pitch) + phase
    stripes = 0.15 * max(0, 2 * contrast - 1) * torch.sin(2 * math.pi * waves)
    leaf = torch.cat([colour * (1 + 0.2 * along) + stripes, torch.full_like(along, 0.08 * grain**2)[None]])
    canvas[:, rows, columns] = torch.where(inside, leaf, canvas[:, rows, columns])


def _noise(size: tuple[int, int], slope: float, generator: Generator) -> Tensor:
    """Return noise, three planes of unit variance with amplitude proportional to frequency^-slope."""
    frequency = _frequency(size)
    frequency[0, 0] = torch.inf
    spectrum = torch.fft.rfft2(torch.randn(3, *size, generator=generator)) / frequency**slope
    planes = torch.fft.irfft2(spectrum, s=size)
    return planes / planes.std()


def _coloured(planes: Tensor) -> Tensor:
    return einsum(OPPONENT, planes, "rgb c, c h w -> rgb h w")


def _band_limited(picture: Tensor) -> Tensor:
    """Remove frequencies above ``CUTOFF``."""
    size = (picture.shape[-2], picture.shape[-1])
    response = torch.exp(-((TEXELS * _frequency(size) / CUTOFF) ** 4))
    return torch.fft.irfft2(torch.fft.rfft2(picture) * response, s=size)


def _frequency(size: tuple[int, int]) -> Tensor:
    """Return the frequency, cycles per texel, of each entry of an image's ``rfft2``."""
    return torch.hypot(torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1]))
