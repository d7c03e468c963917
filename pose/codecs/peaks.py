"""The highest cell of a map, and what lies about it: as it is, or blurred for its logarithm.

Run eagerly on a CPU, only what is asked for is computed, and by numpy where that is faster; a GPU,
or a graph that is being exported, computes whole maps, without waiting for what they hold.
"""

import torch

from pose.codecs.blur import blur, profile


def find_peaks(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cell (B, K, 2) float x, y of each map's first maximum in row-major order, and its value.

    Where the maximum is not above 0 the cell is (0, 0).
    """
    flat = maps.flatten(2)
    if eager_on_cpu(maps):  # numpy compares 16 values at a time, torch one
        values = flat.float() if flat.dtype == torch.bfloat16 else flat
        place = torch.from_numpy(values.detach().numpy().argmax(-1))
        scores = flat.gather(2, place[..., None])[..., 0]
    else:
        scores, place = flat.max(dim=-1)
    place = place * (scores > 0)
    width = maps.shape[-1]
    cells = torch.stack([place % width, place.div(width, rounding_mode="floor")], dim=-1)
    return cells.to(maps.dtype), scores


def neighbourhood(maps: torch.Tensor, cells: torch.Tensor, radius: int) -> torch.Tensor:
    """The (2r+1, 2r+1) values about each cell (B, K, 2): (B, K, 2r+1, 2r+1), rows first.

    Beyond the border the border value repeats.
    """
    rows, columns = _around(maps, cells, radius)
    return _values(maps, rows, columns)


def log_neighbourhood(
    maps: torch.Tensor,
    cells: torch.Tensor,
    radius: int,
    *,
    kernel: int,
    low: float,
    high: float = float("inf"),
) -> torch.Tensor:
    """`neighbourhood` of the logarithm of the maps blurred by `blur`, cut to low..high before."""
    if not eager_on_cpu(maps):
        return neighbourhood(blur(maps, kernel).clamp(low, high).log(), cells, radius)
    near = _blurred_near(maps, cells, radius, kernel)
    # What `blur` scales by is at least 1 and moves a logarithm by a constant, of which no step
    # knows; but where a value is cut it counts, and only the whole map tells it.
    cut = (near.amin(dim=(-2, -1)) < low) | (maps.amax(dim=(-2, -1)) > high)
    people, keypoints = cut.nonzero(as_tuple=True)
    if len(people):
        whole = blur(maps[people, keypoints][None], kernel)
        around = neighbourhood(whole, cells[people, keypoints][None], radius)
        near[people, keypoints] = around[0].double()
    return near.clamp(low, high).log().to(maps.dtype)


def _blurred_near(
    maps: torch.Tensor, cells: torch.Tensor, radius: int, kernel: int
) -> torch.Tensor:
    """`neighbourhood` of the blurred maps before they are scaled, from the cells it needs alone.

    In float64, so that who else is in the batch does not show in what is rounded from it.
    """
    height, width = maps.shape[-2:]
    reach = radius + kernel // 2
    rows, columns = _around(maps, cells, reach)
    sides = torch.arange(-reach, reach + 1)
    inside = [
        (cells[..., axis, None] + sides >= 0) & (cells[..., axis, None] + sides < length)
        for axis, length in enumerate((width, height))
    ]
    patch = _values(maps, rows, columns).double()
    patch = patch * (inside[1][..., :, None] & inside[0][..., None, :])
    weights = profile(kernel, patch)
    band = patch.new_zeros(2 * radius + 1, 2 * reach + 1)
    for row in range(2 * radius + 1):
        band[row, row : row + kernel] = weights
    near = band @ patch @ band.T
    # At a border the neighbour beyond is the border cell itself.
    rows, columns = (
        index - cells[..., axis, None].long() + radius
        for index, axis in zip(_around(maps, cells, radius), (1, 0), strict=True)
    )
    return _values(near.flatten(0, 1), rows.flatten(0, 1), columns.flatten(0, 1)).view_as(near)


def _around(
    maps: torch.Tensor, cells: torch.Tensor, radius: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and columns, each (B, K, 2r+1), of the square about each cell, none beyond the map."""
    height, width = maps.shape[-2:]
    sides = torch.arange(-radius, radius + 1, device=maps.device)
    places = cells.long()[..., None] + sides
    return places[..., 1, :].clamp(0, height - 1), places[..., 0, :].clamp(0, width - 1)


def _values(maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(..., R, C) values of maps (..., h, w) in rows (..., R) and columns (..., C)."""
    place = rows[..., :, None] * maps.shape[-1] + columns[..., None, :]
    return maps.flatten(-2).gather(-1, place.flatten(-2)).view_as(place)


def eager_on_cpu(maps: torch.Tensor) -> bool:
    """Whether each operation runs as it is written: none waits, none is being recorded."""
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    return maps.device.type == "cpu" and not recorded
