"""Sounds: `nint fit audio`."""

from nint_cli.modalities.modality import Flag, Modality, Target

MODALITY = Modality(
    name="audio",
    noun="sound",
    plural="sounds",
    summary="Fit a field to each sound and write its run folder; the path goes to stdout.",
    inputs="WAV, FLAC, OGG or MP3 files, or sample:NAME for a built-in sound "
    "(sample:chirp, sample:chord).",
    files="Sound files",
    size_by="sample",
    targets={
        "si_snr_db": Target(label="SI-SNR", marks=(5, 10, 15, 20, 25, 30, 40)),
        "psnr_db": Target(label="PSNR"),
    },
    own_flags=(
        Flag(
            names="--start",
            key="audio.start_s",
            kind="seconds",
            metavar="T",
            help="Begin there: 1.5s, 2m.",
        ),
        Flag(
            names="--duration",
            key="audio.duration_s",
            kind="seconds",
            metavar="T",
            help="Take that much at most.",
        ),
        Flag(
            names="--mono/--no-mono",
            key="audio.mono",
            kind=bool,
            help="Mix all channels into one, or not.",
        ),
    ),
    exhibit="sounds",
    page="sound",
    extras={"pesq": ("pesq",)},
    subject_part="subject:AudioSubject",
    settings_part="settings:AudioSettings",
    record_part="record:AudioRecord",
    metrics_part="schema:AudioMetrics",
    quality_part="schema:AudioQuality",
    suffixes_part="files:SUFFIXES",
    samples_part="sample_sounds:SAMPLES",
    rendering_part="rendering:plan",
    rendered_by=("rate", "start", "duration", "speed"),
)
