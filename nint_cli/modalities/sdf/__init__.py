"""Shapes: `nint fit sdf`."""

from nint_cli.modalities.modality import Flag, Modality, Target

MODALITY = Modality(
    name="sdf",
    noun="shape",
    plural="shapes",
    on_grid=False,
    summary="Fit a field to the signed distance of each shape and write its run folder.",
    inputs="OBJ, PLY, STL, OFF, GLB, glTF or 3MF files, or sample:NAME for a built-in shape "
    "(sample:torus, sample:knot, sample:gear).",
    files="Mesh files",
    size_by="vertex",
    size_count="vertices",
    targets={
        "iou": Target(
            label="IoU",
            metavar="SHARE",
            gt=0,
            le=1,
            marks=(0.5, 0.8, 0.9, 0.95, 0.98, 0.99),
        )
    },
    own_flags=(
        Flag(
            names="--mc-resolution",
            key="sdf.mc_resolution",
            kind=int,
            metavar="N",
            help="Grid points along each edge for the reconstructed mesh.",
        ),
        Flag(
            names="--format",
            key="sdf.format",
            kind=str,
            metavar="ply|obj|stl|glb",
            help="Kind of file for the reconstructed mesh.",
        ),
        Flag(
            names="--weld",
            key="sdf.weld",
            kind=float,
            metavar="LENGTH",
            help="Make one of vertices this close to each other, in the mesh's units.",
        ),
        Flag(
            names="--require-watertight/--allow-holes",
            key="sdf.require_watertight",
            kind=bool,
            help="Refuse meshes with holes, or not.",
        ),
        Flag(
            names="--require-mesh",
            key=None,
            kind=bool,
            help="Exit with code 5 if the fit has no surface.",
        ),
    ),
    extras={"sdf": ("libigl", "manifold3d", "mapbox-earcut")},
    subject_part="subject:SdfSubject",
    settings_part="settings:SdfSettings",
    record_part="record:SdfRecord",
    metrics_part="schema:SdfMetrics",
    quality_part="schema:SdfQuality",
    suffixes_part="headers:SUFFIXES",
    page="shape",
    samples_part="sample_meshes:SAMPLES",
    rendering_part="rendering:plan",
    rendered_by=("resolution", "view", "size"),
)
