"""Steps that are skipped: a loss or gradients that are not finite leave the network as it was.

All of it is decided on the device and nobody waits for it: the optimiser looks at `found_inf`, as
torch's own gradient scaler sets it; batch-norm statistics, which the forward pass has changed
already, are put back. What was skipped is read every few steps, in one transfer. On MPS, whose
optimisers do not look at `found_inf`, each step waits.

Several processes decide the same without asking each other: they hold the same gradients, and a
loss that is not finite makes them so (`backward`).
"""

import logging

import torch
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from pose.engine.run import Run

logger = logging.getLogger(__name__)

LOOK_EVERY = 20
"""Steps after which the log says at the latest what was skipped."""

HEEDLESS = ("mps",)
"""Devices on which torch's fused optimisers take the step whatever `found_inf` says."""


def backward(loss: torch.Tensor) -> None:
    """The gradients of a loss; none is finite where the loss is not."""
    # 1, or NaN: infinity and NaN times 0 are NaN.
    loss.backward(gradient=1 + 0 * loss.detach())


def step_unless(skip: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    """The optimiser's step, or none where `skip`, a scalar on the device, is 1."""
    if skip.device.type not in HEEDLESS:
        optimizer.found_inf = skip  # type: ignore[attr-defined]
        optimizer.step()
    elif not skip:
        optimizer.step()


class StepGuard:
    """Takes the steps of an epoch, or skips them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parameters = [p for p in run.model.parameters() if p.requires_grad]
        self.statistics = [
            Statistics([buffer for buffer in run.model.buffers() if buffer.dtype == dtype])
            for dtype in {buffer.dtype for buffer in run.model.buffers()}
        ]
        self.pending: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        """Step, people (B,) and whether it was skipped, of the steps not looked at yet."""

    @torch.no_grad()
    def step(self, index: torch.Tensor) -> torch.Tensor:
        """Takes the step of the people `index` (B,), gradients clipped; 1 where it was skipped,
        else 0: a scalar on the device."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = get_total_norm(gradients)
        if self.run.clip_norm:
            clip_grads_with_norm_(self.parameters, self.run.clip_norm, norm)
        skip = (~torch.isfinite(norm)).float()
        step_unless(skip, self.run.optimizer)
        for statistics in self.statistics:
            statistics.put_back(skip.bool())
        self.pending.append((self.run.step + 1, index, skip))
        if len(self.pending) >= min(self.run.max_skipped, LOOK_EVERY):
            self.look()
        return skip

    def look(self) -> None:
        """Counts and says what was skipped; asks the run to stop after too many in a row."""
        if not self.pending:
            return
        run = self.run
        skips = torch.stack([skip for _, _, skip in self.pending]).tolist()
        for (step, index, _), skipped in zip(self.pending, skips, strict=True):
            run.skipped_in_a_row = run.skipped_in_a_row + 1 if skipped else 0
            if not skipped:
                continue
            run.skipped += 1
            images = [] if run.people is None else run.people.image_ids[index.numpy()].tolist()
            logger.warning(
                "step %d skipped: its loss or gradients are not finite (image ids %s)",
                *(step, ", ".join(str(image) for image in dict.fromkeys(images))),
            )
            if run.skipped_in_a_row == run.max_skipped:
                run.stop_requested = True
                run.failure = (
                    f"{run.folder}: {run.max_skipped} steps in a row, up to {step}, had a loss or "
                    "gradients that are not finite; the state before them is saved; look at their "
                    "images, or begin anew with a lower train.lr"
                )
        self.pending.clear()


class Statistics:
    """Buffers of one type, and what they were after the last step that was taken."""

    def __init__(self, buffers: list[torch.Tensor]) -> None:
        self.buffers = buffers
        self.good = self._flat()

    def put_back(self, skip: torch.Tensor) -> None:
        """What they were where `skip`, a scalar, is true, else what they are."""
        # Flat, for there are hundreds and each would be a kernel of its own.
        self.good = torch.where(skip, self.good, self._flat())
        parts = self.good.split([buffer.numel() for buffer in self.buffers])
        restored = [part.view_as(b) for part, b in zip(parts, self.buffers, strict=True)]
        torch._foreach_copy_(self.buffers, restored)

    def _flat(self) -> torch.Tensor:
        return torch.cat([buffer.detach().flatten() for buffer in self.buffers])
