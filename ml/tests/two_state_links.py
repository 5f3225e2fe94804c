"""A second implementation of a lossy link, frame by frame, to check the radio report against."""

from __future__ import annotations

import numpy as np

from ml.espnow_emulator.radio_samples import LinkSamples

PERIOD_MS = 100.0
DELAY_MS = 4.0
WARM_UP_FRAMES = 200


def received_frames(to_bad, to_good, fading_loss, num_frames, rng):
    """Return which frames arrive, (num_worlds, num_frames); fading_loss is (num_worlds,)."""
    num_worlds = len(fading_loss)
    is_bad = rng.random(num_worlds) < to_bad / (to_bad + to_good)
    received = np.zeros((num_worlds, num_frames), dtype=bool)
    for frame in range(num_frames):
        draw = rng.random(num_worlds)
        is_bad = np.where(is_bad, draw >= to_good, draw < to_bad)
        received[:, frame] = ~is_bad & (rng.random(num_worlds) >= fading_loss)
    return received


def link_samples(to_bad, to_good, *, num_worlds, num_frames, seed, fading_loss=None):
    """Return what a link with a constant delay gives; no fading if fading_loss is None."""
    rng = np.random.default_rng(seed)
    fading = np.zeros(num_worlds) if fading_loss is None else fading_loss
    total = WARM_UP_FRAMES + num_frames + 2
    received = received_frames(to_bad, to_good, fading, total, rng)
    phases_ms = PERIOD_MS * rng.random(num_worlds)
    begin_ms = PERIOD_MS * WARM_UP_FRAMES
    times_ms = begin_ms + 10.0 * np.arange(1, 10 * num_frames + 1)
    worlds = [
        _world(arrived, phase_ms, begin_ms, times_ms)
        for arrived, phase_ms in zip(received, phases_ms, strict=True)
    ]
    bursts, peaks_ms, ages_ms, counts = zip(*worlds, strict=True)
    return LinkSamples(
        distance_m=20.0,
        num_sent=np.full(num_worlds, num_frames),
        num_received=np.array(counts),
        bursts=bursts,
        latencies_ms=tuple(np.full(count, DELAY_MS) for count in counts),
        peak_ages_ms=peaks_ms,
        ages_ms=ages_ms,
        num_unheard=np.zeros(num_worlds, dtype=np.int64),
        num_hidden=0,
    )


def _world(arrived, phase_ms, begin_ms, times_ms):
    """Return bursts, peak ages, ages and the number of receptions of one world."""
    sent_ms = phase_ms + PERIOD_MS * np.flatnonzero(arrived)
    received_ms = sent_ms + DELAY_MS
    last = np.searchsorted(received_ms, times_ms, side="right") - 1
    within = np.flatnonzero((received_ms > begin_ms) & (received_ms <= times_ms[-1]))
    between_ms = sent_ms[within] - sent_ms[within - 1]
    gaps = np.rint(between_ms / PERIOD_MS).astype(np.int64) - 1
    return gaps[gaps > 0], between_ms + DELAY_MS, times_ms - sent_ms[last], len(within)
