"""The flags of a sweep, and of the devices and workers that train it."""

from gradjax import search
from gradjax.commands.flag import Flag, Groups

SWEEP: Groups = {
    "Sweep": [
        Flag(
            "sweep",
            "strings",
            "a name and the values that it takes, such as 'learning_rate=log(1e-4, 1)'"
            " or 'optimizer=[sgd, adam]'; may be repeated. Values: log(low, high[, n]),"
            " linear(...), int(...) or a list. Names: learning_rate, optimizer,"
            " schedule, batch_size, steps, epochs, flags of the problem, and"
            " optimizer.<argument>, schedule.<argument> or model.<argument>. A range of"
            " one optimizer alone begins with its name: adamw.weight_decay, or"
            " sgd_2.momentum of the second sgd",
        ),
        Flag(
            "space",
            "string",
            "JSON in place of --sweep: name -> min, max, scaling, or feasible_points",
        ),
        Flag(
            "search",
            "string",
            "the method that chooses the points:"
            f" {', '.join(sorted(search.SEARCHES))}; tpe learns from results, and needs"
            " the extra [tpe]",
        ),
        Flag(
            "trials",
            "integer",
            "the number of points; optimizers with ranges of their own get equal"
            " shares. Unset: all points of the grid",
        ),
        Flag(
            "fresh_seeds",
            "integer",
            "the number of seeds, not used to choose a setting, on which the best"
            " setting of each optimizer runs again",
        ),
        Flag(
            "halving",
            "integer",
            "successive halving: one setting in so many continues after each rung, by"
            " validation or else by the training loss. Unset: all settings run to the"
            " end",
        ),
    ],
}
DEVICE: Groups = {
    "Device": [
        Flag(
            "lane_width",
            "integer",
            "the number of trials that are mapped together on one device; the last bits"
            " of a trial depend on it. Unset: 1 for a run, a measured rule for a sweep",
        ),
        Flag(
            "num_devices",
            "integer",
            "devices, on a CPU cores, that compute a sweep or seeds. Unset: all",
        ),
        Flag(
            "num_threads",
            "integer",
            "the number of threads of a CPU for one operation; the last bits of a large"
            " network depend on it. Unset: 1 for a small program, else all cores",
        ),
        Flag(
            "mesh",
            "string",
            "devices that compute each trial together, such as 'data=4,fsdp=2': a batch"
            " is divided over all of them, and each parameter over those of fsdp. The"
            " batch stays the same, and the curve up to rounding. Unset: one device",
        ),
        Flag(
            "coordinator",
            "string",
            "HOST:PORT of process 0, if several processes compute a --mesh of all their"
            " devices; or auto, where the cluster says it, as Slurm does. Each process"
            " is the same command with its own --process_id, and the first one writes"
            " the record",
        ),
        Flag("num_processes", "integer", "the number of processes, with --coordinator"),
        Flag("process_id", "integer", "the number of this process, from 0"),
        Flag(
            "executor",
            "string",
            "what runs the trials: inline (the threads of this process), processes (of"
            " this machine, one for each core), or ray (a cluster, with the extra"
            " [ray])",
        ),
        Flag(
            "num_workers",
            "integer",
            "the number of batches of trials that the executor runs at the same time."
            " Unset: as many as the cores, or the cluster, allow",
        ),
        Flag(
            "ray_address",
            "string",
            "HOST:PORT of the head of a Ray cluster. Unset: auto, the cluster of this"
            " machine",
        ),
        Flag(
            "accept_mixed_bits",
            "boolean",
            "let workers with other versions or devices train, too; their rows are"
            " marked, and batches that two workers have trained are not compared",
        ),
    ],
}
