"""Pictures: `nint fit image`."""

from nint_cli.modalities.modality import Modality, Target

MODALITY = Modality(
    name="image",
    noun="picture",
    plural="pictures",
    summary="Fit a field to each picture and write its run folder; the path goes to stdout.",
    inputs="PNG, JPEG, TIFF, BMP or WebP files, or sample:NAME for a built-in picture "
    "(sample:astronaut, sample:camera, sample:coffee, ...).",
    files="Picture files",
    targets={"psnr_db": Target(label="PSNR", marks=(20, 25, 30, 35, 40, 50, 60))},
    exhibit="pictures",
    extras={"flip": ("flip-evaluator",), "lpips": ("lpips", "torchvision")},
    subject_part="subject:ImageSubject",
    settings_part="settings:ImageSettings",
    record_part="record:ImageRecord",
    metrics_part="schema:ImageMetrics",
    quality_part="schema:ImageQuality",
    suffixes_part="files:SUFFIXES",
    samples_part="samples:SAMPLES",
)
