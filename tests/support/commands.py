"""The commands that read molecules, by name; tests put their paths for SOURCE, MODEL and OUT."""

COMMANDS = {
    "screen": ("screen", "SOURCE", "-m", "MODEL", "--task", "nitrogen", "-o", "OUT.csv"),
    "explain": ("explain", "-i", "SOURCE", "-m", "MODEL", "--task", "nitrogen", "-o", "OUT.csv"),
    "saturation": (
        *("saturation", "-i", "SOURCE", "-m", "MODEL", "--task", "nitrogen"),
        *("--points", "5", "--actives", "3", "-o", "OUT.csv"),
    ),
    "ablation": (
        *("benchmark", "ablation", "-i", "SOURCE", "-m", "MODEL", "--task", "nitrogen"),
        *("--top", "3", "--atoms", "2", "-o", "OUT.csv"),
    ),
    "substructures": ("substructures", "-i", "SOURCE", "-m", "MODEL", "--task", "nitrogen", "-o", "OUT.csv"),
    "audit": ("audit", "-i", "SOURCE", "-m", "MODEL", "--only", "baseline", "-o", "OUT.md"),
}
