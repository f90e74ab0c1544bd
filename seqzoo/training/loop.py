"""The training loop: epochs over windows, validation, the best checkpoint, resuming."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from torch import Tensor, nn

from seqzoo.checkpoint.manifest import WEIGHTS, read_manifest, read_metrics
from seqzoo.checkpoint.record import read_file
from seqzoo.data.batches import TrainingBatch, training_batch, training_batches, training_windows
from seqzoo.data.prepare import prepare
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import leave_one_out
from seqzoo.errors import DataError, TrainingError, nearest
from seqzoo.evaluation.evaluate import measure
from seqzoo.evaluation.held_out import hold_out
from seqzoo.evaluation.protocol import get_protocol
from seqzoo.evaluation.ranks import gains_by_user, means
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.weights import put_weights
from seqzoo.notebook import in_kernel
from seqzoo.training.progress import Reporter, RunFacts
from seqzoo.training.recipe import Recipe, TrainConfig, differences
from seqzoo.training.schedule import learning_rate, parameter_groups
from seqzoo.training.state import (
    FOLDER,
    Progress,
    holds_run,
    read_progress,
    read_state,
    write_progress,
    write_state,
)
from seqzoo.training.trackers import Trackers, check_trackers

logger = logging.getLogger("seqzoo")


@dataclass(frozen=True)
class TrainingResult:
    """What came of a run.

    Attributes:
        out: folder of the checkpoint.
        best_epoch: the epoch whose weights it holds.
        epochs: how many were run.
        metrics: figures by protocol, on the test items; empty where the run was interrupted.
        seconds: time spent, over all starts of the run.
        interrupted: whether Ctrl-C ended it.
        examples: a few item ids that the model knows.
    """

    out: Path
    best_epoch: int
    epochs: int
    metrics: dict[str, dict[str, float]]
    seconds: float
    interrupted: bool = False
    examples: tuple[str, ...] = ()


class _Objective(nn.Module):
    """Model and loss in one forward pass, so that accelerate can wrap it for several processes."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TrainingBatch) -> Tensor:
        targets = batch.targets
        if not self.model.backbone.causal:
            rows = targets.sum(1) > 0
            hidden = self.model.last(batch.histories)[rows]
            return self.model.head.loss(hidden, targets.sum(1)[rows])
        wanted = targets > 0
        return self.model.head.loss(self.model(batch.histories)[wanted], targets[wanted])


def train(
    recipe: Recipe | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    reporter: Reporter | None = None,
    overwrite: bool = False,
    trackers: Sequence[str | GeneralTracker] = (),
) -> TrainingResult:
    """Train a model and leave a checkpoint in a folder.

    A run that was ended before, by Ctrl-C or by a kill, goes on after its last whole epoch and
    ends with the same weights, bit for bit on a CPU. Ctrl-C keeps the best checkpoint so far.

    Args:
        recipe: what to train, on what and how.
        out: folder of the checkpoint, ``runs/ARCHITECTURE`` where None; the run keeps its state in
            the folder ``training`` inside.
        reporter: is told of progress. Where None, a notebook shows a progress bar and the curve of
            the validation metric, and a script stays silent: a library prints nothing unasked.
            ``seqzoo.training.progress.for_terminal()`` is what the command line uses;
            ``Reporter()`` keeps a notebook silent too.
        overwrite: start anew where the folder holds another run.
        trackers: what else is told of every epoch: names of trackers of accelerate (``wandb``,
            ``tensorboard`` …), or trackers.

    Raises:
        UsageError: a tracker is unknown or not installed.
        TrainingError: the folder holds another run, or something else.
        ConfigError, DataError, CheckpointError: as their names say.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.make(recipe)
    threads = torch.get_num_threads()
    out = Path("runs", recipe.architecture) if out is None else Path(out)
    try:
        told = check_trackers(trackers)
        if reporter is None:
            reporter = _default_reporter()
        return _Run(recipe, out, reporter, overwrite, told).go()
    finally:
        torch.set_num_threads(threads)


def _default_reporter() -> Reporter:
    if not in_kernel():
        return Reporter()
    from seqzoo.training.notebook import NotebookReporter

    return NotebookReporter()


class _Run:
    """One run: its data, its model and its place in time."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        reporter: Reporter,
        overwrite: bool,
        trackers: list[str | GeneralTracker],
    ) -> None:
        self.out, self.reporter = out, reporter
        self.measured: dict[str, dict[str, float]] = {}
        self.progress = self._claim(recipe, overwrite)
        self.data = self._prepare(recipe)
        self._check_data()
        self.progress.threads = (
            self.progress.threads or recipe.train.threads or torch.get_num_threads()
        )
        # The recipe that is stored has what is known only now.
        self.recipe = replace(
            recipe,
            data=replace(recipe.data, fingerprint=self.data.fingerprint),
            train=replace(recipe.train, threads=self.progress.threads),
        )
        self.config: TrainConfig = recipe.train
        self.protocols = [get_protocol(name) for name in self.config.protocols]
        self.split = leave_one_out(self.data.sequences, "train")
        self._check_protocols()
        self.accelerator = self._accelerator(trackers)
        self.trackers = Trackers(self.accelerator)
        torch.manual_seed(self.config.seed)
        self.model = SequenceModel.build(recipe.architecture, recipe.model, self.data.vocabulary)
        if self.config.context >= self.model.max_length:
            raise TrainingError(
                f"train.context is {self.config.context}; expected less than the "
                f"{self.model.max_length} events that the model reads (model.max_length)"
            )
        optimizer = torch.optim.AdamW(
            parameter_groups(self.model, self.config.weight_decay), lr=self.config.lr
        )
        if self.progress.epoch:
            read_state(out, self.model, optimizer)
        self.objective, self.optimizer = self.accelerator.prepare(_Objective(self.model), optimizer)

    def _check_protocols(self) -> None:
        """See before the first epoch that the figures will be there, and will be honest."""
        first, order = self.protocols[0], self.recipe.data.order
        minimum = self.recipe.data.min_count
        for protocol in self.protocols:
            if protocol.min_count not in (None, minimum):
                raise TrainingError(
                    f"the protocol '{protocol.name}' is of the {protocol.min_count}-core, "
                    f"data.min_count is {minimum}: nobody could measure its figures again; set "
                    f"data.min_count={protocol.min_count} or other train.protocols"
                )
            if protocol.order != order:
                raise TrainingError(
                    f"the protocol '{protocol.name}' tests on events in the order "
                    f"'{protocol.order}', data.order is '{order}': it would test on what was "
                    "trained on; for RecBole's order set data.order=float32-time-row and "
                    "train.protocols=[loo-recbole]"
                )
        known = [f"{name}@{cutoff}" for name in first.metrics for cutoff in first.cutoffs]
        if self.config.metric not in known:
            raise TrainingError(
                f"train.metric is '{self.config.metric}'{nearest(self.config.metric, known) or ';'}"
                f" the protocol '{first.name}' has: {', '.join(known)}"
            )

    def _accelerator(self, trackers: list[str | GeneralTracker]) -> Accelerator:
        try:
            return Accelerator(
                mixed_precision=self.config.precision,
                log_with=trackers or None,
                project_dir=self.out / FOLDER,
            )
        except ValueError as error:
            # It keeps one state for the process, and some devices lack a precision.
            raise TrainingError(
                f"train.precision={self.config.precision} cannot be used in this process "
                f"({str(error).splitlines()[0]}); start a new process or choose another precision"
            ) from None

    def _claim(self, recipe: Recipe, overwrite: bool) -> Progress:
        """See that the folder is free or holds this very run."""
        asked_for = recipe.asked_for()
        fresh = Progress(asked_for)
        if self.out.exists() and not self.out.is_dir():
            raise TrainingError(f"{self.out} is a file; give a folder as --out")
        if not holds_run(self.out):
            # A kill may have left the run's own folder without its first file.
            if self.out.is_dir() and any(path.name != FOLDER for path in self.out.iterdir()):
                raise TrainingError(
                    f"{self.out} is not empty and holds no run; give another folder as --out"
                )
            return fresh
        found = None if overwrite else read_progress(self.out)
        if found is None:
            return fresh
        others = differences(found.recipe, asked_for)
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            raise TrainingError(
                f"{self.out} holds a run of another recipe ({others[0]}{more}); give another "
                "folder as --out, or add --overwrite to start anew there"
            )
        return found

    def _prepare(self, recipe: Recipe) -> SequenceData:
        data = prepare(recipe.data)
        expected = recipe.data.fingerprint
        if expected and expected != data.fingerprint:
            logger.warning(
                "these are not the data of the recipe: their fingerprint is %s, the recipe's %s",
                data.fingerprint,
                expected,
            )
        longest = int(data.sequences.lengths.max())
        if longest < 4:
            raise DataError(
                f"{data.name}: the longest history has {longest} interactions; training needs one "
                "of 4 or more, as the last two are held out"
            )
        return data

    def _check_data(self) -> None:
        """See that a run goes on with the data that it began with."""
        before, now = self.progress.fingerprint, self.data.fingerprint
        if before and before != now:
            raise TrainingError(
                f"{self.out} holds a run on other data: those of '{self.data.name}' have changed "
                f"since (fingerprint {before} there and {now} here); give another folder as "
                "--out, or add --overwrite to start anew there"
            )
        self.progress.fingerprint = now

    def go(self) -> TrainingResult:
        """Run all epochs that are left, then measure the best one."""
        torch.set_num_threads(self.progress.threads)
        if self.progress.finished:
            logger.info("%s is finished; its figures are read back", self.out)
            return self._result()
        if not self.progress.epoch and self.accelerator.is_main_process:
            # The folder is this run's from here on: a kill while the first checkpoint is written
            # must not leave a folder that nobody knows, nor an epoch be spent on one that cannot
            # be written.
            write_progress(self.out, self.progress)
        self.trackers.start(self.recipe.to_dict())
        try:
            with self.reporter:
                self.reporter.begin(self._facts())
                while not self._is_over():
                    self._epoch()
            self._measure()
        except KeyboardInterrupt:
            # What is on the disk: an epoch that was cut short does not count.
            self.progress = read_progress(self.out) or self.progress
            if not self.progress.best_epoch:
                raise TrainingError(
                    "stopped before the first epoch ended: there is nothing to keep; "
                    "the same command starts again"
                ) from None
            logger.warning(
                "stopped; %s holds the best epoch (%d); the same command goes on",
                self.out,
                self.progress.best_epoch,
            )
            return replace(self._result(), interrupted=True)
        finally:
            self.trackers.finish()
        return self._result()

    def _facts(self) -> RunFacts:
        return RunFacts(
            architecture=self.recipe.architecture,
            parameters=self.model.num_parameters,
            data=self.data.name,
            users=len(self.data.users),
            items=len(self.data.vocabulary),
            interactions=len(self.data.sequences.items),
            epochs=self.config.epochs,
            done=self.progress.epoch,
            processes=self.accelerator.num_processes,
            threads=self.progress.threads,
            device=self.accelerator.device.type,
        )

    def _is_over(self) -> bool:
        waited = self.progress.epoch - self.progress.best_epoch
        return self.progress.epoch >= self.config.epochs or waited >= self.config.patience

    def _epoch(self) -> None:
        number = self.progress.epoch
        started = time.perf_counter()
        loss = self._train_epoch(number)
        value = self._validate()
        seconds = time.perf_counter() - started
        self.progress.epoch = number + 1
        self.progress.seconds += seconds
        record = {
            "epoch": number + 1,
            "loss": loss,
            "metric": self.config.metric,
            "value": value,
            "lr": learning_rate(self.config, number),
            "seconds": round(seconds, 2),
        }
        self.progress.epochs.append(record)
        best = value > self.progress.best_value
        if best:
            self.progress.best_epoch, self.progress.best_value = number + 1, value
        if self.accelerator.is_main_process:
            if best:
                save_model(self.out, self.model, recipe=self.recipe.to_dict(), metrics={})
            # After the checkpoint: a kill in between repeats this epoch, to the same weights.
            write_state(self.out, self.progress, self.model, self.optimizer)
        self.accelerator.wait_for_everyone()
        self.reporter.epoch(record, best)
        self.trackers.epoch(record)

    def _train_epoch(self, number: int) -> float:
        config = self.config
        generator = np.random.default_rng([config.seed, number])
        torch.manual_seed(config.seed * 1_000_003 + number + 1)
        every_position = self.model.backbone.causal
        windows = training_windows(
            self.split, self.model.max_length, generator, config.shift_windows, config.context
        )
        batches = training_batches(
            windows,
            positions_per_batch=config.batch_size * self.model.max_length,
            generator=generator,
            every_position=every_position,
        )
        # Every process takes the same number of batches, or the others would wait for ever.
        shared = len(batches) // self.accelerator.num_processes * self.accelerator.num_processes
        batches = batches[self.accelerator.process_index : shared : self.accelerator.num_processes]
        self.objective.train()
        self.reporter.start(number + 1, config.epochs, len(batches))
        total, targets, began = 0.0, 0, time.perf_counter()
        for index, batch_windows in enumerate(batches):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(config, number + index / len(batches))
            batch = training_batch(self.data.sequences, batch_windows, every_position)
            count = int((batch.targets > 0).sum())
            loss = self._step(batch)
            if not np.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} in epoch {number + 1}; lower train.lr or set "
                    "train.clip_norm=1"
                )
            total, targets = total + loss * count, targets + count
            self.reporter.batch(loss, targets / (time.perf_counter() - began))
        return total / max(targets, 1)

    def _step(self, batch: TrainingBatch) -> float:
        device = self.accelerator.device
        moved = TrainingBatch(batch.histories.to(device), batch.targets.to(device))
        loss = self.objective(moved)
        self.accelerator.backward(loss)
        if self.config.clip_norm:
            self.accelerator.clip_grad_norm_(self.objective.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    def _validate(self) -> float:
        held_out = hold_out(self.data, self.model.vocabulary, "valid")
        (gains,) = gains_by_user(self.model, held_out, self.protocols[:1])
        return means(gains)[self.config.metric]

    def _measure(self) -> None:
        """Measure the best weights on the test items and finish the checkpoint."""
        # The state of the last epoch is on the disk already; the model goes back to the best one.
        if self.progress.best_epoch != self.progress.epoch:
            best = read_file(read_manifest(self.out), WEIGHTS)
            put_weights(self.model, best, str(self.out / WEIGHTS))
        held_out = hold_out(self.data, self.model.vocabulary)
        results = measure(self.model.eval(), held_out, self.protocols)
        metrics = {result.protocol: result.record(self.config.seed) for result in results}
        self.progress.finished = True
        if self.accelerator.is_main_process:
            save_model(self.out, self.model, recipe=self.recipe.to_dict(), metrics=metrics)
            write_progress(self.out, self.progress)
        self.accelerator.wait_for_everyone()
        self.measured = {name: entry["metrics"] for name, entry in metrics.items()}
        self.trackers.figures(self.measured, self.progress.best_epoch)

    def _result(self) -> TrainingResult:
        if not self.measured:
            stored = read_metrics(read_manifest(self.out))
            self.measured = {name: entry["metrics"] for name, entry in stored.items()}
        return TrainingResult(
            self.out,
            self.progress.best_epoch,
            self.progress.epoch,
            self.measured,
            self.progress.seconds,
            examples=self.data.vocabulary.items[:3],
        )
