"""Pictures: `nint fit image`."""

from nint_cli.modalities.modality import Flag, Modality, Target

MODALITY = Modality(
    name="image",
    noun="picture",
    plural="pictures",
    summary="Fit a field to each picture and write its run folder; the path goes to stdout.",
    inputs="PNG, JPEG, TIFF, WebP, OpenEXR, .npy and other picture files, or sample:NAME for a "
    "built-in picture (sample:astronaut, sample:camera, sample:coffee, ...).",
    files="Picture files",
    size_by="pixel",
    targets={"psnr_db": Target(label="PSNR", marks=(20, 25, 30, 35, 40, 50, 60))},
    own_flags=(
        Flag(
            names="--mask",
            key="image.mask",
            kind=str,
            metavar="FILE",
            help="Fit only where this picture of the same size is white; measures inside and "
            "outside.",
        ),
        Flag(
            names="--alpha",
            key="image.alpha",
            kind=str,
            metavar="WHAT",
            help="Of transparency: keep it as a channel, drop it, or composite over a background.",
        ),
        Flag(
            names="--background",
            key="image.background",
            kind=str,
            metavar="COLOUR",
            help="What a composite lies over, white if not given: a name, or #rrggbb.",
        ),
    ),
    exhibit="pictures",
    page="picture",
    extras={
        "exr": ("openexr",),
        "heic": ("pi-heif",),
        "flip": ("flip-evaluator",),
        "lpips": ("lpips", "torchvision"),
    },
    subject_part="subject:ImageSubject",
    settings_part="settings:ImageSettings",
    record_part="record:ImageRecord",
    metrics_part="schema:ImageMetrics",
    quality_part="schema:ImageQuality",
    suffixes_part="formats:SUFFIXES",
    samples_part="samples:SAMPLES",
    rendering_part="rendering:plan",
    rendered_by=("size", "scale", "crop", "supersample", "bits"),
)
