#!/bin/bash
# Trains a variant with each seed named and judges it on the hard cases: run.sh VARIANT SEED ...
set -e
variant=$1; shift
for seed in "$@"; do
  date +%T
  nice -n 19 "${PYTHON:-python}" experiments/train.py "$variant" "$seed" --dataset_dir /tmp/ds
  date +%T
  nice -n 19 "${PYTHON:-python}" experiments/judge.py "/tmp/runs/${variant}_s$seed" --protocol hard --presets nominal ${THRESHOLDS:+--thresholds $THRESHOLDS}
done
