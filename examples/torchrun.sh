#!/bin/sh
# Trains on one or several machines with torchrun. Run it on each machine; HEAD is the address of one of them:
#   HEAD=node1 NODES=2 GPUS=4 sh examples/torchrun.sh +experiment=stage1 scale=svd
# TRAINER is ddp or fsdp, RUN a folder that all machines share. SIGTERM saves a checkpoint. The same command then
# continues the run, with as many processes or others.
set -e
exec torchrun --nnodes="${NODES:=1}" --nproc-per-node="${GPUS:=1}" --rdzv-id=dcvsr --rdzv-backend=c10d \
    --rdzv-endpoint="${HEAD:-localhost}:29400" \
    -m dcvsr.train trainer="${TRAINER:-ddp}" nodes="$NODES" devices="$GPUS" \
    hydra.run.dir="${RUN:-outputs/train/torchrun}" resume=auto "$@"
