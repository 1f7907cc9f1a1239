"""The progress bar of training, which goes on where a resumed run does."""

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar


class ProgressBar(TQDMProgressBar):
    """Lightning calls no ``on_train_epoch_start`` where a run goes on in the middle of an epoch, and leaves
    its bar without a length and the rate that of the whole run.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the bar at the steps that are done."""
        super().on_train_start(trainer, pl_module)
        done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        bar = self.train_progress_bar
        bar.total, bar.initial, bar.n = trainer.num_training_batches, done, done
        bar.set_description(f"Epoch {trainer.current_epoch}")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar of an attempt that ends early; an open one is drawn again when it is collected, in
        the middle of what follows.
        """
        try:
            self.train_progress_bar.close()
        except TypeError:  # the attempt ended before it had a bar
            return
