#!/bin/bash
# Trains in a SLURM job. The job queues itself again until the run is done:
#   sbatch examples/slurm.sh +experiment=stage1 scale=svd
#SBATCH --job-name=dcvsr
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@600
#SBATCH --requeue
#SBATCH --open-mode=append

# SIGUSR1 arrives 600 s before the end, time for the batch or validation clip of the moment and for the checkpoint.
srun python -m dcvsr.train trainer=slurm hydra.run.dir="outputs/train/slurm-$SLURM_JOB_ID" resume=auto "$@"
code=$?
if [ "$code" = 138 ]; then # 128 + SIGUSR1: a checkpoint is saved
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
