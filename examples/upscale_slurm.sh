#!/bin/bash
# Upscales one video on all GPUs of a SLURM job. Queue it again after a kill, with any number of GPUs, and it goes on:
#   sbatch examples/upscale_slurm.sh scale=svd ckpt=Janghyeok/dc-vsr input=film.mp4 output=big.mp4
#SBATCH --job-name=dcvsr-upscale
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00

# The output is on a disk that the first machine sees.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=1 torchrun --nnodes="$SLURM_NNODES" --nproc-per-node="$SLURM_GPUS_ON_NODE" \
    --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$head:29400" -m dcvsr.upscale "$@"
