"""A picture of a part of the plane, in world coordinates with y upwards, smooth by drawing it larger."""

import numpy as np
from gymnasium.error import DependencyNotInstalled

BACKGROUND = "whitesmoke"
OVERSAMPLING = 3  # drawn this much larger, then averaged


class Canvas:
    """Drawn on from back to front; points are (x, y), widths and radii in the units of the plane, colours CSS names.

    x_range, y_range : the part of the plane that is shown
    width : of the picture in pixels; its height follows from the ranges
    """

    def __init__(self, x_range, y_range, width):
        try:
            from PIL import Image, ImageDraw
        except ImportError as error:
            raise DependencyNotInstalled("render: drawing needs the package pillow: pip install pillow") from error
        self.scale = OVERSAMPLING * width / (x_range[1] - x_range[0])
        self.corner = np.array([x_range[0], y_range[1]])  # top left
        height = round(width * (y_range[1] - y_range[0]) / (x_range[1] - x_range[0]))
        self.image = Image.new("RGB", (OVERSAMPLING * width, OVERSAMPLING * height), BACKGROUND)
        self.draw = ImageDraw.Draw(self.image)

    def polygon(self, points, colour):
        self.draw.polygon(self._pixels_of(points), fill=colour)

    def line(self, points, colour, width):
        self.draw.line(self._pixels_of(points), fill=colour, width=max(1, round(width * self.scale)), joint="curve")

    def disc(self, center, radius, colour):
        ((x, y),) = self._pixels_of([center])
        r = radius * self.scale
        self.draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)

    def star(self, center, radius, colour):
        """Five points on the circle of that radius, one of them up."""
        angles = np.pi / 2 + np.pi / 5 * np.arange(10)
        radii = radius * np.where(np.arange(10) % 2, 0.4, 1.0)
        self.polygon(np.asarray(center) + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), colour)

    def pixels(self):
        """The picture, (height, width, 3) uint8."""
        return np.array(self.image.reduce(OVERSAMPLING))

    def _pixels_of(self, points):
        """World coordinates → pixels of the large image, as PIL wants them."""
        return [tuple(p) for p in ((np.asarray(points) - self.corner) * (self.scale, -self.scale)).tolist()]
