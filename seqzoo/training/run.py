"""One run: its epochs, its best checkpoint and its state between epochs."""

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from seqzoo.checkpoint.manifest import FEATURES, METRICS, RECIPE, VOCABULARY, WEIGHTS, read_manifest
from seqzoo.checkpoint.record import read_file
from seqzoo.data.parts import histories_of
from seqzoo.data.sequences import SequenceData
from seqzoo.data.splits import train_counts
from seqzoo.errors import TrainingError
from seqzoo.evaluation.evaluate import Evaluation, measure
from seqzoo.evaluation.held_out import HeldOut, hold_out
from seqzoo.evaluation.protocol import by_split, get_protocol
from seqzoo.evaluation.ranks import gains_by_user, means
from seqzoo.model.save import save_model
from seqzoo.model.weights import put_weights
from seqzoo.objectives.base import Inputs
from seqzoo.training.beaten import measure_baselines
from seqzoo.training.checks import check_protocols, training_split
from seqzoo.training.folder import RunFolder
from seqzoo.training.initial import initial_model, notes_of
from seqzoo.training.objective import ModelWithLoss, batch_generator, window_settings
from seqzoo.training.processes import from_main_process, own_share, seed_of_epoch
from seqzoo.training.progress import Reporter, RunFacts
from seqzoo.training.recipe import Recipe, TrainConfig
from seqzoo.training.replay import split_of_epoch, trained_part
from seqzoo.training.result import TrainingResult, result_of, stored_metrics
from seqzoo.training.schedule import learning_rate, parameter_groups
from seqzoo.training.sparse import RowwiseAdamW, clip_gradients, sparse_table
from seqzoo.training.state import Progress, read_progress, read_state, write_progress, write_state
from seqzoo.training.trackers import Trackers

__all__ = [
    "Run",
]

logger = logging.getLogger("seqzoo")


class Run:
    """A run with its data, its model and its progress.

    Args:
        recipe: the architecture, its settings, the data and the training settings.
        folder: the run's folder, which this run has acquired.
        progress: the progress stored in the folder.
        data: as the recipe describes them.
        accelerator: the device and the processes.
        reporter: receives the progress.

    Raises:
        TrainingError: the recipe's settings do not fit together, or the state is damaged.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        progress: Progress,
        data: SequenceData,
        accelerator: Accelerator,
        reporter: Reporter,
    ) -> None:
        self.folder, self.out, self.progress, self.data = folder, folder.path, progress, data
        self.accelerator, self.reporter = accelerator, reporter
        self.trackers = Trackers(accelerator)
        self._written: dict[str, Any] = {}
        """Entries of ``Manifest.files`` for the files of the checkpoint that this run wrote."""
        progress.threads = progress.threads or recipe.train.threads or torch.get_num_threads()
        # The stored recipe also has the fingerprint and the threads, which are known only now.
        self.recipe = replace(
            recipe,
            data=replace(recipe.data, fingerprint=data.fingerprint),
            train=replace(recipe.train, threads=progress.threads),
        )
        self.config: TrainConfig = recipe.train
        self.protocols = [get_protocol(name) for name in self.config.protocols]
        check_protocols(recipe, self.protocols)
        held = self.config.hold_out != "none"
        chosen = training_split(recipe, self.protocols, data) if held else None
        self.split = trained_part(data, chosen)
        torch.manual_seed(self.config.seed)
        counts = train_counts(data.sequences, self.split, len(data.vocabulary))
        vocabulary = data.vocabulary.with_counts(counts.tolist())
        self.model = initial_model(recipe, vocabulary, data.item_features)
        self.valid = hold_out(data, vocabulary, chosen, "valid") if chosen is not None else None
        if self.config.context >= self.model.max_length:
            raise TrainingError(
                f"train.context is {self.config.context}; expected less than the "
                f"{self.model.max_length} events that the model reads (model.max_length)"
            )
        self.windows = window_settings(self.config, self.model.max_length)
        self.sequences = self.model.reads.of_data(data, data.sequences)
        self.objective = self.model.objective.prepared(self.sequences, self.split, self.windows)
        groups = parameter_groups(self.model, self.config.weight_decay)
        if self.config.sparse_table:
            table = sparse_table(self.model, accelerator.num_processes)
            optimizer: torch.optim.AdamW = RowwiseAdamW(groups, table, lr=self.config.lr)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.config.lr)
        if progress.epoch:
            read_state(self.out, self.model, optimizer)
        self.wrapped, self.optimizer = accelerator.prepare(
            ModelWithLoss(self.model, self.objective), optimizer
        )

    def go(self, measured: bool = True) -> TrainingResult:
        """Run the remaining epochs, then measure the best one, if ``measured``."""
        torch.set_num_threads(self.progress.threads)
        if self.accelerator.is_main_process:
            self.folder.begin(self.progress)
        self.trackers.start(self.recipe.to_dict())
        try:
            with self.reporter:
                self.reporter.begin(self._facts())
                while not self._is_over():
                    self._epoch()
            metrics = self._measure() if measured else {}
        except KeyboardInterrupt:
            # An incomplete epoch does not count; only the state on disk does.
            self.progress = read_progress(self.out) or self.progress
            if not self.progress.best_epoch:
                raise TrainingError(
                    "stopped before the first epoch ended: there is nothing to keep; "
                    "the same command starts again"
                ) from None
            logger.warning(
                "stopped; %s holds the best epoch (%d); the same command resumes the run",
                self.out,
                self.progress.best_epoch,
            )
            found = result_of(self.out, self.progress, self.data, stored_metrics(self.out))
            return replace(found, interrupted=True)
        finally:
            self.trackers.finish()
        return result_of(self.out, self.progress, self.data, metrics)

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
            notes=tuple(notes_of(self.recipe, self.model)),
        )

    def _is_over(self) -> bool:
        if self.model.head.closed_form:
            return self.progress.epoch > 0
        waited = self.progress.epoch - self.progress.best_epoch
        return self.progress.epoch >= self.config.epochs or waited >= self.config.patience

    def _epoch(self) -> None:
        number = self.progress.epoch
        started = time.perf_counter()
        loss = self._train_epoch(number)
        value = None if self.valid is None else self._validate(self.valid)
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
        # Without validation the newest weights are the checkpoint.
        best = value is None or value > self.progress.best_value
        if best:
            self.progress.best_epoch = number + 1
            self.progress.best_value = self.progress.best_value if value is None else value
        if self.accelerator.is_main_process:
            if best:
                self._save({}, unchanged=(VOCABULARY, RECIPE, METRICS, FEATURES))
            # After the checkpoint: a kill in between repeats this epoch, to the same weights.
            write_state(self.out, self.progress, self.model, self.optimizer)
        self.accelerator.wait_for_everyone()
        self.reporter.epoch(record, best)
        self.trackers.epoch(record)

    def _train_epoch(self, number: int) -> float | None:
        """Train on all batches once; the mean loss over all targets, None without a loss."""
        config = self.config
        if self.model.head.closed_form:
            self.model.head.fit(histories_of(self.sequences, self.split))
            return None
        generator = np.random.default_rng([config.seed, number])
        torch.manual_seed(seed_of_epoch(config.seed, number, self.accelerator))
        split = split_of_epoch(self.split, config, number)
        batches = self.objective.plan(split, self.windows, generator)
        self.wrapped.train()
        self.reporter.start(number + 1, config.epochs, len(batches))
        total, targets, began = 0.0, 0, time.perf_counter()
        for index, windows in enumerate(batches):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(config, number + index / len(batches))
            drawn = batch_generator(config.seed, number, index)
            inputs = self.objective.batch(self.sequences, windows, drawn)
            count = inputs.count
            loss = self._step(own_share(inputs, self.accelerator))
            if not np.isfinite(loss):
                raise TrainingError(
                    f"the loss became {loss} in epoch {number + 1}; lower train.lr or set "
                    "train.clip_norm=1"
                )
            total, targets = total + loss * count, targets + count
            self.reporter.batch(loss, targets / (time.perf_counter() - began))
        return total / max(targets, 1)

    def _step(self, inputs: Inputs) -> float:
        """One step on this process's share of a batch."""
        accelerator = self.accelerator
        loss = self.wrapped(inputs.to(accelerator.device))
        accelerator.backward(loss)
        if self.config.clip_norm and self.config.sparse_table:
            accelerator.unscale_gradients()
            clip_gradients(self.wrapped.parameters(), self.config.clip_norm)
        elif self.config.clip_norm:
            accelerator.clip_grad_norm_(self.wrapped.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(accelerator.reduce(loss.detach(), "mean"))

    def _validate(self, valid: HeldOut) -> float:
        (gains,) = gains_by_user(self.model, valid, self.protocols[:1])
        return from_main_process(means(gains)[self.config.metric], self.accelerator)

    def _measure(self) -> dict[str, dict[str, float]]:
        """Measure the best weights on the test items, if there are any; finish the checkpoint."""
        # The state of the last epoch is on the disk already; the model goes back to the best one.
        if self.progress.best_epoch != self.progress.epoch:
            manifest = read_manifest(self.out)
            put_weights(self.model, read_file(manifest, WEIGHTS), str(self.out / WEIGHTS))
            self._written[WEIGHTS] = manifest.files[WEIGHTS]
        groups = by_split(self.protocols, self.recipe.data.split) if self.valid is not None else []
        found: dict[str, Evaluation] = {}
        baselines: dict[str, dict[str, Any]] = {}
        for chosen, protocols in groups:
            held_out = hold_out(self.data, self.model.vocabulary, chosen)
            for result in measure(self.model.eval(), held_out, protocols):
                found[result.protocol] = result
            if self.config.baselines and not self.model.head.closed_form:
                own = found[protocols[0].name].metrics
                baselines |= measure_baselines(
                    self.model, held_out, protocols, own, self.config.metric
                )
        results = [found[each.name] for each in self.protocols if each.name in found]
        records = {result.protocol: result.record(self.config.seed) for result in results}
        for name, measured in baselines.items():
            records[name] |= measured
        self.progress.finished = True
        if self.accelerator.is_main_process:
            self._save(records, unchanged=(WEIGHTS, VOCABULARY, RECIPE, FEATURES))
            write_progress(self.out, self.progress)
        self.accelerator.wait_for_everyone()
        metrics = {result.protocol: result.metrics for result in results}
        self.trackers.metrics(metrics, self.progress.best_epoch)
        return metrics

    def _save(self, metrics: Mapping[str, Any], *, unchanged: tuple[str, ...]) -> None:
        """Save the checkpoint; unchanged files that this run has written stay as they are."""
        kept = {name: self._written[name] for name in unchanged if name in self._written}
        recipe = self.recipe.to_dict()
        manifest = save_model(self.out, self.model, recipe=recipe, metrics=metrics, kept=kept)
        self._written = manifest.files
